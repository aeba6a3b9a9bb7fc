import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { noBytes } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import { Method, ResponseCode } from '../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage } from '../../src/coap/codec/message.ts';
import { Echo, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import type { Row } from '../../src/fleet/names.ts';
import { isQueryFault, parseQuery, selectionOf } from '../../src/fleet/query.ts';
import { simulatedDevice } from '../load/fleet.ts';
import { percentile } from '../load/inFlight.ts';
import { round } from './figures.ts';
import { Road } from './road.ts';
import { type Findings, inFreshDirectory, preloadWithProgress, type StudyOptions } from './study.ts';

/**
 * What a lookup costs in a large store: the first page in the process that has the store, and the same over CoAP, from
 * the datagram of the question to the first block of the answer, without sockets.
 */
export function measureLookup({ devices = 1_000_000 }: StudyOptions): Promise<Findings> {
  return inFreshDirectory(async data => {
    await preloadWithProgress(data, devices, 'plain');
    const size = (await stat(join(data, 'data.mdb'))).size;
    const road = await Road.open(data);
    const { store } = road;
    const asked = { now: Date.now() as WallTime, rules: road.rules };
    const some = Array.from({ length: repetitions }, (_, i) => simulatedDevice('preloaded', (i * 7919) % devices));
    const view = store.view();
    const table = [
      timed('by name, record decoded', i => {
        view.device(view.row(some[i]!.name, undefined)!);
        return 1;
      }),
    ];
    for (const query of queries) {
      const of = (i: number) => query(some[i]!.registration.description!.metadata!.serial!);
      table.push(
        timed(of(0), i => {
          const conditions = parseQuery(of(i));
          if (isQueryFault(conditions)) throw new Error(conditions.message);
          const selection = selectionOf(conditions, asked);
          let turns = 0;
          let missing = pageLength;
          for (let from: Row | undefined = 1 as Row; from !== undefined && missing > 0; turns++) {
            const page = store.find(selection, from, missing);
            missing -= page.records.length;
            from = page.next;
          }
          return turns;
        }),
      );
    }
    await prove(road);
    for (const query of queries)
      table.push(await timedOverCoap(road, query(some[0]!.registration.description!.metadata!.serial!)));
    await road.close();
    return { figures: { devices, fileBytesPerDevice: Math.round(size / devices), pageLength }, table };
  });
}

/** So that long answers come: the Echo that the server gives goes back with the next question (RFC 9175 §2.4). */
async function prove(road: Road): Promise<void> {
  const [challenge] = await road.exchange([{ bytes: question('state=registered', noBytes), from }]);
  const message = decodeMessage(challenge!);
  const echo = message.kind === 'response' ? message.options.get(Echo) : undefined;
  if (echo !== undefined) await road.exchange([{ bytes: question('state=registered', echo), from }]);
}

async function timedOverCoap(road: Road, query: string) {
  const micros: number[] = [];
  for (let i = -overCoap; i < overCoap; i++) {
    // Who asks without a pause waits for others, which is another figure.
    await new Promise(resolve => setTimeout(resolve, 10));
    const bytes = question(query, noBytes);
    const start = performance.now();
    const [answer] = await road.exchange([{ bytes, from }]);
    if (i >= 0) micros.push(1000 * (performance.now() - start));
    if (answer![1] !== ResponseCode.Content) throw new Error(`not answered: ${query}`);
  }
  return distribution(`over CoAP: ${query}`, micros, 1);
}

function question(where: string, echo: Uint8Array): Uint8Array {
  let options = Options.empty.with(UriPath, 'rd-lookup').with(UriPath, 'ep');
  options = options.with(UriQuery, `where=${where}`).with(UriQuery, `count=${pageLength}`);
  if (echo.length > 0) options = options.with(Echo, echo);
  messageId = (messageId + 1) & 0xffff;
  return encodeMessage({
    kind: 'request',
    type: 'CON',
    code: Method.GET,
    messageId,
    token: noBytes,
    options,
    payload: noBytes,
  });
}

function timed(name: string, look: (i: number) => number) {
  const micros: number[] = [];
  let turns = 0;
  // The first rounds are the compiler's.
  for (let i = -warmUp; i < repetitions; i++) {
    const start = performance.now();
    turns = look((i + warmUp) % repetitions);
    if (i >= 0) micros.push(1000 * (performance.now() - start));
  }
  return distribution(name, micros, turns);
}

function distribution(lookup: string, micros: number[], turns: number) {
  micros.sort((a, b) => a - b);
  return { lookup, p50Micros: round(percentile(micros, 0.5)), p99Micros: round(percentile(micros, 0.99)), turns };
}

const queries: readonly ((serial: string) => string)[] = [
  () => 'object=3303 and state=registered',
  () => 'manufacturer=Example and lastContact<24h',
  serial => `serial=${serial}`,
  serial => `serial=${serial} and object=3303`,
  () => 'object=9999',
];
const repetitions = 1000;
const warmUp = 1000;
const overCoap = 200;
const pageLength = 50;
const from = { socket: 0, address: '192.0.2.1', port: 5683 };
let messageId = 0;
