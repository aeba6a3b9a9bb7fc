import t from 'tap';
import { type Bytes, concatBytes, fromHex, noBytes, utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { encodeBlock } from '../../src/coap/codec/block.ts';
import { Method } from '../../src/coap/codec/code.ts';
import type { Request } from '../../src/coap/codec/message.ts';
import {
  Block1,
  ContentFormat,
  Echo,
  Options,
  ProxyUri,
  Size1,
  UriPath,
  UriQuery,
} from '../../src/coap/codec/option.ts';
import { LoadFailure, UdpDevice } from '../../tools/load/udpDevice.ts';
import { PlainClient, pause } from '../support/plainClient.ts';
import { TestServer } from '../support/server.ts';

const rd = Options.empty.with(UriPath, 'rd');
const links = rd.with(ContentFormat, 40);
const map = rd.with(ContentFormat, 60);
const query = (...parameters: readonly string[]) =>
  parameters.reduce((options, parameter) => options.with(UriQuery, parameter), links);
const block = (number: number, more: boolean) => links.with(Block1, encodeBlock({ number, more, size: 16 }));

/** What a peer may send, what it hears of it, and what the operator is told. */
const table: readonly [what: string, sent: Partial<Request> | string, heard: string | undefined, reason: string][] = [
  ['half a header', '400112', undefined, 'too-short'],
  ['another version of CoAP', '80017001', undefined, 'version'],
  ['a reserved token length', '49027002000000000000000000', 'RST', 'token-length'],
  ['a marker without payload', '40027003ff', 'RST', 'payload-marker'],
  ['an option that ends early', '40027004bd', 'RST', 'option'],
  ['a reserved class of codes', '40c07005', 'RST', 'reserved-class'],
  ['a ping with something in it', '40007006ff00', 'RST', 'empty-with-content'],
  [
    'a critical option that nobody knows',
    { options: Options.inOrder([{ number: 9, value: noBytes }]) },
    '4.02',
    'critical-option',
  ],
  ['a request for somebody else', { options: Options.empty.with(ProxyUri, 'coap://x') }, '5.05', 'proxying'],
  [
    'a body in blocks from an address that nobody proved',
    { options: block(0, true), payload: new Uint8Array(16) },
    '4.01',
    'body-unproved',
  ],
  [
    'a body announced too long',
    { options: block(0, true).with(Size1, 5000), payload: new Uint8Array(16) },
    '4.13',
    'body-too-large',
  ],
  ['a body that is too long', { options: links, payload: new Uint8Array(4097) }, '4.13', 'body-too-large'],
  [
    'a body that begins in the middle',
    { options: block(3, true), payload: new Uint8Array(16) },
    '4.08',
    'body-incomplete',
  ],
  ['a block of the reserved size', { options: links.with(Block1, 7) }, '4.00', 'block'],
  ['a lifetime that is no number', { options: query('ep=a', 'lt=abc') }, '4.00', 'bad-lifetime'],
  ['an empty endpoint name', { options: query('ep=', 'lwm2m=1.1') }, '4.00', 'bad-endpoint-name'],
  ['a control character in the name', { options: query('ep=a\u0007', 'lwm2m=1.1') }, '4.00', 'bad-endpoint-name'],
  ['a name that is too long', { options: query(`ep=${'x'.repeat(64)}`, 'lwm2m=1.1') }, '4.00', 'bad-endpoint-name'],
  ['no name at all', { options: query('lwm2m=1.1') }, '4.00', 'missing-endpoint-name'],
  ['a parameter twice', { options: query('ep=a', 'ep=b') }, '4.00', 'bad-query'],
  ['a version that we do not speak', { options: query('ep=a', 'lwm2m=2.0') }, '4.12', 'unsupported-version'],
  ['links that are none', { options: query('ep=a', 'lwm2m=1.1'), payload: utf8('</1') }, '4.00', 'bad-links'],
  ['a payload in JSON', { options: rd.with(ContentFormat, 50), payload: utf8('{}') }, '4.15', 'content-format'],
  ['CBOR that ends early', { options: map, payload: fromHex('a10061')! }, '4.00', 'bad-cbor'],
  ['CBOR in too many arrays', { options: map, payload: new Uint8Array(200).fill(0x81) }, '4.00', 'bad-cbor'],
  ['a CBOR tag', { options: map, payload: fromHex('a100c100')! }, '4.00', 'bad-cbor'],
  ['a bignum', { options: map, payload: fromHex('a20001024103')! }, '4.00', 'bad-map'],
  ['a bignum with its tag', { options: map, payload: fromHex('a2000102c24103')! }, '4.00', 'bad-cbor'],
  ['a CBOR key twice', { options: map, payload: fromHex('a200010001')! }, '4.00', 'bad-cbor'],
  ['text that is no UTF-8', { options: map, payload: fromHex('a200010161ff')! }, '4.00', 'bad-cbor'],
  ['an indefinite string', { options: map, payload: fromHex('a20001017f6161ff')! }, '4.00', 'bad-cbor'],
  [
    'a map with a field of another form',
    { options: map, payload: fromHex('a200010261 61'.replace(' ', ''))! },
    '4.00',
    'bad-map',
  ],
  [
    'the location of nobody',
    { code: Method.DELETE, options: rd.with(UriPath, 'AAAAAAAAAAA') },
    '4.04',
    'unknown-registration',
  ],
];

t.test('bad input is answered with a code and no text, counted once, and told in one line', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const client = await PlainClient.open(t, server.coap);
  const expected = new Map<string, number>();
  let echo: Bytes | undefined;
  for (const [what, sent, heard, reason] of table) {
    const lines = server.log.length;
    expected.set(reason, (expected.get(reason) ?? 0) + 1);
    let messageId = 0;
    if (typeof sent === 'string') {
      const bytes = fromHex(sent)!;
      messageId = bytes.length < 4 ? 0 : (bytes[2]! << 8) | bytes[3]!;
      client.send(bytes);
    } else {
      messageId = client.request(echo === undefined ? sent : { ...sent, options: sent.options!.with(Echo, echo) });
    }
    if (heard !== undefined) t.equal(await client.answer(messageId), heard, what);
    const answer = client.received.at(-1);
    if (answer?.kind === 'response') echo ??= answer.options.get(Echo)?.slice();
    for (let waited = 0; server.log.length === lines && waited < 200; waited++) await pause(10);
    // The log takes twenty such lines a second.
    await pause(60);
    const told = server.log.slice(lines);
    t.equal(told.length, 1, `${what}: one line`);
    t.match(told[0], { reason, msg: /refused/, ...(heard?.includes('.') ? { code: heard } : {}) }, what);
  }
  for (const message of client.received) {
    if (message.kind === 'response') t.equal(message.payload.length, 0, 'no text on the wire');
    if (message.kind === 'response') t.not(message.code, 0xa0, 'never a 5.00');
  }
  t.equal(await client.answer(client.register('ep=good', 'lwm2m=1.1')), '2.01', 'and the next good one is served');
  t.equal(await server.end('SIGTERM'), 0);
  const { counters } = server.stopped as unknown as { counters: { refusals: Record<string, number> } };
  t.same(counters.refusals, Object.fromEntries(expected));
});

t.test('who is unknown, has the wrong key or another name hears no reason, and the operator does', async t => {
  const server = await TestServer.start();
  t.teardown(() => server.remove());
  await server.cli('credential', 'add', 'node-1', '--key', '00112233445566778899aabbccddeeff');
  const key = fromHex('00112233445566778899aabbccddeeff')!;
  const [host = '', port = ''] = server.coaps.split(':');
  const connect = async (identity: string, with_: Uint8Array) => {
    const device = await UdpDevice.open({ host, port: Number(port) }, { identity: utf8(identity), key: with_ });
    t.teardown(() => device.vanish());
    await device.connect();
    return device;
  };
  const heard: unknown[] = [];
  for (const [identity, psk] of [
    ['nobody', key],
    ['node-1', key.toReversed()],
  ] as const) {
    await connect(identity, psk).catch((error: unknown) => heard.push(error));
  }
  t.equal(heard.length, 2);
  t.same(String(heard[0]), String(heard[1]), 'unknown identity and wrong key look alike');
  t.ok(heard.every(error => error instanceof LoadFailure));
  const device = await connect('node-1', key);
  await t.rejects(device.register({ endpoint: 'node-2', lifetime: 60 }), /register: 4\.03$/);
  await device.register({ endpoint: 'node-1', lifetime: 60 });
  t.equal(await server.end('SIGTERM'), 0);
  const reasons = server.log
    .filter(({ msg }) => msg.startsWith('handshake') || msg.startsWith('request'))
    .map(({ reason }) => reason);
  t.same(reasons.length, 3, reasons.join(', '));
  t.equal(new Set(reasons).size, 3, 'each with a reason of its own');
  t.ok(reasons.includes('foreign-endpoint-name'));
});

t.test('random bytes, and good messages that were damaged, end nothing', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const client = await PlainClient.open(t, server.coap);
  const random = new SeededRandom(11);
  const good = concatBytes(fromHex('4402700061626364b272640d0565703d6162')!, utf8('cdef'));
  for (let i = 0; i < 1500; i++) {
    const damaged = good.slice(0, 1 + random.below(good.length));
    for (let hits = random.below(4); hits >= 0; hits--) damaged[random.below(damaged.length)] = random.below(256);
    client.send(i % 2 === 0 ? damaged : random.bytes(random.below(100)));
    if (i % 100 === 0) await pause(10);
  }
  t.equal(await client.answer(client.register('ep=good', 'lwm2m=1.1'), 10_000), '2.01');
  t.ok(
    client.received.every(message => message.kind !== 'response' || message.code >>> 5 !== 5),
    'no server error',
  );
  t.equal(await server.end('SIGTERM'), 0);
});
