import { type Bytes, noBytes } from '../../src/base/bytes.ts';
import { Method, ResponseCode } from '../../src/coap/codec/code.ts';
import { ContentFormats } from '../../src/coap/codec/contentFormat.ts';
import { encodeMessage } from '../../src/coap/codec/message.ts';
import { ContentFormat, Options, UriPath } from '../../src/coap/codec/option.ts';
import { writeRegistrationMap } from '../../src/lwm2m/writeRegistrationMap.ts';
import { simulatedDevice } from '../load/fleet.ts';
import { round } from './figures.ts';
import { Road } from './road.ts';
import { type Findings, inFreshDirectory, preloadWithProgress, type StudyOptions } from './study.ts';

/**
 * Registrations from the datagram to the durable answer, without sockets, in groups of a fixed size: what the sockets
 * and the pace of the load add, the scenario `registration` shows. The best and the median of several rounds, since this
 * process's CPU is all there is to measure, and a busy machine makes it only dearer.
 */
export function measureStore({ devices = 100_000, count = 50_000, inFlight }: StudyOptions): Promise<Findings> {
  return inFreshDirectory(async data => {
    await preloadWithProgress(data, devices, 'plain');
    const road = await Road.open(data);
    const costs: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const groups = registrations(i * perRound(count), perRound(count), inFlight);
      const before = process.cpuUsage();
      for (const group of groups) {
        const answers = await road.exchange(group);
        if (answers.some(answer => answer[1] !== ResponseCode.Created)) throw new Error('not all were registered');
      }
      const { user, system } = process.cpuUsage(before);
      costs.push((user + system) / perRound(count));
    }
    await road.close();
    costs.sort((a, b) => a - b);
    return {
      figures: {
        operations: perRound(count) * rounds,
        inFlight,
        preloaded: devices,
        cpuMicrosPerOperationMin: round(costs[0]!),
        cpuMicrosPerOperation: round(costs[rounds >> 1]!),
      },
    };
  });
}

function registrations(first: number, count: number, width: number) {
  const groups: { bytes: Bytes; from: { socket: number; address: string; port: number } }[][] = [];
  for (let i = 0; i < count; i++) {
    if (i % width === 0) groups.push([]);
    const from = { socket: 0, address: `127.0.${(i >> 8) & 0xff}.${i & 0xff}`, port: 5683 };
    groups.at(-1)!.push({ bytes: registration(first + i), from });
  }
  return groups;
}

function registration(number: number): Bytes {
  const options = Options.empty.with(UriPath, 'rd').with(ContentFormat, ContentFormats.cbor);
  return encodeMessage({
    kind: 'request',
    type: 'CON',
    code: Method.POST,
    messageId: number & 0xffff,
    token: noBytes,
    options,
    payload: writeRegistrationMap(simulatedDevice('road', number).registration, 'compact'),
  });
}

const perRound = (count: number) => Math.ceil(count / rounds);
const rounds = 10;
