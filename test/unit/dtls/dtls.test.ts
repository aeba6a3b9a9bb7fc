import fc from 'fast-check';
import t from 'tap';
import { type Bytes, noBytes, utf8 } from '../../../src/base/bytes.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Reader } from '../../../src/base/reader.ts';
import type { Instant } from '../../../src/base/time.ts';
import { Writer } from '../../../src/base/writer.ts';
import { alertName, decodeAlert, encodeAlert } from '../../../src/dtls/codec/alert.ts';
import { cipherSuiteName, ecdheSuites, pskSuites } from '../../../src/dtls/codec/cipherSuite.ts';
import { decodeClientHello, decodeClientHelloStart, encodeClientHello } from '../../../src/dtls/codec/clientHello.ts';
import { decodeClientKeyExchange, encodeClientKeyExchange } from '../../../src/dtls/codec/clientKeyExchange.ts';
import { readExtensions, writeExtensions } from '../../../src/dtls/codec/extension.ts';
import { decodeFragments, encodeHandshake } from '../../../src/dtls/codec/handshake.ts';
import { decodeHelloVerifyRequest, encodeHelloVerifyRequest } from '../../../src/dtls/codec/helloVerifyRequest.ts';
import { decodeGroups, decodePointFormats, encodeGroups } from '../../../src/dtls/codec/namedGroup.ts';
import { decodeRecord, encodePlainRecord } from '../../../src/dtls/codec/record.ts';
import { decodeServerHello, encodeServerHello } from '../../../src/dtls/codec/serverHello.ts';
import { decodeServerKeyExchange, encodeServerKeyExchange } from '../../../src/dtls/codec/serverKeyExchange.ts';
import { Cookies } from '../../../src/dtls/cookie.ts';
import { CookieVerified, FinishedVerified } from '../../../src/dtls/proof.ts';
import { Reassembly } from '../../../src/dtls/reassembly.ts';
import { isNew, mark, markAllUpTo, newReplayWindow } from '../../../src/dtls/replayWindow.ts';
import { hashOf, RowIndex } from '../../../src/dtls/rowIndex.ts';

const bytes = (max: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength: max });
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(model, { noNullPrototype: true });
const random = fc.uint8Array({ minLength: 32, maxLength: 32 });
const extensions = fc.array(fc.tuple(fc.nat(0xffff), bytes(20)), { maxLength: 5 }).map(pairs => new Map(pairs));

t.test('what is written is read the same', async t => {
  const mirrored = <T>(values: fc.Arbitrary<T>, write: (value: T) => Bytes, read: (bytes: Bytes) => T | undefined) =>
    fc.assert(
      fc.property(values, value => void t.strictSame(read(write(value)), value)),
      { numRuns: 30 },
    );
  const version = fc.nat(0xffff);
  mirrored(
    record({
      version,
      random,
      sessionId: bytes(32),
      cookie: bytes(255),
      cipherSuites: fc.array(fc.nat(0xffff), { minLength: 1, maxLength: 80 }),
      compressionMethods: fc.constant(Uint8Array.of(1, 0)),
      extensions,
    }),
    encodeClientHello,
    decodeClientHello,
  );
  mirrored(
    record({
      version,
      random,
      sessionId: bytes(32),
      cipherSuite: fc.nat(0xffff),
      compressionMethod: fc.nat(255),
      extensions,
    }),
    encodeServerHello,
    decodeServerHello,
  );
  mirrored(record({ cookie: bytes(255) }), encodeHelloVerifyRequest, decodeHelloVerifyRequest);
  for (const suite of [pskSuites[0]!, ecdheSuites[0]!]) {
    const withPoint = suite.keyExchange === 'ecdhe-psk';
    const point = fc.uint8Array({ minLength: 1, maxLength: 255 });
    const none = fc.constant(undefined);
    mirrored(record({ identity: bytes(200), point: withPoint ? point : none }), encodeClientKeyExchange, body =>
      decodeClientKeyExchange(body, suite),
    );
    mirrored(
      record({ hint: bytes(200), share: withPoint ? record({ group: fc.nat(0xffff), point }) : none }),
      encodeServerKeyExchange,
      body => decodeServerKeyExchange(body, suite),
    );
  }
  mirrored(fc.array(fc.nat(0xffff), { minLength: 1, maxLength: 40 }), encodeGroups, decodeGroups);
  mirrored(
    record({ level: fc.constantFrom('warning' as const, 'fatal' as const), description: fc.nat(255) }),
    encodeAlert,
    decodeAlert,
  );
  mirrored(
    extensions,
    value => {
      const writer = new Writer();
      writeExtensions(writer, value);
      return writer.finish();
    },
    value => new Map(readExtensions(new Reader(value))),
  );
});

t.test('no decoder throws, whatever it is given', async () => {
  const decoders = [
    decodeClientHello,
    decodeClientHelloStart,
    decodeServerHello,
    decodeHelloVerifyRequest,
    ...[pskSuites[0]!, ecdheSuites[0]!].flatMap(suite => [
      (body: Bytes) => decodeClientKeyExchange(body, suite),
      (body: Bytes) => decodeServerKeyExchange(body, suite),
    ]),
    decodeGroups,
    decodePointFormats,
    decodeAlert,
    decodeFragments,
    (datagram: Bytes) => decodeRecord(datagram, 0),
  ];
  fc.assert(fc.property(bytes(300), junk => void decoders.map(decode => decode(junk))));
});

t.test('what is malformed is refused', async t => {
  const good = {
    version: 0xfefd,
    random: new Uint8Array(32),
    sessionId: noBytes,
    cookie: noBytes,
    cipherSuites: [0xc0a8],
    compressionMethods: Uint8Array.of(0),
    extensions: new Map<number, Bytes>(),
  };
  t.ok(decodeClientHello(encodeClientHello(good)));
  t.equal(decodeClientHello(encodeClientHello({ ...good, sessionId: new Uint8Array(33) })), undefined);
  t.equal(decodeClientHello(encodeClientHello({ ...good, cipherSuites: [] })), undefined);
  t.equal(decodeClientHello(encodeClientHello({ ...good, compressionMethods: Uint8Array.of(1) })), undefined);
  const hello = encodeClientHello(good);
  for (let length = 0; length < hello.length; length++) {
    if (decodeClientHello(hello.subarray(0, length)) !== undefined) t.fail(`the first ${length} bytes of a hello`);
  }
  t.equal(decodeClientHello(Uint8Array.of(...hello, 0)), undefined, 'half a length');
  t.equal(decodeClientHello(Uint8Array.of(...hello, 0, 4, 0, 9, 0, 0, 0)), undefined, 'bytes after the extensions');
  t.equal(decodeClientHello(Uint8Array.of(...hello, 0, 8, 0, 9, 0, 0, 0, 9, 0, 0)), undefined, 'an extension twice');
  const [psk, ecdhe] = [pskSuites[0]!, ecdheSuites[0]!];
  t.equal(decodeClientKeyExchange(Uint8Array.of(0, 1, 65, 66), psk), undefined, 'bytes after the identity');
  t.equal(decodeClientKeyExchange(Uint8Array.of(0, 1, 65), ecdhe), undefined, 'no point');
  t.equal(decodeClientKeyExchange(Uint8Array.of(0, 1, 65, 0), ecdhe), undefined, 'an empty point');
  t.equal(decodeServerKeyExchange(Uint8Array.of(0, 0, 3, 0, 29, 0), ecdhe), undefined, 'an empty point');
  t.equal(decodeServerKeyExchange(Uint8Array.of(0, 0, 1, 0, 29, 1, 9), ecdhe), undefined, 'a curve without a name');
  t.equal(decodeGroups(Uint8Array.of(0, 0)), undefined, 'no group');
  t.equal(decodeGroups(Uint8Array.of(0, 3, 0, 29, 0)), undefined, 'half a group');
  t.equal(decodePointFormats(Uint8Array.of(0)), undefined, 'no format');

  const message = encodeHandshake(16, 2, utf8('body'));
  t.equal(decodeFragments(message.subarray(0, message.length - 1)), undefined);
  t.equal(decodeFragments(noBytes), undefined);
  const beyond = message.slice();
  beyond[8] = 1;
  t.equal(decodeFragments(beyond), undefined, 'a fragment that reaches beyond its message');
  t.equal(decodeFragments(new Uint8Array(12 * 17)), undefined, 'seventeen messages in a record');

  const record = encodePlainRecord(22, 0xfefd, 2 ** 48 - 1, message);
  t.equal(decodeRecord(record, 0)?.sequence, 2 ** 48 - 1);
  t.equal(decodeRecord(record.subarray(0, record.length - 1), 0), undefined);
  t.equal(decodeRecord(Uint8Array.of(22, 3, 3, ...record.subarray(3)), 0), undefined, 'TLS, not DTLS');
  t.equal(decodeAlert(Uint8Array.of(3, 0)), undefined);
});

t.test('numbers without a name print themselves', async t => {
  t.equal(cipherSuiteName(0xc0a8), 'TLS_PSK_WITH_AES_128_CCM_8');
  t.equal(cipherSuiteName(0x1301), '0x1301');
  t.equal(alertName(20), 'badRecordMac');
  t.equal(alertName(200), '200');
});

t.test('a proof is made by its check and by nothing else', async t => {
  const secret = utf8('0123456789ab');
  t.ok(FinishedVerified.check(secret, secret.slice())?.verified);
  t.equal(FinishedVerified.check(secret, secret.subarray(1)), undefined);
  t.equal(FinishedVerified.check(secret, utf8('0123456789aB')), undefined);
  t.equal(FinishedVerified.check(noBytes, secret), undefined);
  t.ok(CookieVerified.check([utf8('other'), secret], secret.slice())?.verified);
  t.equal(CookieVerified.check([], noBytes), undefined);
});

t.test('the replay window agrees with a set of all that was seen', async () => {
  const steps = fc.array(fc.oneof(fc.nat(200), fc.integer({ min: 2 ** 40, max: 2 ** 40 + 200 })), { maxLength: 200 });
  fc.assert(
    fc.property(steps, sequences => {
      const window = newReplayWindow();
      const seen = new Set<number>();
      for (const sequence of sequences) {
        const highest = Math.max(-1, ...seen);
        if (isNew(window, sequence) !== (!seen.has(sequence) && sequence > highest - 64)) return false;
        if (!isNew(window, sequence)) continue;
        mark(window, sequence);
        seen.add(sequence);
      }
      return true;
    }),
  );
});

t.test('however far the replay window moves, it takes each record once and loses none', async t => {
  const before = Array.from({ length: 100 }, (_, n) => n).filter(n => n % 3 !== 1 && n % 7 !== 2);
  const wrong: string[] = [];
  for (let step = 1; step <= 200; step++) {
    for (const raise of [false, true]) {
      const window = newReplayWindow();
      const seen = new Set(before);
      for (const sequence of before) mark(window, sequence);
      // It is marked as seen, or all up to it is: before what was highest, or behind it.
      const to = step + 20;
      if (!raise && isNew(window, to)) mark(window, to);
      if (raise) markAllUpTo(window, to);
      seen.add(to);
      const highest = Math.max(...seen);
      for (let sequence = highest - 64; sequence <= highest + 1; sequence++) {
        const isOver = sequence <= highest - 64 || seen.has(sequence) || (raise && sequence <= to);
        if (isNew(window, sequence) === isOver) wrong.push(`${sequence} after ${to}`);
      }
    }
  }
  t.strictSame(wrong, []);
});

t.test('a cookie is good while the next secret is, and not after a long silence', async t => {
  const hello = { version: 0xfefd, random: new Uint8Array(32), sessionId: noBytes, cookie: noBytes };
  const remote = { socket: 0, address: '192.0.2.1', port: 1 };
  const at = (second: number) => (1000 * second) as Instant;
  const good = (...looks: readonly number[]) => {
    const cookies = new Cookies(new SeededRandom(1));
    const cookie = cookies.make(at(0), remote, hello);
    return looks.map(second => cookies.check(at(second), remote, { ...hello, cookie }) !== undefined);
  };
  t.strictSame(good(59, 61, 119), [true, true, true]);
  t.strictSame(good(61, 122), [true, false]);
  t.strictSame(good(120), [false], 'nobody came for two minutes');
  t.strictSame(good(3600), [false]);
});

t.test('a message in any pieces, in any order, overlapping or twice, is the message', async () => {
  const pieces = fc.array(fc.tuple(fc.nat(99), fc.nat(99)), { maxLength: 60 });
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 100, maxLength: 100 }), pieces, (body, pairs) => {
      const reassembly = new Reassembly(5, 2048, 1);
      const have = new Set<number>();
      for (const [a, b] of pairs) {
        const offset = Math.min(a, b);
        const part = body.subarray(offset, Math.max(a, b));
        reassembly.add({ type: 1, length: 100, messageSequence: 5, offset, body: part });
        for (let at = offset; at < Math.max(a, b); at++) have.add(at);
      }
      if (have.size < 100 && reassembly.take() !== undefined) return false;
      reassembly.add({ type: 1, length: 100, messageSequence: 5, offset: 0, body });
      const message = reassembly.take();
      return message !== undefined && Buffer.compare(message.body, body) === 0 && reassembly.next === 6;
    }),
  );
});

t.test('messages wait for those before them, within bounds', async t => {
  const reassembly = new Reassembly(0, 100, 2);
  const part = (messageSequence: number, length = 4, offset = 0, body = utf8('abcd')) => ({
    type: 1,
    length,
    messageSequence,
    offset,
    body,
  });
  t.equal(reassembly.add(part(1)), 'taken');
  t.equal(reassembly.take(), undefined);
  t.equal(reassembly.add(part(2)), 'dropped', 'too far ahead');
  t.equal(reassembly.add(part(0, 101)), 'too-long');
  t.equal(reassembly.add(part(0, 8)), 'taken');
  t.equal(reassembly.add(part(0, 8, 2, utf8('xy'))), 'taken', 'it contradicts, and starts afresh');
  t.equal(reassembly.add(part(0, 8, 4)), 'taken');
  t.equal(reassembly.take(), undefined);
  t.equal(reassembly.add(part(0, 8, 0, utf8('abxy'))), 'taken');
  t.strictSame(reassembly.take()?.body, utf8('abxyabcd'));
  t.strictSame(reassembly.take()?.body, utf8('abcd'));
  t.equal(reassembly.add(part(1, 4, 2, utf8('cd'))), 'retransmitted', 'its end');
  t.equal(reassembly.add(part(1, 4, 0, utf8('ab'))), 'dropped', 'not its end');
  t.equal(reassembly.add(part(0)), 'dropped', 'one before');
});

t.test('the row index agrees with a map, whatever comes and goes', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(30), fc.boolean()), { maxLength: 300 }), fc.nat(3), (steps, coarse) => {
      const keys = new Float64Array(16);
      // Coarse hashes collide all the time.
      const hash = (key: number): number => (coarse === 0 ? hashOf(key) : key % coarse);
      const index = new RowIndex(16, row => hash(keys[row]!));
      const rows = new Map<number, number>();
      const free = Array.from({ length: 16 }, (_, row) => row);
      for (const [key, add] of steps) {
        const row = rows.get(key);
        if (add && row === undefined && free.length > 0) {
          const taken = free.pop()!;
          keys[taken] = key;
          index.add(taken);
          rows.set(key, taken);
        } else if (!add && row !== undefined) {
          index.delete(row);
          rows.delete(key);
          free.push(row);
        }
      }
      for (let key = 0; key <= 30; key++) {
        if (index.find(hash(key), row => keys[row] === key) !== (rows.get(key) ?? -1)) return false;
      }
      return true;
    }),
  );
});
