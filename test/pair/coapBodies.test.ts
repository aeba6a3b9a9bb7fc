import t from 'tap';
import { type Bytes, toHex, utf8 } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { type BlockSize, decodeBlock, encodeBlock } from '../../src/coap/codec/block.ts';
import { codeText, Method, ResponseCode } from '../../src/coap/codec/code.ts';
import { encodeMessage, type Message, type Request, type Response, reply } from '../../src/coap/codec/message.ts';
import { Block1, Block2, Echo, ETag, Options, RequestTag, Size1, Size2 } from '../../src/coap/codec/option.ts';
import { CoapPair, path, post } from '../support/coapPair.ts';

const small = { limits: { blockSize: 64 } } as const;
const body = (length: number) => Array.from({ length }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');

t.test('a long request body arrives whole, block by block', async t => {
  const pair = new CoapPair({ client: small });
  pair.server.answer = ({ payload }) => reply(ResponseCode.Changed, Options.empty, payload.slice(0, 3));
  pair.client.ask(post(body(150)));
  pair.run();
  t.match(pair.server.requests, [{ payload: body(150) }]);
  t.match(pair.client.responses, [{ code: '2.04', payload: 'abc' }]);
  t.same(blocks(pair.client.sent, Block1), ['0/1/64', '1/1/64', '2/0/64']);
  t.same(blocks(pair.server.sent, Block1), ['0/1/64', '1/1/64', '2/0/64'], 'RFC 7959, figure 7');
  t.equal((pair.client.sent[0] as Request).options.get(Size1), 150);
  t.equal(pair.server.endpoint.sizes().bodies, 0);
});

t.test('a long answer is asked for block by block', async t => {
  const pair = new CoapPair({ client: small });
  pair.server.answer = () => reply(ResponseCode.Content, Options.empty, utf8(body(200)));
  pair.client.ask({ options: path('.well-known', 'core') });
  pair.run();
  t.match(pair.client.responses, [{ code: '2.05', payload: body(200) }]);
  t.same(blocks(pair.server.sent, Block2), ['0/1/64', '1/1/64', '2/1/64', '3/0/64']);
  t.equal((pair.server.sent[0] as Response).options.get(Size2), 200);
});

t.test('the rest of a long answer to a FETCH would be asked for without saying of what', async t => {
  const pair = new CoapPair({ client: small });
  pair.server.answer = ({ payload }) =>
    payload.length > 0 ? reply(ResponseCode.Content, Options.empty, utf8(body(200))) : reply(ResponseCode.BadRequest);
  pair.client.ask({ code: Method.FETCH, payload: utf8('/3/0/9') });
  pair.run();
  t.match(pair.client.responses, [{ code: '2.05', payload: body(200) }], 'what it asks is part of it (RFC 8132 §2)');
});

t.test('the rest of an answer to a long request would be asked for with the last block of that', async t => {
  const pair = new CoapPair({ client: small, server: small });
  pair.server.answer = () => reply(ResponseCode.Content, Options.empty, utf8(body(200)));
  pair.client.ask({ code: Method.FETCH, payload: utf8(body(100)) });
  pair.run();
  t.match(pair.client.responses, [{ code: '2.05', payload: body(200) }]);
  t.same(blocks(pair.client.sent, Block1), ['0/1/64', '1/0/64']);
  t.same(blocks(pair.client.sent, Block2), ['1/0/64', '2/0/64', '3/0/64'], 'without Block1 (RFC 7959 §2.7)');
  t.same(
    pair.client.sent.map(message => (message as Request).payload.length),
    [64, 36, 0, 0, 0],
  );
});

t.test('a peer that sends smaller blocks is asked for those, and one that sends larger ones for ours', async t => {
  for (const [ours, theirs] of [
    [1024, 64],
    [64, 1024],
    [512, 256],
  ] as const) {
    const pair = new CoapPair({ client: { limits: { blockSize: ours } }, server: { limits: { blockSize: theirs } } });
    pair.server.answer = () => reply(ResponseCode.Content, Options.empty, utf8(body(3000)));
    pair.client.ask({});
    pair.run();
    t.match(pair.client.responses, [{ code: '2.05', payload: body(3000) }], `${ours} and ${theirs}`);
    const sizes = blocks(pair.client.sent, Block2)
      .map(block => block.split('/')[2])
      .slice(1);
    t.ok(sizes.length > 1);
    t.ok(sizes.every(size => size === String(Math.min(ours, theirs))));
  }
});

t.test('a peer that has limited its records would get none that holds a whole block', async t => {
  for (const limit of [512, 1024, 2048, 4096]) {
    const block = limit === 512 ? 256 : limit === 1024 ? 512 : 1024;
    const pair = new CoapPair({ server: { maxMessageOf: () => limit } });
    pair.server.answer = () =>
      reply(ResponseCode.Content, Options.empty.with(ETag, utf8('12345678')), utf8(body(3000)));
    pair.client.ask({});
    pair.server.ask(post(body(3000)));
    pair.client.answer = () => reply(ResponseCode.Changed);
    pair.run();
    t.match(pair.client.responses, [{ payload: body(3000) }]);
    t.match(pair.client.requests, [{ payload: body(3000) }]);
    const lengths = pair.server.sent.map(message => encodeMessage(message).length);
    t.ok(Math.max(...lengths) <= limit, `${Math.max(...lengths)} of ${limit}`);
    t.ok(blocks(pair.server.sent, Block2).every(sent => sent.endsWith(`/${block}`)));
    t.ok(blocks(pair.server.sent, Block1).every(sent => sent.endsWith(`/${block}`)));
  }
});

t.test('bodies end where a block ends, and one byte before and after it', async t => {
  const pair = new CoapPair({ client: small, server: small });
  for (const length of [1, 63, 64, 65, 127, 128, 129, 4096]) {
    pair.server.answer = ({ code }) =>
      code === Method.GET
        ? reply(ResponseCode.Content, Options.empty, utf8(body(length)))
        : reply(ResponseCode.Changed);
    pair.client.ask(post(body(length)));
    pair.client.ask({});
    pair.run(10_000);
    t.equal(pair.server.requests.find(({ code }) => code === Method.POST)?.payload, body(length), `sent ${length}`);
    t.equal(pair.client.responses.at(-1)?.payload, body(length), `received ${length}`);
    pair.server.requests.length = 0;
  }
  t.equal(pair.client.failures.length, 0);
});

t.test('the rest of a long answer is no second request to change something', async t => {
  const pair = new CoapPair({ client: small, server: small });
  pair.server.answer = () => reply(ResponseCode.Changed, Options.empty, utf8(body(100)));
  pair.client.ask(post('x'));
  pair.run();
  t.equal(pair.server.requests.length, 1);
  t.match(pair.client.responses, [{ code: '4.08' }]);
});

t.test('bodies survive loss, duplication and reordering', async t => {
  for (let seed = 1; seed <= 20; seed++) {
    const pair = new CoapPair({ seed, client: small, server: small });
    const random = new SeededRandom(seed);
    pair.intercept = () => (random.fraction() < 0.15 ? [] : random.fraction() < 0.3 ? [10, random.below(3000)] : [10]);
    pair.server.answer = ({ code }) =>
      code === Method.GET ? reply(ResponseCode.Content, Options.empty, utf8(body(500))) : reply(ResponseCode.Changed);
    pair.client.ask(post(body(500)));
    pair.client.ask({});
    pair.run(900_000);
    t.equal(pair.client.responses.length + pair.client.failures.length, 2, `seed ${seed}: everything ends`);
    for (const { code, payload } of pair.client.responses) {
      if (code === '2.05') t.equal(payload, body(500), `seed ${seed}`);
    }
    const posts = pair.server.requests.filter(({ code }) => code === Method.POST);
    t.ok(posts.length <= 1 && posts.every(({ payload }) => payload === body(500)), `seed ${seed}: once, and whole`);
    t.same(
      pair.client.endpoint.sizes(),
      { exchanges: 0, bodies: 0, transmissions: 0, requests: 0, observations: 0 },
      `seed ${seed}`,
    );
  }
});

t.test('a server that wants smaller blocks gets them, counted in the smaller size', async t => {
  const pair = new CoapPair({ client: { limits: { blockSize: 128 } } });
  pair.client.ask(post(body(210)));
  const answer = (sent: Request, code: number, block: [number, boolean, BlockSize]) =>
    pair.client.hear(response(sent, code, Options.empty.with(Block1, value(...block))));
  answer(last(pair.client.sent), ResponseCode.Continue, [0, true, 32]);
  answer(last(pair.client.sent), ResponseCode.Continue, [4, true, 32]);
  answer(last(pair.client.sent), ResponseCode.Continue, [5, true, 32]);
  answer(last(pair.client.sent), ResponseCode.Changed, [6, false, 32]);
  t.same(blocks(pair.client.sent, Block1), ['0/1/128', '4/1/32', '5/1/32', '6/0/32'], 'RFC 7959, figure 9');
  t.match(pair.client.responses, [{ code: '2.04' }]);
});

t.test('a server that cannot hold the first block gets it again in its size', async t => {
  const pair = new CoapPair({ client: { limits: { blockSize: 128 } } });
  pair.client.ask(post(body(200)));
  const tooLarge = Options.empty.with(Block1, value(0, true, 16));
  pair.client.hear(response(last(pair.client.sent), ResponseCode.RequestEntityTooLarge, tooLarge));
  t.same(blocks(pair.client.sent, Block1), ['0/1/128', '0/1/16']);
  pair.client.hear(response(last(pair.client.sent), ResponseCode.RequestEntityTooLarge, Options.empty.with(Size1, 64)));
  t.match(pair.client.responses, [{ code: '4.13' }], 'and one that wants none says so at last');
});

t.test('a server that refuses a body in the size it came in would get its first block again and again', async t => {
  const pair = new CoapPair({ client: small });
  pair.client.ask(post(body(150)));
  const tooLarge = Options.empty.with(Block1, value(0, true, 64));
  pair.client.hear(response(last(pair.client.sent), ResponseCode.RequestEntityTooLarge, tooLarge));
  t.same(blocks(pair.client.sent, Block1), ['0/1/64']);
  t.match(pair.client.responses, [{ code: '4.13' }]);
});

t.test('a server that takes each block by itself gets all of them', async t => {
  const pair = new CoapPair({ client: small });
  pair.client.ask(post(body(150)));
  for (let i = 0; i < 3; i++) {
    pair.client.hear(
      response(last(pair.client.sent), ResponseCode.Changed, Options.empty.with(Block1, value(i, false, 64))),
    );
  }
  t.same(blocks(pair.client.sent, Block1), ['0/1/64', '1/1/64', '2/0/64'], 'RFC 7959, figure 8');
  t.match(pair.client.responses, [{ code: '2.04' }]);
});

t.test('a body beyond the limit is 4.13 with the limit, at the first block that says so', async t => {
  const server = { limits: { maxBody: 100 } };
  const announced = new CoapPair({ client: small, server });
  announced.client.ask(post(body(150)));
  announced.run();
  t.match(announced.client.responses, [{ code: '4.13' }]);
  t.equal(announced.client.responses[0]?.options.get(Size1), 100);
  t.equal(announced.client.sent.length, 1, 'Size1 was enough');

  const silent = new CoapPair({ server });
  for (const [number, more] of [
    [0, true],
    [1, true],
  ] as const) {
    silent.server.hear(request(Options.empty.with(Block1, value(number, more, 64)), body(64)));
  }
  t.same(codes(silent.server.sent), ['2.31', '4.13']);
  t.equal(silent.server.endpoint.sizes().bodies, 0, 'what was held is given back');

  const whole = new CoapPair({ server });
  whole.server.hear(request(Options.empty, body(101)));
  t.same(codes(whole.server.sent), ['4.13']);
  t.same(whole.server.faults, ['body-too-large']);
  for (const pair of [announced, silent, whole]) t.match(pair.server.endpoint.counters, { bodiesTooLong: 1 });
  t.equal(whole.server.requests.length + silent.server.requests.length, 0);
});

t.test('blocks that do not follow each other are 4.08, and what was held is gone', async t => {
  const pair = new CoapPair();
  const send = (number: number, more: boolean, length = 16) =>
    pair.server.hear(request(Options.empty.with(Block1, value(number, more, 16)), body(length)));
  send(1, true);
  send(0, true);
  send(2, false);
  send(1, false);
  t.same(codes(pair.server.sent), ['4.08', '2.31', '4.08', '4.08']);
  t.same(pair.server.faults, Array(3).fill('body-incomplete'));
  send(0, true, 15);
  send(0, false, 17);
  pair.server.hear(request(Options.empty.with(Block1, 0x0f), body(16)));
  pair.server.hear(request(Options.empty.with(Block2, 0x07), ''));
  t.same(codes(pair.server.sent.slice(4)), Array(4).fill('4.00'));
  t.equal(pair.server.requests.length, 0);
  t.equal(pair.server.endpoint.sizes().bodies, 0);
  t.match(pair.server.endpoint.counters, { bodiesRefused: 7, bodiesTooLong: 0 }, 'no limit was met');
});

t.test('a body begun anew replaces what was there', async t => {
  const pair = new CoapPair();
  const send = (number: number, more: boolean, text: string) =>
    pair.server.hear(request(Options.empty.with(Block1, value(number, more, 16)), text));
  send(0, true, 'A'.repeat(16));
  send(0, true, 'B'.repeat(16));
  send(1, false, 'end');
  t.match(pair.server.requests, [{ payload: `${'B'.repeat(16)}end` }]);
});

t.test('bodies of another association, another path or another Request-Tag do not mix', async t => {
  const pair = new CoapPair();
  const send = (number: number, more: boolean, text: string, options: Options, peer = 1) =>
    pair.server.hear(request(options.with(Block1, value(number, more, 16)), text), peer as Peer);
  const tagged = (tag: string) => path('rd').with(RequestTag, utf8(tag));
  const all: readonly [Options, number][] = [
    [path('rd'), 1],
    [path('rd'), 2],
    [path('dp'), 1],
    [tagged('a'), 1],
    [tagged('b'), 1],
  ];
  for (const [i, [options, peer]] of all.entries()) send(0, true, String(i).repeat(16), options, peer);
  t.equal(pair.server.endpoint.sizes().bodies, all.length);
  for (const [i, [options, peer]] of all.entries()) send(1, false, String(i), options, peer);
  t.same(
    pair.server.requests.map(({ payload }) => payload),
    all.map((_, i) => String(i).repeat(17)),
  );
});

t.test('bodies that are never finished make room for others, and go with time or with their peer', async t => {
  const pair = new CoapPair({ server: { limits: { maxBodies: 4 } } });
  const begin = (n: number, peer = 1) =>
    pair.server.hear(request(path(String(n)).with(Block1, value(0, true, 16)), body(16)), peer as Peer);
  for (let n = 0; n < 50; n++) begin(n);
  t.equal(pair.server.endpoint.sizes().bodies, 4);
  pair.server.hear(request(path('0').with(Block1, value(1, false, 16)), 'x'));
  t.equal(codes(pair.server.sent).at(-1), '4.08', 'the oldest was given up');
  pair.server.hear(request(path('49').with(Block1, value(1, false, 16)), 'x'));
  t.equal(pair.server.requests.length, 1, 'the newest was not');
  begin(7, 2);
  pair.server.endpoint.drop(2 as Peer, pair.server);
  t.equal(pair.server.endpoint.sizes().bodies, 3);
  pair.run(94_000);
  t.equal(pair.server.endpoint.sizes().bodies, 0);
});

t.test('for an address that nobody proved no body is held: it is asked for an Echo, and taken with it', async t => {
  const token = utf8('hear me');
  const proved = new Set<Peer>();
  const addresses = {
    isProved: (peer: Peer, echo: Bytes | undefined) => {
      if (echo !== undefined && toHex(echo) === toHex(token)) proved.add(peer);
      return proved.has(peer);
    },
    challenge: () => token,
  };
  const pair = new CoapPair({ server: { addresses } });
  const first = path('rd').with(Block1, value(0, true, 16));
  pair.server.hear(request(first, body(16)), 9 as Peer);
  t.same(codes(pair.server.sent), ['4.01']);
  t.same(blocks(pair.server.sent, Block1), [], 'no block of it was taken');
  t.equal(pair.server.endpoint.sizes().bodies, 0);
  t.same(pair.server.faults, ['body-unproved']);
  pair.server.hear(request(first.with(Echo, utf8('guessed')), body(16)), 9 as Peer);
  t.equal(pair.server.endpoint.sizes().bodies, 0);
  pair.server.hear(request(path('rd').with(Block1, value(0, false, 16)), body(16)), 9 as Peer);
  t.equal(pair.server.requests.length, 1, 'a body of one block needs no holding');

  pair.server.hear(request(first.with(Echo, token), body(16)), 9 as Peer);
  t.equal(codes(pair.server.sent).at(-1), '2.31');
  pair.server.hear(request(path('rd').with(Block1, value(1, false, 16)), 'x'), 9 as Peer);
  t.equal(pair.server.requests.length, 2, 'once is enough for all its blocks');
  t.equal(pair.server.requests.at(-1)!.payload.length, 17);
});

t.test('an answer is cut to what was asked for, and a block beyond its end is 4.00', async t => {
  const pair = new CoapPair({ server: { limits: { blockSize: 64 } } });
  pair.server.answer = () => reply(ResponseCode.Content, Options.empty, utf8(body(100)));
  const ask = (number: number, size: BlockSize) =>
    pair.server.hear({ ...request(Options.empty.with(Block2, value(number, false, size)), ''), code: Method.GET });
  ask(0, 1024);
  ask(1, 64);
  ask(3, 16);
  ask(7, 16);
  ask(1_000_000, 1024);
  t.same(blocks(pair.server.sent, Block2), ['0/1/64', '1/0/64', '3/1/16']);
  t.same(codes(pair.server.sent), ['2.05', '2.05', '2.05', '4.00', '4.00']);
  pair.server.answer = () => reply(ResponseCode.NotFound);
  ask(1, 64);
  t.same(codes(pair.server.sent).at(-1), '4.04', 'what is wrong is said, whatever block was asked for');
});

t.test('an answer that never ends, jumps or changes under way is given up', async t => {
  const table: readonly [what: string, fault: string, answers: readonly Reaction[]][] = [
    [
      'longer than we accept',
      'too-large',
      [
        [0, 64],
        [1, 64],
        [2, 64],
      ],
    ],
    [
      'a block is left out',
      'bad-response',
      [
        [0, 64],
        [2, 64],
      ],
    ],
    [
      'a block comes twice',
      'bad-response',
      [
        [0, 64],
        [0, 64],
      ],
    ],
    ['a block is too short', 'bad-response', [[0, 60]]],
    ['a block is too long', 'bad-response', [[0, 128]]],
    [
      'another answer than the one before',
      'bad-response',
      [
        [0, 64, 'a'],
        [1, 64, 'b'],
      ],
    ],
    [
      'the entity tag is gone',
      'bad-response',
      [
        [0, 64, 'a'],
        [1, 64],
      ],
    ],
  ];
  for (const [what, fault, answers] of table) {
    const pair = new CoapPair({ client: { limits: { blockSize: 64, maxBody: 128 } } });
    pair.client.ask({});
    for (const [number, length, tag] of answers) {
      let options = Options.empty.with(Block2, value(number, true, 64));
      if (tag !== undefined) options = options.with(ETag, utf8(tag));
      pair.client.hear(response(last(pair.client.sent), ResponseCode.Content, options, body(length)));
    }
    t.match(pair.client.failures, [{ fault }], what);
    t.equal(pair.client.responses.length, 0, what);
  }
  const pair = new CoapPair();
  pair.client.ask({});
  pair.client.hear(response(last(pair.client.sent), ResponseCode.Content, Options.empty.with(Block2, 0x07)));
  t.match(pair.client.failures, [{ fault: 'bad-response' }], 'the reserved size');
});

type Reaction = readonly [number: number, length: number, tag?: string];

function last(sent: readonly Message[]): Request {
  return sent.at(-1) as Request;
}

function response({ messageId, token }: Request, code: number, options: Options, payload = ''): Response {
  return { kind: 'response', type: 'ACK', messageId, token, code, options, payload: utf8(payload) };
}

function request(options: Options, payload: string): Request {
  return {
    kind: 'request',
    type: 'CON',
    messageId: nextId++,
    token: utf8('t'),
    code: Method.POST,
    options,
    payload: utf8(payload),
  };
}

function value(number: number, more: boolean, size: BlockSize): number {
  return encodeBlock({ number, more, size });
}

/** As the figures of RFC 7959 write them: number, more, size. */
function blocks(sent: readonly Message[], option: typeof Block1): string[] {
  return sent.flatMap(message => {
    const found = message.kind === 'empty' ? undefined : message.options.get(option);
    const block = found === undefined ? undefined : decodeBlock(found);
    return block === undefined ? [] : [`${block.number}/${block.more ? 1 : 0}/${block.size}`];
  });
}

function codes(sent: readonly Message[]): string[] {
  return sent.map(message => (message.kind === 'empty' ? message.type : codeText(message.code)));
}

let nextId = 1000;
