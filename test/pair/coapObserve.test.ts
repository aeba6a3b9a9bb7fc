import t from 'tap';
import { utf8 } from '../../src/base/bytes.ts';
import { encodeBlock } from '../../src/coap/codec/block.ts';
import { Method, ResponseCode } from '../../src/coap/codec/code.ts';
import { type Reply, type Request, type Response, reply } from '../../src/coap/codec/message.ts';
import { Block2, ETag, Observe, Options } from '../../src/coap/codec/option.ts';
import type { Exchange, RequestHandle } from '../../src/coap/exchange.ts';
import { CoapPair, onePeer, path, post } from '../support/coapPair.ts';

const resource = path('3', '0', '9');

t.test('an observation is one request and many answers, until Observe 1', async t => {
  const { pair, handle, exchange } = observed();
  pair.server.notify(exchange, value(11, '90'), false);
  pair.server.notify(exchange, value(12, '80'), true);
  pair.run();
  t.match(pair.client.responses, [
    { handle, payload: '100', lasts: true },
    { handle, payload: '90', lasts: true },
    { handle, payload: '80', lasts: true },
  ]);
  t.same(pair.ladder, ['→ CON 0.01', '← ACK 2.05 3 B', '← NON 2.05 2 B', '← CON 2.05 2 B', '→ ACK empty']);

  pair.server.answer = () => reply(ResponseCode.Content, Options.empty, utf8('80'));
  pair.client.endpoint.unobserve(pair.now, handle, pair.client);
  pair.run();
  const [first, leave] = pair.client.sent.filter(message => message.kind === 'request');
  t.equal(leave?.options.get(Observe), 1);
  t.same(leave?.token, first?.token, 'under the same token');
  t.match(pair.client.responses.at(-1), { handle, payload: '80', lasts: false });
  t.equal(pair.client.endpoint.sizes().requests, 0);
});

t.test('who asks to observe from a later block on would be told nothing but 4.00', async t => {
  const { pair, handle, exchange } = observed();
  pair.server.notify({ ...exchange, block2: { number: 5, more: false, size: 64 } }, value(11, '90'), false);
  pair.run();
  t.match(pair.client.responses.at(-1), { handle, payload: '90', lasts: true });
});

t.test('a notification on its way when the observation is given up is not handed on, nor rejected', async t => {
  const { pair, handle, exchange } = observed();
  pair.client.endpoint.unobserve(pair.now, handle, pair.client);
  pair.server.notify(exchange, value(11, '90'), true);
  pair.run();
  t.equal(pair.client.responses.length, 1);
  t.equal(pair.server.gone.length, 0);
  pair.server.respond(pair.server.requests.at(-1)!.exchange, reply(ResponseCode.Content));
  pair.run();
  t.match(pair.client.responses.at(-1), { lasts: false });
});

t.test('older news are acknowledged and not handed on', async t => {
  const { pair, exchange } = observed();
  const send = (sequence: number, text: string) => {
    pair.server.notify(exchange, value(sequence, text), true);
    pair.run();
  };
  send(20, 'b');
  send(19, 'late');
  send(20, 'same');
  send(2 ** 23 + 20, 'half a turn ahead is behind');
  send(2 ** 23 + 19, 'c');
  send(5, 'd');
  t.same(
    pair.client.responses.map(({ payload }) => payload),
    ['100', 'b', 'c', 'd'],
    'numbers are compared modulo 2^24',
  );
  t.equal(pair.server.endpoint.sizes().transmissions, 0, 'all were acknowledged');
  pair.run(129_000);
  send(4, 'e');
  t.equal(pair.client.responses.at(-1)?.payload, 'e', 'after 128 s any number is fresh');
});

t.test('a notification that nobody wants is rejected, Confirmable or not, and so ends', async t => {
  for (const confirmable of [true, false]) {
    const { pair, handle, exchange } = observed();
    pair.client.endpoint.cancel(pair.now, handle, pair.client);
    pair.server.notify(exchange, value(11, '90'), confirmable);
    pair.run();
    t.equal(pair.client.sent.at(-1)?.type, 'RST');
    t.same(pair.server.gone, [exchange], confirmable ? 'CON' : 'NON');
    t.equal(pair.server.endpoint.sizes().transmissions, 0);
  }
});

t.test('a client that is gone is found out, also by news that come faster than it can be given up', async t => {
  const { pair, exchange } = observed();
  pair.intercept = () => [];
  pair.server.notify(exchange, value(11, '1'), true);
  pair.run(100_000);
  t.same(pair.server.gone, [exchange]);

  const fast = observed();
  fast.pair.intercept = () => [];
  for (let n = 0; n < 60 && fast.pair.server.gone.length === 0; n++) {
    fast.pair.server.notify(fast.exchange, value(11 + n, String(n)), true);
    t.equal(fast.pair.server.endpoint.sizes().transmissions, 1, 'only the newest is kept');
    fast.pair.run(2000);
  }
  t.same(fast.pair.server.gone, [fast.exchange]);
  const last = fast.pair.server.sent.at(-1) as Response;
  const before = fast.pair.server.sent.at(-2) as Response;
  t.ok(last.messageId !== before.messageId, 'each has a message ID of its own');
});

t.test('a client that is gone would not be found out while news come that need no acknowledgement', async t => {
  const { pair, exchange } = observed();
  pair.intercept = () => [];
  for (let n = 0; n < 60 && pair.server.gone.length === 0; n++) {
    pair.server.notify(exchange, value(11 + n, String(n)), n === 0);
    pair.run(2000);
  }
  t.same(pair.server.gone, [exchange]);
});

t.test('a client that is slower than the news would be taken for gone', async t => {
  const { pair, exchange } = observed();
  pair.intercept = () => [1500];
  for (let n = 0; n < 120; n++) {
    pair.server.notify(exchange, value(11 + n, String(n)), true);
    pair.run(1000);
  }
  pair.run(10_000);
  t.same(pair.server.gone, []);
  t.equal(pair.client.responses.at(-1)?.payload, '119', 'and hears the newest in the end');
  t.equal(pair.server.endpoint.sizes().transmissions, 0);
});

t.test('a peer has one notification of an observation to acknowledge, and newer ones wait for that', async t => {
  const { pair, handle, exchange } = observed();
  pair.ladder.splice(0);
  let isLost = true;
  pair.intercept = from => (from === pair.server && isLost ? [] : [10]);
  pair.server.notify(exchange, value(11, '90'), true);
  pair.server.notify(exchange, value(12, '80'), false);
  pair.server.notify(exchange, value(13, '70'), false);
  t.same(pair.ladder, ['← CON 2.05 2 B'], 'RFC 7252 §4.7');
  isLost = false;
  pair.run(4000);
  t.match(pair.client.responses.slice(1), [{ handle, payload: '70', lasts: true }], 'in its place (RFC 7641 §4.5.2)');
  t.same(pair.ladder.slice(1), ['← CON 2.05 2 B', '→ ACK empty']);

  pair.server.notify(exchange, value(14, '60'), true);
  pair.server.notify(exchange, value(15, '50'), false);
  pair.run(100);
  t.same(pair.ladder.slice(3), ['← CON 2.05 2 B', '→ ACK empty', '← NON 2.05 2 B'], 'or once it is acknowledged');
  t.equal(pair.client.responses.at(-1)?.payload, '50');
});

t.test(
  'a separate answer that says Observe is the first notification: it is replaced by newer ones, and rejected',
  async t => {
    const begun = () => {
      const pair = new CoapPair();
      const handle = pair.client.ask({ code: Method.GET, options: resource, observe: true })!;
      pair.run();
      const { exchange } = pair.server.requests[0]!;
      pair.server.endpoint.acknowledge(exchange, pair.server);
      pair.run(100);
      return { pair, handle, exchange };
    };
    const slow = begun();
    slow.pair.intercept = () => [];
    slow.pair.server.respond(slow.exchange, value(10, '100'));
    slow.pair.intercept = () => [10];
    slow.pair.server.notify(slow.exchange, value(11, '90'), false);
    t.equal(slow.pair.server.endpoint.sizes().transmissions, 1);
    slow.pair.run(4000);
    t.match(slow.pair.client.responses, [{ handle: slow.handle, payload: '90', lasts: true }]);

    const gone = begun();
    gone.pair.client.endpoint.cancel(gone.pair.now, gone.handle, gone.pair.client);
    gone.pair.server.respond(gone.exchange, value(10, '100'));
    gone.pair.run();
    t.same(gone.pair.server.gone, [gone.exchange]);

    const pair = new CoapPair();
    const options = resource.with(Observe, 0);
    const request = {
      kind: 'request',
      messageId: 7,
      token: utf8('t'),
      code: Method.GET,
      options,
      payload: utf8(''),
    } as const;
    pair.server.hear({ ...request, type: 'NON' });
    const { exchange } = pair.server.requests[0]!;
    pair.server.respond(exchange, value(10, '100'));
    pair.run();
    t.equal(pair.client.sent.at(-1)?.type, 'RST', 'it knows nothing of the token');
    t.same(pair.server.gone, [exchange]);
  },
);

t.test('an older notification would come again after the answer to whoever asks to observe anew', async t => {
  const { pair, exchange } = observed();
  pair.intercept = () => [];
  pair.server.notify(exchange, value(11, '90'), true);
  const again: Exchange = { ...exchange, messageId: exchange.messageId + 1 };
  pair.server.respond(again, value(12, '80'));
  t.equal(pair.server.endpoint.sizes().transmissions, 0);
});

t.test('Non-confirmable news are forgotten in time', async t => {
  const { pair, exchange } = observed();
  for (let n = 0; n < 10; n++) pair.server.notify(exchange, value(11 + n, String(n)), false);
  t.equal(pair.server.endpoint.sizes().transmissions, 1, 'one for an observation');
  pair.run(250_000);
  t.equal(pair.server.endpoint.sizes().transmissions, 0);
  t.equal(pair.server.gone.length, 0, 'that nobody rejected it ends nothing');
});

t.test('an answer without Observe is no observation, and one with an error ends it', async t => {
  const refused = new CoapPair();
  refused.server.answer = () => reply(ResponseCode.Content, Options.empty, utf8('100'));
  refused.client.ask({ options: resource, observe: true });
  refused.run();
  t.match(refused.client.responses, [{ lasts: false }]);
  t.equal(refused.client.endpoint.sizes().requests, 0);

  const { pair, exchange } = observed();
  pair.server.notify(exchange, reply(ResponseCode.NotFound), true);
  pair.run();
  t.match(pair.client.responses.at(-1), { code: '4.04', lasts: false });
  t.equal(pair.client.endpoint.sizes().requests, 0);
});

t.test('an observation leaves the line free for other requests', async t => {
  const { pair } = observed();
  pair.server.answer = () => reply(ResponseCode.Changed);
  pair.client.ask(post('x'));
  pair.run();
  t.match(pair.client.responses.at(-1), { code: '2.04' });
});

t.test('the rest of a long notification is fetched under another token, and the observation lasts', async t => {
  const { pair, handle, exchange } = observed({ blockSize: 64 });
  const long = ['x'.repeat(64), 'y'.repeat(64), 'z'].join('');
  const options = Options.empty.with(Observe, 11).with(ETag, utf8('1'));
  // As of a server that says Observe only in the notification itself (RFC 7959, figure 12).
  pair.server.answer = () => reply(ResponseCode.Content, Options.empty.with(ETag, utf8('1')), utf8(long));
  pair.server.notify(exchange, reply(ResponseCode.Content, options, utf8(long)), true);
  pair.run();
  t.match(pair.client.responses.at(-1), { handle, payload: long, lasts: true });
  const [observe, ...rest] = pair.client.sent.filter(message => message.kind === 'request');
  t.equal(rest.length, 2);
  for (const { token, options: asked } of rest) {
    t.notSame(token, observe?.token);
    t.notOk(asked.has(Observe));
  }
  pair.server.notify(exchange, value(12, 'short'), true);
  pair.run();
  t.match(pair.client.responses.at(-1), { handle, payload: 'short', lasts: true });
});

t.test('a long answer to an observation says Observe with its first block only', async t => {
  const pair = new CoapPair({ client: { limits: { blockSize: 64 } }, server: { limits: { blockSize: 64 } } });
  const long = 'x'.repeat(150);
  // As somebody answers who keeps the whole of what was observed, for those who ask for the rest of it.
  pair.server.answer = () => value(10, long);
  const handle = pair.client.ask({ code: Method.GET, options: resource, observe: true });
  pair.run();
  const blocks = pair.server.sent.filter(message => message.kind === 'response');
  t.same(
    blocks.map(({ options }) => options.get(Observe)),
    [10, undefined, undefined],
  );
  t.match(pair.client.responses, [{ handle, payload: long, lasts: true }]);
});

t.test('a server that says Observe with each block would never be heard to the end', async t => {
  const pair = new CoapPair({ client: { limits: { blockSize: 64 } } });
  const handle = pair.client.ask({ code: Method.GET, options: resource, observe: true });
  for (const [number, text] of ['x'.repeat(64), 'y'.repeat(64), 'z'].entries()) {
    const { messageId, token } = pair.client.sent.at(-1) as Request;
    const block = encodeBlock({ number, more: number < 2, size: 64 });
    const options = Options.empty.with(Observe, 10).with(Block2, block);
    const payload = utf8(text);
    pair.client.hear({ kind: 'response', type: 'ACK', messageId, token, code: ResponseCode.Content, options, payload });
  }
  t.match(pair.client.responses, [{ handle, payload: `${'x'.repeat(64)}${'y'.repeat(64)}z`, lasts: true }]);
});

t.test('news that come while older ones are being fetched replace them', async t => {
  const { pair, exchange } = observed({ blockSize: 64 });
  pair.server.answer = () => undefined;
  const first = (sequence: number, letter: string) => {
    const options = Options.empty.with(Observe, sequence).with(ETag, utf8(letter));
    return reply(ResponseCode.Content, options, utf8(letter.repeat(100)));
  };
  pair.server.notify(exchange, first(11, 'a'), true);
  pair.run();
  pair.server.notify(exchange, first(12, 'b'), true);
  pair.run();
  const [fetchA, fetchB] = pair.server.requests.slice(-2);
  const rest = (letter: string) =>
    reply(ResponseCode.Content, Options.empty.with(ETag, utf8(letter)), utf8(letter.repeat(100)));
  pair.server.respond(fetchA!.exchange, rest('a'));
  pair.server.respond(fetchB!.exchange, rest('b'));
  pair.run();
  t.match(pair.client.responses.slice(1), [{ payload: 'b'.repeat(100), lasts: true }]);
  t.equal(pair.client.failures.length, 0);
});

t.test('a peer that begins its answer again and again is given up', async t => {
  const pair = new CoapPair({ client: { limits: { blockSize: 64 } } });
  pair.client.ask({ options: resource });
  for (let n = 0; n < 2; n++) {
    const { messageId, token } = pair.client.sent.at(-1) as Request;
    const options = Options.empty.with(Block2, encodeBlock({ number: 0, more: true, size: 64 }));
    const payload = utf8('x'.repeat(64));
    pair.client.hear({ kind: 'response', type: 'ACK', messageId, token, code: ResponseCode.Content, options, payload });
  }
  t.match(pair.client.failures, [{ fault: 'bad-response' }]);
});

t.test(
  'a notification whose message ID comes again much later would end the retransmission of something else',
  async t => {
    const { pair, exchange } = observed();
    pair.server.notify(exchange, value(11, '90'), false);
    pair.run(300_000);
    // The server asks the peer under the message ID of that notification.
    const handle = pair.server.ask({})!;
    exchange.notified = (pair.server.sent.at(-1) as Request).messageId;
    pair.server.notify(exchange, value(12, '80'), true);
    pair.intercept = () => [];
    pair.run(100_000);
    t.match(pair.server.failures, [{ handle, fault: 'timeout' }]);
  },
);

t.test('an observation ends with its session', async t => {
  const { pair, handle } = observed();
  pair.client.endpoint.drop(onePeer, pair.client);
  t.match(pair.client.failures, [{ handle, fault: 'peer-gone' }]);
  t.equal(pair.client.endpoint.sizes().requests, 0);
});

/** A client that observes one resource of the server, whose value is 100 at first. */
function observed(limits: { blockSize?: 64 } = {}): { pair: CoapPair; handle: RequestHandle; exchange: Exchange } {
  const pair = new CoapPair({ client: { limits }, server: { limits } });
  pair.server.answer = () => value(10, '100');
  const handle = pair.client.ask({ code: Method.GET, options: resource, observe: true })!;
  pair.run();
  pair.server.answer = () => undefined;
  pair.ladder.splice(2);
  return { pair, handle, exchange: pair.server.requests[0]!.exchange };
}

function value(sequence: number, text: string): Reply {
  return reply(ResponseCode.Content, Options.empty.with(Observe, sequence), utf8(text));
}
