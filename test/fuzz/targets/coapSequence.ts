import { type Bytes, concatBytes, utf8 } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import { Method, ResponseCode } from '../../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage, reply } from '../../../src/coap/codec/message.ts';
import { Observe, Options } from '../../../src/coap/codec/option.ts';
import { CoapEndpoint } from '../../../src/coap/endpoint.ts';
import type { Exchange, RequestHandle } from '../../../src/coap/exchange.ts';
import type { CoapOut } from '../../../src/coap/out.ts';
import { CoapPair, onePeer, path } from '../../support/coapPair.ts';
import { Choices } from '../choices.ts';
import { ensure, ensureSame, type Target } from '../target.ts';

export const targets: readonly Target[] = [
  {
    name: 'coap-endpoint',
    holds:
      'over a bad network each request ends once, with its own answer; nothing is done twice; nothing is left over',
    seeds: [
      Uint8Array.of(1, 0, 0, 200, 0, 1, 0, 0, 2, 1, 1, 90, 5, 9),
      Uint8Array.of(2, 2, 0, 3, 3, 4, 3, 5, 200, 1, 4, 2, 2, 9, 5, 5, 5, 6, 0),
      Uint8Array.of(3, 0, 1, 200, 5, 1, 3, 0, 200, 2, 2, 4, 5, 9, 5, 9, 5, 9),
    ],
    weight: 20,
    maxLength: 160,
    check: checkPair,
  },
  {
    name: 'coap-hostile',
    holds: 'whatever datagrams come, at most one goes back for each, it is a message, and every table keeps its bound',
    seeds: [
      concatBytes(...Array.from({ length: 12 }, (_, n) => Uint8Array.of(n % 3, 4, 0x40, 2, 0, 3 * n))),
      framed(
        encodeMessage({
          kind: 'request',
          type: 'CON',
          messageId: 1,
          token: utf8('t'),
          code: 1,
          options: path('a'),
          payload: utf8('x'),
        }),
      ),
      framed(Uint8Array.from([0x42, 2, 0, 1, 7, 8, 0xd1, 14, 0x08, 0xff, 1, 2])),
    ],
    words: [
      Uint8Array.of(0x40, 1),
      Uint8Array.of(0xd1, 14),
      Uint8Array.of(0xd1, 10),
      Uint8Array.of(0x60, 0),
      Uint8Array.of(0x70, 0),
      Uint8Array.of(0x61, 0),
    ],
    weight: 4,
    check: checkHostile,
  },
];

/** A datagram as `checkHostile` reads it: from whom, its length, itself; twice. */
function framed(datagram: Bytes): Bytes {
  const one = concatBytes(Uint8Array.of(0, datagram.length), datagram);
  return concatBytes(one, one);
}

/** When copies of a message arrive, in milliseconds. */
const fates: readonly (readonly number[])[] = [[10], [10], [10], [], [10, 20], [3000], [10, 2500], [700, 10]];

/** What is asked for under a number: how it is answered, with how long a body. */
interface Asked {
  readonly number: number;
  readonly code: number;
  readonly size: number;
  readonly observe: boolean;
  readonly handle: RequestHandle;
  cancelled: boolean;
  outcomes: number;
  newest: number;
}

function checkPair(bytes: Bytes): void {
  const choices = new Choices(bytes);
  const small = { limits: { blockSize: 64, maxBody: 512, maxRequests: 8, maxQueuedForPeer: 4, maxBodies: 2 } } as const;
  const pair = new CoapPair({ seed: choices.byte(), client: small, server: small });
  const all: Asked[] = [];
  const done = new Map<number, number>();
  const owed: { exchange: Exchange; number: number }[] = [];
  const observed: { exchange: Exchange; number: number }[] = [];
  let sequence = 1;
  let latest = 'at once';
  pair.intercept = () => (choices.isOver ? [10] : choices.of(fates));
  const answerTo = (number: number) => {
    const { size, code, observe } = all[number]!;
    const options = observe ? Options.empty.with(Observe, sequence++) : Options.empty;
    return reply(code === Method.GET ? ResponseCode.Content : ResponseCode.Changed, options, bodyOf(number, size));
  };
  pair.server.answer = (request, exchange) => {
    const number = Number(pair.server.requests.at(-1)!.path.slice(1));
    if (request.code === Method.POST) {
      done.set(number, (done.get(number) ?? 0) + 1);
      ensureSame(done.get(number), 1, 'done twice');
      ensureSame(request.payload, bodyOf(number, all[number]!.size), 'another body');
    }
    if (request.options.get(Observe) === 0) observed.push({ exchange, number });
    if (latest === 'at once') return answerTo(number);
    owed.push({ exchange, number });
    if (latest === 'acknowledged') pair.server.endpoint.acknowledge(exchange, pair.server);
    return undefined;
  };
  const ask = (code: number, size: number, observe: boolean, nonConfirmable: boolean): void => {
    const number = all.length;
    // What it says is needed before it is known whether there is room for it.
    const asked: Asked = {
      number,
      code,
      size,
      observe,
      handle: 0 as RequestHandle,
      cancelled: false,
      outcomes: 0,
      newest: -1,
    };
    all.push(asked);
    const payload = code === Method.POST ? bodyOf(number, size) : new Uint8Array();
    const handle = pair.client.ask({ code, options: path(String(number)), payload, observe, nonConfirmable });
    if (handle === undefined) asked.cancelled = true;
    else all[number] = { ...asked, handle };
  };
  for (let operations = 0; operations < 40 && !choices.isOver; operations++) {
    switch (choices.below(8)) {
      case 0:
        ask(Method.GET, choices.below(256), false, choices.below(4) === 0);
        break;
      case 1:
        ask(Method.POST, choices.below(256), false, choices.below(4) === 0);
        break;
      case 2:
        ask(Method.GET, choices.below(256), true, false);
        break;
      case 3: {
        const { exchange, number } = owed.splice(choices.below(owed.length || 1), 1)[0] ?? {};
        if (exchange !== undefined) pair.server.respond(exchange, answerTo(number!));
        break;
      }
      case 4: {
        const one = observed[choices.below(observed.length || 1)];
        if (one !== undefined) pair.server.notify(one.exchange, answerTo(one.number), choices.below(2) === 1);
        break;
      }
      case 5:
        pair.run(choices.byte() * 12);
        break;
      case 6: {
        const asked = all[choices.below(all.length || 1)];
        if (
          asked === undefined ||
          asked.cancelled ||
          pair.client.responses.some(({ handle, lasts }) => handle === asked.handle && !lasts)
        )
          break;
        if (asked.observe && choices.below(2) === 0)
          pair.client.endpoint.unobserve(pair.now, asked.handle, pair.client);
        else pair.client.endpoint.cancel(pair.now, asked.handle, pair.client);
        asked.cancelled = true;
        break;
      }
      default:
        latest = choices.of(['at once', 'later', 'acknowledged']);
    }
    const { requests, bodies } = pair.server.endpoint.sizes();
    ensure(bodies <= small.limits.maxBodies && requests === 0, 'more than may be', bodies, requests);
    ensure(pair.client.endpoint.sizes().requests <= small.limits.maxRequests, 'more requests than may be');
  }
  for (const { exchange, number } of owed) pair.server.respond(exchange, answerTo(number));
  pair.intercept = () => [10];
  pair.run(400_000);
  for (const asked of all)
    if (asked.observe && !asked.cancelled) pair.client.endpoint.cancel(pair.now, asked.handle, pair.client);
  pair.run(600_000);
  ensureOutcomes(pair, all);
  const nothing = { exchanges: 0, bodies: 0, transmissions: 0, requests: 0, observations: 0 };
  ensureSame(
    [pair.client, pair.server].map(({ endpoint }) => endpoint.sizes()),
    [nothing, nothing],
    'left over',
  );
  ensureSame(
    [pair.client, pair.server].map(({ endpoint }) => endpoint.nextExpiry()),
    [undefined, undefined],
    'a timer left over',
  );
}

function ensureOutcomes(pair: CoapPair, all: readonly Asked[]): void {
  const byHandle = new Map(all.filter(({ handle }) => handle !== 0).map(asked => [asked.handle, asked]));
  for (const { handle, code, payload, lasts, options } of pair.client.responses) {
    const asked = byHandle.get(handle)!;
    if (!lasts) asked.outcomes++;
    if (!code.startsWith('2.')) continue;
    ensureSame(payload, textOf(asked.number, asked.size), 'the answer of another');
    const sequence = options.get(Observe);
    if (sequence === undefined) continue;
    ensure(sequence > asked.newest, 'older news', sequence, asked.newest);
    asked.newest = sequence;
  }
  for (const { handle } of pair.client.failures) byHandle.get(handle)!.outcomes++;
  for (const { handle, cancelled, observe, outcomes, number } of byHandle.values()) {
    const isRight = cancelled || observe ? outcomes <= 1 : outcomes === 1;
    ensure(isRight, 'ended so many times', outcomes, number, handle);
  }
}

/** In letters, which are the same as text and as bytes. */
function textOf(number: number, size: number): string {
  return Array.from({ length: size }, (_, i) => String.fromCharCode(97 + ((i * 7 + number) % 26))).join('');
}

function bodyOf(number: number, size: number): Bytes {
  return utf8(textOf(number, size));
}

function checkHostile(bytes: Bytes): void {
  const choices = new Choices(bytes);
  const limits = {
    maxExchanges: 6,
    maxBody: 256,
    maxBodies: 2,
    blockSize: 32,
    maxRequests: 2,
    maxQueuedForPeer: 1,
    maxObservations: 2,
  } as const;
  const endpoint = new CoapEndpoint({ random: new SeededRandom(1), limits });
  let time = 0;
  let sent: Bytes[] = [];
  const now = (): Now => ({ instant: time as Instant, wall: (1_700_000_000_000 + time) as WallTime });
  const out: CoapOut = {
    transmit: (_, message) => void sent.push(message.slice()),
    request: (exchange, { payload }) => {
      ensure(payload.length <= limits.maxBody, 'a body beyond its bound', payload.length);
      // Some are answered, with more than a block; some never are.
      if (exchange.messageId % 3 !== 0)
        endpoint.respond(now(), exchange, reply(ResponseCode.Content, Options.empty, new Uint8Array(100)), out);
    },
    response: () => undefined,
    failed: () => undefined,
    notified: notification => endpoint.confirm(notification, out),
    unobserved: () => undefined,
    ponged: () => undefined,
    refused: () => undefined,
  };
  endpoint.request(
    now(),
    onePeer,
    { code: Method.GET, options: path('o'), payload: new Uint8Array(), observe: true },
    out,
  );
  while (!choices.isOver) {
    sent = [];
    const peer = (1 + choices.below(3)) as Peer;
    const datagram = choices.some(80);
    endpoint.receive(now(), peer, datagram, out);
    datagram.fill(0xee);
    ensure(sent.length <= 1, 'several messages for one', sent.length);
    for (const message of sent) ensure(decodeMessage(message).kind !== 'fault', 'it sends what is no message', message);
    const { exchanges, bodies, requests } = endpoint.sizes();
    ensure(
      exchanges <= limits.maxExchanges && bodies <= limits.maxBodies && requests <= limits.maxRequests,
      'more than may be',
      endpoint.sizes(),
    );
    time += 100 * (datagram.length % 7);
    endpoint.expire(now(), out);
  }
  for (const peer of [1, 2, 3]) endpoint.drop(peer as Peer, out);
  time += 1_000_000;
  endpoint.expire(now(), out);
  ensureSame(
    endpoint.sizes(),
    { exchanges: 0, bodies: 0, transmissions: 0, requests: 0, observations: 0 },
    'left over',
  );
}
