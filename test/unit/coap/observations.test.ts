import t from 'tap';
import { type Bytes, noBytes, toHex, utf8 } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import { Method, ResponseCode } from '../../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage } from '../../../src/coap/codec/message.ts';
import { Block2, Observe, Options } from '../../../src/coap/codec/option.ts';
import { CoapEndpoint } from '../../../src/coap/endpoint.ts';
import type { Notification } from '../../../src/coap/exchange.ts';
import { type ObservationId, Observations } from '../../../src/coap/observations.ts';
import type { CoapOut } from '../../../src/coap/out.ts';

const peer = 7 as Peer;
const id = 42 as ObservationId;

/** A server with one observation on one device, which the test plays message by message. */
class Observer {
  instant = 1000;
  readonly sent: Bytes[] = [];
  readonly notified: Notification[] = [];
  readonly requested: number[] = [];
  readonly endpoint = new CoapEndpoint({ random: new SeededRandom(1), limits: { maxExchanges: 64 } });
  readonly token: Bytes;
  lasts: boolean | undefined;
  readonly out: CoapOut = {
    transmit: (_, message) => void this.sent.push(message),
    request: exchange => void this.requested.push(exchange.messageId),
    response: (_, __, lasts) => {
      this.lasts = lasts;
    },
    failed: () => undefined,
    unobserved: () => undefined,
    ponged: () => undefined,
    refused: () => undefined,
    notified: notification => void this.notified.push(notification),
  };

  constructor() {
    this.token = this.endpoint.newObservationToken(peer);
  }

  get now(): Now {
    return { instant: this.instant as Instant, wall: 1e12 as WallTime };
  }

  observe(): this {
    const standing = { id, token: this.token };
    const draft = { code: Method.GET, options: Options.empty, payload: noBytes, observe: true, standing };
    this.endpoint.request(this.now, peer, draft, this.out);
    const request = decodeMessage(this.sent.at(-1)!);
    if (request.kind !== 'request') throw new Error(request.kind);
    this.answer('ACK', request.messageId, 10);
    return this;
  }

  answer(
    type: 'ACK' | 'CON' | 'NON',
    messageId: number,
    observe: number | undefined,
    more: Partial<Answer> = {},
  ): void {
    const { code = ResponseCode.Content, from = peer, token = this.token, payload = utf8('21.5') } = more;
    let options = observe === undefined ? Options.empty : Options.empty.with(Observe, observe);
    if (more.block2 !== undefined) options = options.with(Block2, more.block2);
    if (more.critical === true) options = Options.inOrder([...options.list, { number: 65_001, value: noBytes }]);
    const message = encodeMessage({ kind: 'response', type, messageId, token, code, options, payload });
    this.endpoint.receive(this.now, from, message, this.out);
  }

  /** What left last, in words. */
  get last(): string {
    const message = decodeMessage(this.sent.at(-1)!);
    return message.kind === 'empty' ? `${message.type} ${message.messageId}` : message.kind;
  }
}

interface Answer {
  readonly code: number;
  readonly from: Peer;
  readonly token: Bytes;
  readonly payload: Bytes;
  readonly block2: number;
  /** With an option that nobody knows. */
  readonly critical: boolean;
}

t.test('a notification that is acknowledged before it is stored would be lost in a crash', async t => {
  const observer = new Observer().observe();
  t.equal(observer.lasts, true);
  t.equal(observer.endpoint.sizes().requests, 0, 'the request is over, the observation lasts');
  const before = observer.sent.length;
  observer.answer('CON', 100, 11);
  observer.answer('CON', 100, 11);
  t.match(observer.notified, [{ observation: id, lasts: true, partial: false }], 'its retransmission is no second one');
  t.equal(observer.sent.length, before, 'nothing is acknowledged yet');
  observer.endpoint.confirm(observer.notified[0]!, observer.out);
  t.equal(observer.last, 'ACK 100');
  observer.answer('CON', 100, 11);
  t.equal(observer.sent.length, before + 2, 'and again for its duplicate');
  t.equal(observer.notified.length, 1);
});

t.test('a notification that the disk refused is taken when it comes again', async t => {
  const observer = new Observer().observe();
  observer.answer('CON', 100, 11);
  observer.endpoint.forget(observer.notified[0]!);
  // It was the newest all the same: its retransmission has the same number.
  observer.instant += 3000;
  observer.answer('CON', 100, 11);
  t.equal(observer.notified.length, 2);
});

t.test('a notification that was overtaken is acknowledged and changes nothing', async t => {
  const observer = new Observer().observe();
  observer.answer('NON', 100, 12);
  observer.answer('CON', 101, 11);
  t.equal(observer.notified.length, 1);
  t.equal(observer.last, 'ACK 101');
  t.equal(observer.endpoint.counters.stale, 1);
  observer.instant += 128_001;
  observer.answer('NON', 102, 3);
  t.equal(observer.notified.length, 2, 'after 128 s whatever comes is newer (RFC 7641 §3.4)');
  observer.answer('NON', 103, 2 ** 24 - 1);
  t.equal(observer.notified.length, 2, 'behind the wrap');
});

t.test('a token that nobody knows, and another device’s token, are rejected', async t => {
  const observer = new Observer().observe();
  observer.answer('CON', 100, 11, { from: 8 as Peer });
  t.equal(observer.last, 'RST 100', 'it is a token of another association');
  observer.answer('NON', 101, 11, { token: Uint8Array.of(0x80, 2, 3, 4, 5, 6, 7, 8) });
  t.equal(observer.last, 'RST 101');
  observer.endpoint.forgetStanding(peer, observer.token);
  observer.answer('CON', 102, 12);
  t.equal(observer.last, 'RST 102', 'ends an observation that we gave up');
  t.equal(observer.notified.length, 0);
});

t.test('an observation of before the restart still matches its notifications', async t => {
  const { token } = new Observer().observe();
  const restarted = new Observer();
  restarted.endpoint.restoreStanding(peer, token, id);
  restarted.answer('CON', 300, 12, { token });
  t.match(restarted.notified, [{ observation: id }]);
  restarted.endpoint.drop(peer, restarted.out);
  restarted.answer('CON', 301, 13, { token });
  t.equal(restarted.last, 'RST 301', 'and ends with its association');
});

t.test('a notification with a critical option that nobody knows would be taken as if it were not there', async t => {
  const observer = new Observer().observe();
  observer.answer('CON', 100, 11, { critical: true });
  t.match(
    observer.notified,
    [{ lasts: false, unreadable: true }],
    'it is rejected (RFC 7252 §5.4.1), and so is the last',
  );
  observer.endpoint.reject(observer.notified[0]!, observer.out);
  t.equal(observer.last, 'RST 100');
  t.equal(observer.endpoint.sizes().observations, 0);
});

t.test('an error, or a notification without Observe, is the last one', async t => {
  const failing = new Observer().observe();
  failing.answer('CON', 100, undefined, { code: ResponseCode.NotFound });
  t.match(failing.notified, [{ lasts: false }]);
  t.equal(failing.endpoint.sizes().observations, 0);
  const partial = new Observer().observe();
  partial.answer('NON', 100, 11, { block2: (0 << 4) | 0x8 | 2, payload: new Uint8Array(64) });
  t.match(partial.notified, [{ lasts: true, partial: true }], 'the rest has to be asked for');
});

t.test('notifications would fill the memory for duplicates, and registrations be refused', async t => {
  const observer = new Observer().observe();
  for (let i = 0; i < 1000; i++) {
    observer.answer('NON', 1000 + i, 11 + i);
    observer.endpoint.confirm(observer.notified.at(-1)!, observer.out);
  }
  t.equal(observer.notified.length, 1000);
  const message = { type: 'CON', messageId: 1, token: noBytes, code: Method.POST, options: Options.empty } as const;
  observer.endpoint.receive(
    observer.now,
    peer,
    encodeMessage({ kind: 'request', ...message, payload: noBytes }),
    observer.out,
  );
  t.same(observer.requested, [1], 'a request that must not be done twice still has its place');
});

t.test('a notification that nobody would recognise when it comes again is not taken until there is room', async t => {
  const observer = new Observer().observe();
  // Half of the table is for what is not answered yet.
  for (let i = 0; i < 31; i++) observer.answer('CON', 1000 + i, 11 + i);
  const taken = observer.notified.length;
  observer.answer('CON', 2000, 100);
  observer.answer('CON', 2001, 101);
  t.equal(observer.notified.length, taken + 1, 'one place was left');
  t.equal(observer.endpoint.counters.exchangesRefused, 1);
  observer.endpoint.confirm(observer.notified[0]!, observer.out);
  observer.answer('CON', 2001, 101);
  t.equal(observer.notified.length, taken + 2, 'it came again');
});

t.test('tokens of observations and of requests never meet', async t => {
  const { endpoint, token } = new Observer();
  t.ok(token[0]! >= 0x80);
  const withNumbers = new CoapEndpoint({ random: new SeededRandom(1), sequenceOf: () => 5 });
  const tokens = new Set(Array.from({ length: 1000 }, () => toHex(withNumbers.newObservationToken(peer))));
  t.equal(tokens.size, 1000);
  t.equal(endpoint.newObservationToken(peer).length, 8);
});

t.test('the table of observations says what a map would, whatever comes and goes', async t => {
  const random = new SeededRandom(20);
  const table = new Observations(400);
  const model = new Map<string, { peer: Peer; token: Bytes; id: ObservationId }>();
  for (let step = 0; step < 20_000; step++) {
    const at = (1 + random.below(40)) as Peer;
    const token = Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, random.below(12));
    const key = `${at} ${toHex(token)}`;
    const choice = random.below(10);
    if (choice < 5) {
      const room = model.has(key) || model.size < 400;
      if (table.add(at, token, (step + 1) as ObservationId, undefined) !== room) t.fail(`step ${step}`);
      if (room) model.set(key, { peer: at, token, id: (step + 1) as ObservationId });
    } else if (choice < 9) {
      table.delete(at, token);
      model.delete(key);
    } else if (random.below(4) === 0) {
      table.drop(at);
      for (const [k, entry] of model) if (entry.peer === at) model.delete(k);
    }
    if (table.size !== model.size || table.id(at, token) !== model.get(key)?.id) t.fail(`step ${step}`);
  }
  t.equal(
    [...model.values()].every(entry => table.id(entry.peer, entry.token) === entry.id),
    true,
  );
});
