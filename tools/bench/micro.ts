import { generate, parse } from 'coap-packet';
import { BlockPermutation } from '../../src/adapters/registrationIds.ts';
import { type Bytes, noBytes } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { Instant, Milliseconds, Now, WallTime } from '../../src/base/time.ts';
import { Method, ResponseCode } from '../../src/coap/codec/code.ts';
import { ContentFormats } from '../../src/coap/codec/contentFormat.ts';
import { decodeMessage, encodeMessage, type Request, reply } from '../../src/coap/codec/message.ts';
import { ContentFormat, LocationPath, Options, UriPath } from '../../src/coap/codec/option.ts';
import { Deduplication } from '../../src/coap/deduplication.ts';
import { CoapEndpoint } from '../../src/coap/endpoint.ts';
import type { CoapOut } from '../../src/coap/out.ts';
import { pskSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { decodeRecord } from '../../src/dtls/codec/record.ts';
import { openRecord, sealRecord } from '../../src/dtls/protection.ts';
import type { DeviceRecord } from '../../src/fleet/device.ts';
import type { Row } from '../../src/fleet/names.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import type { View } from '../../src/fleet/store.ts';
import { writeRegistrationMap } from '../../src/lwm2m/writeRegistrationMap.ts';
import type { RequestContext } from '../../src/service/outcome.ts';
import { Service } from '../../src/service/service.ts';
import { simulatedDevice } from '../load/fleet.ts';

/**
 * The parts of the road one by one, without sockets and disk, each beside the same yardstick in the same run: what
 * node-coap's codec takes to read a registration and to write its answer. Ratios hold on a busy machine, times do not.
 */
export function micro(rounds = 15): MicroFigure[] {
  const parts = Object.entries(makeParts());
  const best = new Map<string, number>();
  // In turn, and the best round of each: whatever else the machine does makes a round slower, never faster.
  for (let round = 0; round < rounds; round++) {
    for (const [name, part] of parts) {
      const cost = microsPerCall(part);
      best.set(name, Math.min(best.get(name) ?? Number.POSITIVE_INFINITY, cost));
    }
  }
  const yardstick = best.get(yardstickName)!;
  return [...best].map(([part, micros]) => ({
    part,
    cpuMicros: Math.round(micros * 100) / 100,
    ratio: Math.round((micros / yardstick) * 100) / 100,
  }));
}

export interface MicroFigure {
  readonly part: string;
  readonly cpuMicros: number;
  /** To the yardstick. */
  readonly ratio: number;
}

function microsPerCall(part: () => void): number {
  const start = process.cpuUsage();
  for (let i = 0; i < calls; i++) part();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / calls;
}

function makeParts(): Record<string, () => void> {
  const { registration } = simulatedDevice('micro', 1);
  const payload = writeRegistrationMap(registration, 'compact');
  const datagram = encodeMessage(registerMessage(payload));
  const asBuffer = Buffer.from(datagram);
  const created = reply(ResponseCode.Created, Options.empty.with(LocationPath, 'rd').with(LocationPath, '0123456789a'));
  const request = decodeMessage(datagram) as Request;
  const service = new Service({
    ids: new RegistrationIds(new BlockPermutation(new Uint8Array(24))),
    insecureCoap: true,
  });
  const registered = service.route(request, contextOf(undefined));
  if (registered.kind !== 'commit') throw new Error('the registration was not accepted');
  const { record } = registered.commit.devices[0]!;
  const updateRequest = decodeMessage(
    encodeMessage(updateMessage(registered.reply.options.all(LocationPath))),
  ) as Request;
  const updateContext = contextOf(record);
  const seen = new Deduplication(247_000 as Milliseconds, 65_536, 1);
  const endpoint = new CoapEndpoint({ random: new SeededRandom(1) });
  const keys = { key: new Uint8Array(16), iv: new Uint8Array(4), mac: new Uint8Array(0) };
  const suite = pskSuites[0]!;
  let count = 0;
  const out: CoapOut = {
    transmit: () => undefined,
    request: exchange => endpoint.respond(now, exchange, created, out, true),
    response: () => undefined,
    failed: () => undefined,
    unobserved: () => undefined,
    ponged: () => undefined,
    refused: () => undefined,
    notified: () => undefined,
  };
  return {
    [yardstickName]: () => {
      const packet = parse(asBuffer);
      generate({
        code: '2.01',
        ack: true,
        messageId: packet.messageId,
        token: packet.token,
        options: [
          { name: 'Location-Path', value: Buffer.from('rd') },
          { name: 'Location-Path', value: Buffer.from('0123456789a') },
        ],
      });
    },
    'coap: read a registration, write its answer': () => {
      const { messageId, token } = decodeMessage(datagram) as Request;
      encodeMessage({ kind: 'response', type: 'ACK', messageId, token, ...created });
    },
    'coap: an exchange through the endpoint, duplicates remembered': () => {
      datagram[2] = count >>> 8;
      datagram[3] = count;
      endpoint.receive(now, (1 + (count++ >>> 16)) as Peer, datagram, out);
    },
    'coap: remember a message': () => {
      const id = count++;
      const peer = (1 + (id >>> 16)) as Peer;
      seen.open(id as Instant, peer, id & 0xffff);
      seen.answered(peer, id & 0xffff, payload, true);
    },
    'service: decide a registration': () => void service.route(request, contextOf(undefined)),
    'service: decide an update': () => void service.route(updateRequest, updateContext),
    'dtls: seal and open a record of 100 B': () => {
      const sealed = sealRecord(suite, keys, 23, 1, count++, plaintext);
      openRecord(suite, keys, decodeRecord(sealed, 0)!);
    },
  };
}

function registerMessage(payload: Bytes): Request {
  const options = Options.empty.with(UriPath, 'rd').with(ContentFormat, ContentFormats.cbor);
  const token = Uint8Array.of(1, 2, 3, 4);
  return { kind: 'request', type: 'CON', messageId: 7, token, code: Method.POST, options, payload };
}

function updateMessage(location: readonly string[]): Request {
  const options = location.reduce((path, segment) => path.with(UriPath, segment), Options.empty);
  const token = Uint8Array.of(1, 2, 3, 4);
  return { kind: 'request', type: 'CON', messageId: 8, token, code: Method.POST, options, payload: noBytes };
}

function contextOf(record: DeviceRecord | undefined): RequestContext {
  const view = {
    device: () => record,
    row: () => record?.row,
    credential: () => undefined,
    nameHasCredential: () => false,
    observations: () => [],
    restsOnPending: false,
  } as unknown as View;
  return {
    now,
    view,
    find: () => ({ records: [], next: undefined }),
    allocateRow: () => 1 as Row,
    principal: { kind: 'anonymous' },
    transport: 'coap',
    address: '192.0.2.1',
    port: 5683,
    peer: 1 as Peer,
    addressProved: true,
    exchange: {
      peer: 1 as Peer,
      messageId: 9,
      confirmable: true,
      code: Method.POST,
      token: noBytes,
      block1: undefined,
      block2: undefined,
      acknowledged: false,
    },
    messageId: 9,
    sequence: undefined,
  };
}

const yardstickName = "node-coap's codec: read a registration, write its answer";
const calls = 5000;
const now: Now = { instant: 0 as Instant, wall: 1_700_000_000_000 as WallTime };
const plaintext = new Uint8Array(100);
