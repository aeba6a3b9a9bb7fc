import t from 'tap';
import { type Bytes, concatBytes, noBytes, utf8 } from '../../src/base/bytes.ts';
import type { Remote } from '../../src/base/peer.ts';
import { decodeClientHello } from '../../src/dtls/codec/clientHello.ts';
import { ExtensionType } from '../../src/dtls/codec/extension.ts';
import { decodeFragments, encodeHandshake, HandshakeType } from '../../src/dtls/codec/handshake.ts';
import { ContentType, decodeRecord, encodePlainRecord } from '../../src/dtls/codec/record.ts';
import { answersTo, cookieFrom, hello, rawSession } from '../support/dtlsRaw.ts';
import { describe, type HandshakePair, handshakePair, split } from '../support/handshakePair.ts';

const remote: Remote = { socket: 0, address: '192.0.2.77', port: 7 };
const texts = (pair: HandshakePair) => pair.delivered.map(({ text }) => text);

/** The client's record with this text, sealed and on its way. */
function sealed(pair: HandshakePair, text: string): Bytes {
  pair.intercept = () => [];
  pair.client.send(text);
  pair.intercept = (_, datagram) => [datagram];
  return pair.datagramsFrom('client').at(-1)!;
}

function ofEpoch(datagram: Bytes, epoch: number): Bytes {
  const copy = datagram.slice();
  copy[3] = epoch >>> 8;
  copy[4] = epoch;
  return copy;
}

t.test('records of several epochs in one datagram are read one by one', async t => {
  const pair = handshakePair().connect();
  const first = sealed(pair, 'first');
  const second = sealed(pair, 'second');
  const alert = encodePlainRecord(ContentType.alert, 0xfefd, 9, Uint8Array.of(2, 40));
  pair.toServer(concatBytes(ofEpoch(first, 2), first, alert, ofEpoch(second, 0xffff), hello(3), second));
  t.strictSame(texts(pair), ['first', 'second']);
  const { unknownEpoch, unprotected, verifyRequests } = pair.server.counters;
  t.strictSame({ unknownEpoch, unprotected, verifyRequests }, { unknownEpoch: 2, unprotected: 1, verifyRequests: 2 });
  t.strictSame(pair.closed, []);
});

t.test('a record under a huge epoch would be opened with keys that are not its own', async t => {
  const pair = handshakePair().connect();
  const record = sealed(pair, 'once');
  for (const epoch of [0, 2, 255, 256, 0x0100 + 1, 0xffff]) pair.toServer(ofEpoch(record, epoch));
  t.strictSame(texts(pair), []);
  pair.toServer(record);
  t.strictSame(texts(pair), ['once'], 'and the true one is still new');
});

/** What the server answers to a hello with a good cookie whose body from the cipher suites on is `rest`. */
function answerTo(rest: Bytes): { answer: string; pair: HandshakePair } {
  const pair = handshakePair();
  const body = decodeFragments(decodeRecord(hello(1, cookieFrom(pair, remote, 1), 1), 0)!.fragment)![0]!.body;
  const { cookie } = decodeClientHello(body)!;
  const start = body.subarray(0, 2 + 32 + 1 + 1 + cookie.length);
  const message = encodeHandshake(HandshakeType.clientHello, 1, concatBytes(start, rest));
  const [answer = noBytes] = answersTo(pair, encodePlainRecord(ContentType.handshake, 0xfefd, 1, message), remote);
  return { answer: describe(answer), pair };
}

t.test('a hello whose vectors have an odd length, or none, is refused and leaves nothing', async t => {
  const ccm8 = [0xc0, 0xa8];
  const bad: Record<string, number[]> = {
    'a suite list of three bytes': [0, 3, ...ccm8, 0xc0, 1, 0],
    'no suites': [0, 0, 1, 0],
    'no compression methods': [0, 2, ...ccm8, 0],
    'no null compression': [0, 2, ...ccm8, 1, 1],
    'suites that are longer than the message': [0xff, 0xfe, ...ccm8, 1, 0],
    'extensions that are longer than the message': [0, 2, ...ccm8, 1, 0, 0, 9, 0, 54, 0, 1, 0],
    'an extension that is longer than the extensions': [0, 2, ...ccm8, 1, 0, 0, 4, 0, 54, 0, 9],
    'a connection ID without its length': [0, 2, ...ccm8, 1, 0, 0, 4, 0, ExtensionType.connectionId, 0, 0],
    'the same extension twice': [0, 2, ...ccm8, 1, 0, 0, 8, 0, 23, 0, 0, 0, 23, 0, 0],
    'nothing after the cookie': [],
  };
  for (const [what, rest] of Object.entries(bad)) {
    const { answer, pair } = answerTo(Uint8Array.from(rest));
    t.equal(answer, '[alert decodeError]', what);
    t.equal(pair.server.sizes().handshakes, 0);
    t.match(pair.failed, [{ fault: 'malformed' }]);
    pair.connect();
    t.equal(pair.client.connections, 1, 'and the server goes on');
  }
  const { answer } = answerTo(Uint8Array.from([0, 2, ...ccm8, 1, 0, 0, 0]));
  t.equal(answer, 'serverHello(1) serverHelloDone(2)', 'no extensions are none, however that is written');
});

t.test('records without content end nothing', async t => {
  const pair = handshakePair();
  const raw = rawSession(pair);
  let sequence = 10;
  for (const type of [0, 20, 21, 22, 23, 24, 25, 26, 27, 255]) {
    t.strictSame(raw.send(type, sequence++, noBytes), [], `sealed, type ${type}`);
    const clear = encodePlainRecord(type, 0xfefd, sequence++, noBytes);
    if (type !== ContentType.tls12Cid) t.strictSame(pair.toServer(clear, raw.remote), [], `in clear, type ${type}`);
  }
  t.strictSame(pair.closed, []);
  raw.send(ContentType.applicationData, sequence, utf8('still here'));
  t.strictSame(texts(pair), ['still here']);
});

t.test('an identity of no bytes is one that nobody has', async t => {
  const pair = handshakePair({ identity: '' }).connect();
  t.strictSame(pair.client.closed, ['alert badRecordMac']);
  t.match(pair.failed, [{ fault: 'unknown-identity', identity: noBytes }]);
});

t.test('a Finished before ClientKeyExchange would be checked with keys that nobody has agreed on', async t => {
  const pair = handshakePair();
  let flights = 0;
  pair.intercept = (from, datagram) => {
    if (from === 'server' || !describe(datagram).includes('{')) return [datagram];
    const [exchange, change, finished] = split(datagram);
    // The first time without its key exchange, the second time with it.
    return flights++ === 0 ? [change!, finished!, change!, finished!] : [exchange!, change!, finished!];
  };
  pair.client.connect();
  pair.pass(500);
  t.equal(pair.verified.length, 0);
  t.equal(pair.server.sizes().handshakes, 1, 'it waits');
  t.strictSame(pair.failed, []);
  pair.runUntil(() => pair.client.isOver);
  t.equal(pair.client.connections, 1);
});
