import t from 'tap';
import { noBytes, utf8 } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { encodeBlock } from '../../src/coap/codec/block.ts';
import { codeText, Method, ResponseCode } from '../../src/coap/codec/code.ts';
import { encodeMessage, type Message, type Request, reply } from '../../src/coap/codec/message.ts';
import { Block1, MaxAge, Options, ProxyUri, UriHost } from '../../src/coap/codec/option.ts';
import { CoapPair, type CoapSide, onePeer, path, post } from '../support/coapPair.ts';

const changed = reply(ResponseCode.Changed);
const otherPeer = 2 as Peer;

t.test('a lost request is sent again, and its answer is piggy-backed', async t => {
  const pair = new CoapPair();
  pair.server.answer = () => changed;
  loseFirst(pair, 1);
  pair.client.ask(post('x'));
  pair.run(5000);
  t.match(pair.client.responses, [{ code: '2.04', lasts: false }]);
  t.same(pair.ladder, ['→ CON 0.02 1 B', '→ CON 0.02 1 B', '← ACK 2.04']);
  t.equal(pair.server.requests.length, 1);
});

t.test('when the answer is lost, the duplicate gets the same answer and is not done twice', async t => {
  const pair = new CoapPair();
  pair.server.answer = () => changed;
  pair.intercept = (from, _message) => (from === pair.server && pair.server.sent.length === 1 ? [] : [10]);
  pair.client.ask(post('x'));
  pair.run(5000);
  t.equal(pair.server.requests.length, 1, 'one effect');
  t.equal(pair.server.sent.length, 2);
  t.match(pair.client.responses, [{ code: '2.04' }]);
  t.equal(pair.server.endpoint.counters.duplicates, 1);
});

t.test(
  'a duplicate is met with silence while its answer is owed, and no empty ACK ends the retransmission',
  async t => {
    const pair = new CoapPair();
    pair.client.ask(post('x'));
    pair.run(20_000);
    t.equal(pair.client.sent.length, 4, 'the client goes on asking');
    t.equal(pair.server.sent.length, 0, 'nothing is acknowledged that is not durable');
    t.equal(pair.server.requests.length, 1);
    pair.server.respond(pair.server.requests[0]!.exchange, changed);
    pair.run(1000);
    t.match(pair.client.responses, [{ code: '2.04' }]);
  },
);

t.test('retransmissions double, and after the last one the request has failed', async t => {
  const pair = new CoapPair();
  const times: number[] = [];
  pair.intercept = () => {
    times.push(pair.time);
    return [];
  };
  const handle = pair.client.ask(post('x'));
  pair.run(200_000);
  t.equal(times.length, 5, 'one transmission and MAX_RETRANSMIT more');
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  t.ok(gaps[0]! >= 2000 && gaps[0]! <= 3000, 'ACK_TIMEOUT times a random factor');
  for (const [i, gap] of gaps.slice(1).entries()) t.ok(Math.abs(gap - 2 * gaps[i]!) < 1, `${gap} after ${gaps[i]}`);
  t.same(pair.client.failures, [{ handle, fault: 'timeout' }]);
  pair.run(300_000);
  t.same(pair.client.endpoint.sizes(), { exchanges: 0, bodies: 0, transmissions: 0, requests: 0, observations: 0 });
  t.equal(pair.client.endpoint.nextExpiry(), undefined, 'and no timer is left');
});

t.test('an answer that waits for somebody else is acknowledged first and comes separately', async t => {
  const pair = new CoapPair();
  pair.client.ask(post('x'));
  pair.run();
  const { exchange } = pair.server.requests[0]!;
  pair.server.endpoint.acknowledge(exchange, pair.server);
  pair.run(10_000);
  t.equal(pair.client.sent.length, 1, 'the client waits');
  loseFirst(pair, 1, pair.server);
  pair.server.respond(exchange, changed);
  pair.run(10_000);
  t.same(pair.ladder, ['→ CON 0.02 1 B', '← ACK empty', '← CON 2.04', '← CON 2.04', '→ ACK empty']);
  t.match(pair.client.responses, [{ code: '2.04' }]);
  t.equal(pair.server.endpoint.sizes().transmissions, 0);

  await t.test('and a duplicate of the request is acknowledged again', async t => {
    pair.server.hear(pair.client.sent[0]!);
    t.match(pair.server.sent.at(-1), { kind: 'empty', type: 'ACK' });
  });
});

t.test('a separate response that overtakes the acknowledgement ends the retransmission too', async t => {
  const pair = new CoapPair();
  pair.client.ask(post('x'));
  pair.run();
  const { exchange } = pair.server.requests[0]!;
  pair.intercept = (from, message) => (from === pair.server && message.kind === 'empty' ? [4000] : [10]);
  pair.server.endpoint.acknowledge(exchange, pair.server);
  pair.server.respond(exchange, changed);
  pair.run(10_000);
  t.match(pair.client.responses, [{ code: '2.04' }]);
  t.equal(pair.client.sent.filter(message => message.kind === 'request').length, 1);
});

t.test('a separate response that is delivered twice is acknowledged twice and handed on once', async t => {
  const pair = new CoapPair();
  pair.client.ask(post('x'));
  pair.run();
  const { exchange } = pair.server.requests[0]!;
  pair.server.endpoint.acknowledge(exchange, pair.server);
  pair.intercept = from => (from === pair.server ? [10, 30] : [10]);
  pair.server.respond(exchange, changed);
  pair.run();
  t.equal(pair.client.responses.length, 1);
  t.equal(pair.client.sent.filter(message => message.type === 'ACK' || message.type === 'RST').length, 2);
});

t.test('a Non-confirmable request gets a Non-confirmable response, and its duplicate nothing', async t => {
  const pair = new CoapPair();
  pair.server.answer = () => changed;
  pair.intercept = from => (from === pair.client ? [10, 20] : [10]);
  pair.client.ask({ ...post('x'), nonConfirmable: true });
  pair.run();
  t.same(pair.ladder, ['→ NON 0.02 1 B', '← NON 2.04']);
  t.equal(pair.server.requests.length, 1);
  t.match(pair.client.responses, [{ code: '2.04' }]);
});

t.test('a Non-confirmable request that is rejected or never answered fails', async t => {
  const pair = new CoapPair();
  pair.client.ask({ ...post('x'), nonConfirmable: true });
  pair.client.hear({ kind: 'empty', type: 'RST', messageId: pair.client.sent[0]!.messageId });
  t.match(pair.client.failures, [{ fault: 'reset' }]);
  pair.client.ask({ ...post('x'), nonConfirmable: true });
  pair.run(94_000);
  t.match(pair.client.failures, [{ fault: 'reset' }, { fault: 'timeout' }]);
  t.equal(pair.client.sent.length, 2, 'it is not sent again');
});

t.test('a ping is answered with RST, and so is a response that nobody asked for', async t => {
  const pair = new CoapPair();
  pair.server.hear({ kind: 'empty', type: 'CON', messageId: 7 });
  t.match(pair.server.sent, [{ kind: 'empty', type: 'RST', messageId: 7 }]);
  const content = { code: ResponseCode.Content, options: Options.empty, payload: noBytes };
  for (const type of ['CON', 'NON'] as const) {
    pair.server.hear({ kind: 'response', type, messageId: 8, token: utf8('?'), ...content });
    t.match(pair.server.sent.at(-1), { kind: 'empty', type: 'RST', messageId: 8 }, type);
  }
  const before = pair.server.sent.length;
  pair.server.hear({ kind: 'response', type: 'ACK', messageId: 9, token: utf8('?'), ...content });
  pair.server.hear({ kind: 'empty', type: 'ACK', messageId: 9 });
  pair.server.hear({ kind: 'empty', type: 'RST', messageId: 9 });
  t.equal(pair.server.sent.length, before, 'ACK and RST are never answered');
});

t.test('what cannot be read is rejected if it was Confirmable, and ignored if not', async t => {
  const pair = new CoapPair();
  pair.server.receive(Uint8Array.of(0x40, 0x02, 0x12, 0x34, 0xff));
  t.match(pair.server.sent, [{ type: 'RST', messageId: 0x1234 }]);
  for (const bytes of [[0x50, 0x02, 0x12, 0x35, 0xff], [0x00, 0x01, 0x12, 0x36], [], [0x40]]) {
    pair.server.receive(Uint8Array.from(bytes));
  }
  t.equal(pair.server.sent.length, 1);
  t.same(pair.server.faults, ['payload-marker', 'payload-marker', 'version', 'too-short', 'too-short']);
  t.equal(pair.server.endpoint.counters.malformed, 5);
});

t.test('a critical option that nobody knows is 4.02, an elective one is ignored', async t => {
  const pair = new CoapPair();
  pair.server.answer = () => changed;
  const table: readonly [what: string, options: readonly (readonly [number, string])[], code: string][] = [
    ['an unknown critical option', [[9, '']], '4.02'],
    ['an unknown elective option', [[65_000, 'x']], '2.04'],
    [
      'Uri-Host twice',
      [
        [3, 'a'],
        [3, 'b'],
      ],
      '4.02',
    ],
    ['an empty Uri-Host', [[3, '']], '4.02'],
    ['an Accept of three bytes', [[17, 'abc']], '4.02'],
    ['a Uri-Path that is no UTF-8', [[11, '\u00ff']], '4.02'],
    ['a Uri-Path of 256 bytes', [[11, 'x'.repeat(256)]], '4.02'],
    ['a Proxy-Uri', [[35, 'coap://elsewhere']], '5.05'],
    ['a Proxy-Scheme', [[39, 'coap']], '5.05'],
    [
      'Content-Format twice',
      [
        [12, '('],
        [12, '<'],
      ],
      '2.04',
    ],
  ];
  for (const [what, list, code] of table) {
    const options = Options.inOrder(list.map(([number, value]) => ({ number, value: Buffer.from(value, 'latin1') })));
    const before = pair.server.requests.length;
    pair.server.hear(request({ options }));
    const sent = pair.server.sent.at(-1);
    t.equal(sent?.kind === 'response' ? codeText(sent.code) : sent?.kind, code, what);
    t.equal(sent?.kind === 'response' ? sent.payload.length : -1, 0, 'and no text with it');
    t.equal(pair.server.requests.length - before, code === '2.04' ? 1 : 0);
  }
  t.same([...new Set(pair.server.faults)], ['critical-option', 'proxying']);

  await t.test('and in a Non-confirmable request it is met with silence', async t => {
    const before = pair.server.sent.length;
    pair.server.hear({ ...request({ options: Options.empty.with(UriHost, 'a').with(UriHost, 'b') }), type: 'NON' });
    pair.server.hear({ ...request({ options: Options.empty.with(ProxyUri, 'coap://x') }), type: 'NON' });
    t.equal(pair.server.sent.length, before);
  });
});

t.test('an answer with a critical option that nobody knows fails the request', async t => {
  const pair = new CoapPair();
  const unknown = Options.inOrder([{ number: 65_001, value: noBytes }]);
  pair.server.answer = () => reply(ResponseCode.Content, unknown);
  pair.client.ask({});
  pair.run();
  t.match(pair.client.failures, [{ fault: 'bad-response' }]);

  await t.test('and in a message of its own it is rejected, and not acknowledged (RFC 7252 §5.4.1)', async t => {
    const separate = new CoapPair();
    const handle = separate.client.ask({});
    separate.run(100);
    const { exchange } = separate.server.requests[0]!;
    separate.server.endpoint.acknowledge(exchange, separate.server);
    separate.server.respond(exchange, reply(ResponseCode.Content, unknown));
    separate.run();
    t.same(separate.ladder.slice(1), ['← ACK empty', '← CON 2.05', '→ RST empty']);
    t.match(separate.client.failures, [{ handle, fault: 'bad-response' }]);
  });
});

t.test('a message ID is remembered for EXCHANGE_LIFETIME, and of each peer by itself', async t => {
  const pair = new CoapPair();
  pair.server.answer = () => changed;
  const same = request({ messageId: 5 });
  pair.server.hear(same);
  pair.server.hear(same);
  t.equal(pair.server.requests.length, 1);
  pair.server.hear(same, otherPeer);
  t.equal(pair.server.requests.length, 2, 'another association has message IDs of its own');
  pair.run(246_000);
  pair.server.hear(same);
  t.equal(pair.server.requests.length, 2);
  pair.run(2000);
  pair.server.hear(same);
  t.equal(pair.server.requests.length, 3);
});

t.test('an answer of another association matches nothing, though token and message ID are right', async t => {
  const pair = new CoapPair();
  pair.client.ask({});
  const { messageId, token } = pair.client.sent[0] as Request;
  const answer = { kind: 'response', messageId, token, ...reply(ResponseCode.Content) } as const;
  pair.client.hear({ ...answer, type: 'ACK' }, otherPeer);
  pair.client.hear({ ...answer, type: 'NON' }, otherPeer);
  pair.client.hear({ kind: 'empty', type: 'RST', messageId }, otherPeer);
  t.equal(pair.client.responses.length + pair.client.failures.length, 0);
  pair.client.hear({ ...answer, type: 'ACK' });
  t.equal(pair.client.responses.length, 1);
});

t.test('a piggy-backed response must match by token and by message ID', async t => {
  const pair = new CoapPair({ client: { transmission: twoAtOnce } });
  pair.client.ask({});
  pair.client.ask({});
  const [first, second] = pair.client.sent as Request[];
  const crossed = { kind: 'response', type: 'ACK', ...reply(ResponseCode.Content) } as const;
  pair.client.hear({ ...crossed, token: first!.token, messageId: second!.messageId });
  pair.client.hear({ ...crossed, token: utf8('?'), messageId: first!.messageId });
  t.equal(pair.client.responses.length, 0);
  pair.run(4000);
  t.equal(pair.client.sent.length, 4, 'both are still sent again');
});

t.test('a full table refuses what must not be done twice, and forgets what may', async t => {
  const pair = new CoapPair({ server: { limits: { maxExchanges: 8 } } });
  for (let i = 0; i < 4; i++) pair.server.hear(request({ messageId: i }));
  t.equal(pair.server.requests.length, 4, 'four wait for their answers');
  pair.server.hear(request({ messageId: 4 }));
  const [refused] = pair.server.sent;
  t.match(refused, { code: ResponseCode.ServiceUnavailable });
  t.equal(refused?.kind === 'response' && refused.options.get(MaxAge), 30, 'and when to try again (RFC 7252 §5.9.3.4)');
  t.equal(pair.server.requests.length, 4);
  t.equal(pair.server.endpoint.counters.exchangesRefused, 1);
  t.same(pair.server.faults, ['exchanges-full']);
  pair.server.hear({ ...request({ messageId: 5 }), code: Method.GET });
  t.equal(pair.server.requests.length, 5, 'what is idempotent is done even if its duplicate would not be known');
  for (const { exchange } of pair.server.requests) pair.server.respond(exchange, changed, true);
  for (let i = 10; i < 100; i++) {
    pair.server.hear(request({ messageId: i }));
    pair.server.respond(pair.server.requests.at(-1)!.exchange, changed, true);
  }
  t.ok(pair.server.endpoint.sizes().exchanges <= 8, 'the bound holds');
});

t.test(
  'Non-confirmable requests that are met with silence would fill the table, and registrations find no room',
  async t => {
    const pair = new CoapPair({ server: { limits: { maxExchanges: 8 } } });
    pair.server.answer = () => changed;
    const options = Options.inOrder([{ number: 9, value: noBytes }]);
    for (let messageId = 0; messageId < 8; messageId++) {
      pair.server.hear({ ...request({ messageId, options }), type: 'NON' });
    }
    pair.server.hear(request({ messageId: 8 }), otherPeer);
    t.match(pair.server.sent, [{ type: 'ACK', code: ResponseCode.Changed }]);
    pair.server.hear({ ...request({ messageId: 7, options }), type: 'NON' });
    t.equal(pair.server.endpoint.counters.duplicates, 1, 'a duplicate is known nevertheless');
  },
);

t.test('a peer is asked one thing at a time, and the line behind it is bounded', async t => {
  const pair = new CoapPair({ client: { limits: { maxQueuedForPeer: 2, maxRequests: 5 } } });
  const handles = [1, 2, 3].map(n => pair.client.ask(post(String(n))));
  t.equal(pair.client.sent.length, 1, 'NSTART is 1');
  t.equal(pair.client.ask(post('4')), undefined, 'no room in the line');
  t.equal(pair.client.endpoint.counters.requestsRefused, 1);
  pair.client.ask(post('a'), otherPeer);
  t.equal(pair.client.sent.length, 2, 'another peer has a line of its own');
  pair.client.ask(post('b'), otherPeer);
  t.equal(pair.client.ask(post('c'), 3 as Peer), undefined, 'no room for all peers together');
  pair.server.answer = () => changed;
  pair.run();
  t.same(
    pair.client.responses.map(({ handle }) => handle).filter(handle => handles.includes(handle)),
    handles,
    'in the order they were asked',
  );
});

t.test('whoever waits in line goes on when the one before was rejected, gave up, or was cancelled', async t => {
  for (const end of ['reset', 'timeout', 'cancelled'] as const) {
    const pair = new CoapPair();
    pair.intercept = (_, message) => (message.kind === 'request' && message.payload[0] === 0x31 ? [] : [10]);
    const handle = pair.client.ask(post('1'))!;
    pair.client.ask(post('2'));
    pair.server.answer = () => changed;
    if (end === 'reset') pair.client.hear({ kind: 'empty', type: 'RST', messageId: pair.client.sent[0]!.messageId });
    if (end === 'cancelled') pair.client.endpoint.cancel(pair.now, handle, pair.client);
    if (end === 'timeout') pair.run(100_000);
    else pair.run(1000);
    t.equal(pair.client.responses.length, 1, end);
    t.equal(pair.server.requests.at(-1)?.payload, '2', end);
    pair.run(300_000);
    t.match(pair.client.endpoint.sizes(), { transmissions: 0, requests: 0 }, end);
  }
});

t.test('when a session ends, what was asked of it fails and nobody else loses a message', async t => {
  const pair = new CoapPair({ client: { random: lastMessageIdFirst() } });
  pair.intercept = () => [];
  pair.client.ask(post('mine'));
  pair.client.ask(post('theirs'), otherPeer);
  pair.client.ask(post('queued'), otherPeer);
  pair.client.endpoint.drop(otherPeer, pair.client);
  t.match(pair.client.failures, [{ fault: 'peer-gone' }, { fault: 'peer-gone' }]);
  pair.run(4000);
  const again = pair.client.sent.slice(2) as Request[];
  t.same(
    again.map(({ payload }) => Buffer.from(payload).toString()),
    ['mine'],
    'the other peer is still asked',
  );
  pair.client.endpoint.drop(onePeer, pair.client);
  pair.run(300_000);
  t.match(pair.client.endpoint.sizes(), { transmissions: 0, requests: 0 });
});

t.test(
  'both ends ask each other at once, with loss, duplication and reordering, and each effect happens once',
  async t => {
    for (let seed = 1; seed <= 20; seed++) {
      const pair = new CoapPair({ seed });
      const random = new SeededRandom(seed);
      pair.intercept = () => {
        const roll = random.fraction();
        if (roll < 0.2) return [];
        return roll < 0.4 ? [random.below(3000), random.below(3000)] : [random.below(800)];
      };
      for (const side of [pair.client, pair.server]) {
        side.answer = ({ payload }) => reply(ResponseCode.Changed, Options.empty, payload.slice());
      }
      const asked = 12;
      for (let n = 0; n < asked; n++) {
        pair.client.ask(post(`c${n}`));
        pair.server.ask(post(`s${n}`));
      }
      pair.run(1_500_000);
      for (const [from, to] of [
        [pair.client, pair.server],
        [pair.server, pair.client],
      ] as const) {
        const done = to.requests.map(({ payload }) => payload);
        t.equal(new Set(done).size, done.length, `seed ${seed}: nothing is done twice`);
        t.equal(from.responses.length + from.failures.length, asked, `seed ${seed}: everything ends`);
        t.ok(from.responses.length >= asked - 2, `seed ${seed}: nearly everything is answered`);
        t.same(
          from.endpoint.sizes(),
          { exchanges: 0, bodies: 0, transmissions: 0, requests: 0, observations: 0 },
          `seed ${seed}`,
        );
      }
    }
  },
);

t.test('a datagram may be overwritten once it was received: what is owed keeps no view of it', async t => {
  const pair = new CoapPair();
  const bytes = encodeMessage(
    request({ token: utf8('token'), payload: utf8('first block. '.padEnd(16)), options: block }),
  );
  pair.server.receive(bytes);
  bytes.fill(0);
  const rest = encodeMessage(request({ token: utf8('token'), payload: utf8('second'), options: lastBlock }));
  pair.server.receive(rest);
  rest.fill(0);
  t.match(pair.server.requests, [{ payload: 'first block.    second' }]);
  pair.server.respond(pair.server.requests[0]!.exchange, changed);
  t.match(pair.server.sent.at(-1), { token: utf8('token'), code: ResponseCode.Changed });
});

const block = path('rd').with(Block1, encodeBlock({ number: 0, more: true, size: 16 }));
const lastBlock = path('rd').with(Block1, encodeBlock({ number: 1, more: false, size: 16 }));

function request(parts: Partial<Request>): Request {
  return {
    kind: 'request',
    type: 'CON',
    messageId: nextId++,
    token: utf8('t'),
    code: Method.POST,
    options: path('rd'),
    payload: noBytes,
    ...parts,
  };
}

let nextId = 1000;

/** The first `count` messages of one side, or of both, are lost. */
function loseFirst(pair: CoapPair, count: number, of?: CoapSide): void {
  let left = count;
  pair.intercept = (from: CoapSide, _message: Message) => ((of === undefined || from === of) && left-- > 0 ? [] : [10]);
}

/** Message IDs begin with 65535, the neighbour of those of the next peer. */
function lastMessageIdFirst() {
  const random = new SeededRandom(1);
  return { bytes: (length: number) => random.bytes(length), fraction: () => 0.999_999 };
}

const twoAtOnce = { ackTimeout: 2000, ackRandomFactor: 1.5, maxRetransmit: 4, nstart: 2, maxLatency: 100_000 };
