import fc from 'fast-check';
import t from 'tap';
import { type Bytes, concatBytes, fromHex, noBytes, toHex, utf8 } from '../../src/base/bytes.ts';
import type { RandomSource } from '../../src/base/random.ts';
import {
  allCipherSuites,
  type CipherSuite,
  cbcSuites,
  cipherSuite,
  ecdheSuites,
  pskSuites,
} from '../../src/dtls/codec/cipherSuite.ts';
import type { ClientHello } from '../../src/dtls/codec/clientHello.ts';
import { encodeClientKeyExchange } from '../../src/dtls/codec/clientKeyExchange.ts';
import { ExtensionType } from '../../src/dtls/codec/extension.ts';
import { decodeFragments, encodeHandshake, HandshakeType } from '../../src/dtls/codec/handshake.ts';
import { encodeGroups, NamedGroup, namedGroups } from '../../src/dtls/codec/namedGroup.ts';
import { encodePlainRecord } from '../../src/dtls/codec/record.ts';
import type { ServerHello } from '../../src/dtls/codec/serverHello.ts';
import { decodeServerKeyExchange, encodeServerKeyExchange } from '../../src/dtls/codec/serverKeyExchange.ts';
import { ephemeralKey } from '../../src/dtls/crypto/ecdhe.ts';
import { openRecord, sealRecord } from '../../src/dtls/protection.ts';
import { describe, type HandshakePair, handshakePair, recordsOf, split } from '../support/handshakePair.ts';
import { rewriteHello } from '../support/rewriting.ts';

const ecdhe = ecdheSuites[0]!;
const ccm8 = cipherSuite(0xc0a8)!;
const cbc = cipherSuite(0x00ae)!;

t.test('ServerKeyExchange shifts the numbers of what comes after it', async t => {
  const pair = handshakePair({ clientSuites: [ecdhe] }).connect();
  t.strictSame(
    pair.ladder.map(line => line.slice(line.search(/[→←]/))),
    [
      '→ clientHello(0)',
      '← helloVerifyRequest(0)',
      '→ clientHello(1)',
      '← serverHello(1) serverKeyExchange(2) serverHelloDone(3)',
      '→ clientKeyExchange(2) [changeCipherSpec] {handshake 40}',
      '← [changeCipherSpec] {handshake 40}',
    ],
  );
  t.equal(pair.verified[0]!.session.lastFlight?.messageSequence, 4);
});

t.test('a client that can keep a secret for ever gets to, by the order of the server', async t => {
  t.equal(handshakePair({ clientSuites: [ccm8, ecdhe] }).connect().client.suite, ecdhe);
  t.equal(handshakePair({ clientSuites: [ecdhe, ccm8], suites: [ccm8, ecdhe] }).connect().client.suite, ccm8);
});

t.test('each curve carries each exchange, X25519 where both are there', async t => {
  const groupOf = (pair: HandshakePair): number | undefined => {
    const flight = pair.datagramsFrom('server')[1]!;
    const body = recordsOf(flight).flatMap(({ fragment }) => decodeFragments(fragment)!)[1]!.body;
    return decodeServerKeyExchange(body, ecdhe)?.share?.group;
  };
  for (const [groups, expected] of [
    [[NamedGroup.secp256r1], NamedGroup.secp256r1],
    [[NamedGroup.x25519], NamedGroup.x25519],
    [[NamedGroup.secp256r1, NamedGroup.x25519], NamedGroup.x25519],
  ] as const) {
    const pair = handshakePair({ clientSuites: [ecdhe], groups }).connect();
    t.equal(pair.client.connections, 1);
    t.equal(groupOf(pair), expected);
  }
});

t.test('a client without a curve of ours gets a suite without one, or none', async t => {
  const other = (hello: ClientHello) => ({
    ...hello,
    extensions: new Map([...hello.extensions, [ExtensionType.supportedGroups, encodeGroups([24, 30])]] as [
      number,
      Bytes,
    ][]),
  });
  t.match(answerTo([ecdhe, ccm8], other), /serverHello\(1\) serverHelloDone/);
  t.equal(answerTo([ecdhe], other), '[alert handshakeFailure]');
  const silent = (hello: ClientHello) => ({ ...hello, extensions: new Map<number, Bytes>() });
  t.match(answerTo([ecdhe], silent), /serverKeyExchange/, 'who does not say leaves the choice to us');
});

t.test('zero-length and odd lists in a hello are refused', async t => {
  const withExtension = (type: number, data: Bytes) => (hello: ClientHello) => ({
    ...hello,
    extensions: new Map([...hello.extensions, [type, data]]),
  });
  for (const data of [noBytes, Uint8Array.of(0, 0), Uint8Array.of(0, 3, 0, 29, 0), Uint8Array.of(0, 2, 0, 29, 9)]) {
    t.equal(answerTo([ecdhe], withExtension(ExtensionType.supportedGroups, data)), '[alert decodeError]', toHex(data));
  }
  for (const data of [noBytes, Uint8Array.of(0), Uint8Array.of(2, 0)]) {
    t.equal(answerTo([ecdhe], withExtension(ExtensionType.ecPointFormats, data)), '[alert decodeError]', toHex(data));
  }
  const compressedOnly = withExtension(ExtensionType.ecPointFormats, Uint8Array.of(1, 1));
  t.equal(answerTo([ecdhe], compressedOnly), '[alert illegalParameter]', 'RFC 8422 §5.1.2');
  t.equal(answerTo([cbc], withExtension(ExtensionType.encryptThenMac, Uint8Array.of(1)), [cbc]), '[alert decodeError]');
});

t.test('what is no point, or leaves no secret, ends the handshake', async t => {
  const points: [string, NamedGroup, (point: Bytes) => Bytes][] = [
    ['no bytes', NamedGroup.x25519, () => noBytes],
    ['X25519 of small order: zero', NamedGroup.x25519, () => new Uint8Array(32)],
    ['X25519 of small order: one', NamedGroup.x25519, () => new Uint8Array(32).fill(1, 0, 1)],
    [
      'X25519 of small order: eight',
      NamedGroup.x25519,
      () => fromHex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800')!,
    ],
    ['X25519 of small order: p', NamedGroup.x25519, () => fromHex(`ed${'ff'.repeat(30)}7f`)!],
    ['X25519, a byte short', NamedGroup.x25519, point => point.subarray(1)],
    ['a point of the other curve', NamedGroup.x25519, () => ephemeralKey(NamedGroup.secp256r1, fixed).point],
    ['P-256, not on the curve', NamedGroup.secp256r1, point => changed(point, 40)],
    ['P-256, the point at infinity', NamedGroup.secp256r1, () => new Uint8Array(1)],
    ['P-256, all zeros', NamedGroup.secp256r1, () => Uint8Array.of(4, ...new Uint8Array(64))],
    ['P-256, compressed', NamedGroup.secp256r1, point => Uint8Array.of(2 + (point[64]! & 1), ...point.subarray(1, 33))],
    ['P-256, hybrid', NamedGroup.secp256r1, point => Uint8Array.of(6 + (point[64]! & 1), ...point.subarray(1))],
  ];
  for (const [name, group, change] of points) {
    const point = change(ephemeralKey(group, fixed).point);
    const ours = handshakePair({ clientSuites: [ecdhe], groups: [group] });
    ours.intercept = (from, datagram) => {
      if (from === 'server' || !describe(datagram).startsWith('clientKeyExchange')) return [datagram];
      const body = encodeClientKeyExchange({ identity: utf8('device-1'), point });
      const exchange = encodeHandshake(HandshakeType.clientKeyExchange, 2, body);
      return [concatBytes(encodePlainRecord(22, 0xfefd, 9, exchange), ...split(datagram).slice(1))];
    };
    ours.connect();
    t.equal(ours.verified.length, 0, name);
    t.match(ours.failed, [{ fault: 'malformed' }], name);
    t.match(ours.client.closed, [/alert (illegalParameter|decodeError)/], name);

    const theirs = handshakePair({ clientSuites: [ecdhe], groups: [group] });
    theirs.intercept = (from, datagram) => {
      if (from === 'client' || !describe(datagram).startsWith('serverHello(1)')) return [datagram];
      const [hello, , done] = split(datagram);
      const body = encodeServerKeyExchange({ hint: noBytes, share: { group, point } });
      return [concatBytes(hello!, encodePlainRecord(22, 0xfefd, 9, encodeHandshake(12, 2, body)), done!)];
    };
    theirs.connect();
    t.strictSame(theirs.client.closed, ['malformed'], `${name}: the client does not take it either`);
    t.notMatch(theirs.ladder.join('\n'), /clientKeyExchange/);
  }
});

t.test('a client takes no curve that it did not name, and no exchange that is missing', async t => {
  const change = (to: (records: Bytes[]) => Bytes[]): HandshakePair => {
    const pair = handshakePair({ clientSuites: [ecdhe], groups: [NamedGroup.secp256r1] });
    pair.intercept = (from, datagram) =>
      from === 'server' && describe(datagram).startsWith('serverHello(1)')
        ? [concatBytes(...to(split(datagram)))]
        : [datagram];
    return pair.connect();
  };
  const { point } = ephemeralKey(NamedGroup.x25519, fixed);
  const body = encodeServerKeyExchange({ hint: noBytes, share: { group: NamedGroup.x25519, point } });
  const exchange = encodePlainRecord(22, 0xfefd, 9, encodeHandshake(HandshakeType.serverKeyExchange, 2, body));
  t.strictSame(change(([hello, , done]) => [hello!, exchange, done!]).client.closed, ['malformed']);
  const done = encodePlainRecord(22, 0xfefd, 9, encodeHandshake(HandshakeType.serverHelloDone, 2, noBytes));
  t.strictSame(change(([hello]) => [hello!, done]).client.closed, ['malformed']);
});

t.test(
  'a client believes no hello of another version, with an answer that it did not ask for, or one that it cannot read',
  async t => {
    const told = (change: (hello: ServerHello) => Partial<ServerHello>, suites = pskSuites): readonly string[] => {
      const pair = handshakePair({ suites, clientSuites: suites });
      rewriteHello(pair, 'server', hello => ({ ...hello, ...change(hello) }));
      return pair.connect().client.closed;
    };
    const extended = (type: number, data: Bytes) => (hello: ServerHello) => ({
      extensions: new Map([...hello.extensions, [type, data]]),
    });
    t.strictSame(
      told(() => ({ version: 0xfeff })),
      ['protocol-version'],
    );
    t.strictSame(
      told(() => ({ cipherSuite: 0x1301 })),
      ['not-offered'],
    );
    t.strictSame(told(extended(ExtensionType.encryptThenMac, noBytes)), ['not-offered']);
    t.strictSame(told(extended(4711, noBytes)), ['not-offered']);
    const without =
      (type: number) =>
      ({ extensions }: ServerHello) => ({
        extensions: new Map([...extensions].filter(([other]) => other !== type)),
      });
    t.strictSame(told(without(ExtensionType.encryptThenMac), cbcSuites), ['not-offered'], 'CBC that would leak');
    t.strictSame(told(extended(ExtensionType.extendedMasterSecret, Uint8Array.of(1))), ['malformed']);
    const pair = handshakePair({ maxFragmentLength: 512 });
    rewriteHello(pair, 'server', hello => ({
      ...hello,
      ...extended(ExtensionType.maxFragmentLength, Uint8Array.of(2))(hello),
    }));
    t.strictSame(pair.connect().client.closed, ['not-offered'], 'records of another length (RFC 6066 §4)');
  },
);

t.test('both sides come to the same secret, which is that of RFC 7748 §6.1', async t => {
  const hex = (text: string) => fromHex(text)!;
  const alice = ephemeralKey(
    NamedGroup.x25519,
    sourceOf(hex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a')),
  );
  const bob = hex('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
  t.equal(toHex(alice.point), '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');
  t.equal(toHex(alice.agree(bob)!), '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742');
  for (const group of namedGroups) {
    const secret = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(secret, secret, (a, b) => {
        const one = ephemeralKey(group, sourceOf(a));
        const two = ephemeralKey(group, sourceOf(b));
        return toHex(one.agree(two.point)!) === toHex(two.agree(one.point)!);
      }),
      { numRuns: 10 },
    );
  }
});

t.test('CBC is spoken with encrypt-then-MAC or not at all', async t => {
  const without = (hello: ClientHello) => ({
    ...hello,
    extensions: new Map([...hello.extensions].filter(([type]) => type !== ExtensionType.encryptThenMac)),
  });
  t.match(
    answerTo([cbc], hello => hello, allCipherSuites),
    /serverHello/,
  );
  t.equal(answerTo([cbc], without, allCipherSuites), '[alert handshakeFailure]');
  t.match(answerTo([cbc, ccm8], without, allCipherSuites), /serverHello/);
  t.equal(
    answerTo([cbc], hello => hello),
    '[alert handshakeFailure]',
    'and by default not at all',
  );
});

t.test('whatever is changed in a record of encrypt-then-MAC, it does not open', async t => {
  for (const suite of cbcSuites) {
    const keys = keysOf(suite);
    for (const length of [0, 1, 15, 16, 31, 100]) {
      const sealed = sealRecord(suite, keys, 23, 1, 7, new Uint8Array(length).fill(1));
      t.equal((sealed.length - 13) % 16, 0);
      for (let at = 3; at < sealed.length; at++) {
        const [record] = recordsOf(changed(sealed, at));
        if (record !== undefined && openRecord(suite, keys, record) !== undefined)
          t.fail(`${length}: opens with byte ${at} changed`);
      }
      for (const shorter of [1, 16, 32, sealed.length - 13]) {
        const record = recordsOf(sealed)[0]!;
        const fragment = record.fragment.subarray(0, record.fragment.length - shorter);
        t.equal(openRecord(suite, keys, { ...record, fragment }), undefined);
      }
    }
    const ivs = [1, 2, 3].map(sequence => toHex(sealRecord(suite, keys, 23, 1, sequence, utf8('x')).subarray(13, 29)));
    t.equal(new Set(ivs).size, 3, 'each record has an IV of its own');
  }
});

/** What the server says to a hello with these suites, changed on its way. */
function answerTo(
  clientSuites: readonly CipherSuite[],
  change: (hello: ClientHello) => ClientHello,
  suites?: readonly CipherSuite[],
): string {
  const pair = handshakePair({ clientSuites, ...(suites && { suites }) });
  rewriteHello(pair, 'client', change);
  pair.client.connect();
  pair.pass(35);
  return describe(pair.datagramsFrom('server').at(-1)!);
}

function changed(bytes: Bytes, at: number): Bytes {
  const copy = bytes.slice();
  copy[at]! ^= 1;
  return copy;
}

function keysOf({ keyLength, macKeyLength, implicitIvLength }: CipherSuite) {
  return {
    key: new Uint8Array(keyLength).fill(1),
    iv: new Uint8Array(implicitIvLength).fill(2),
    mac: new Uint8Array(macKeyLength).fill(3),
  };
}

/** Hands out this secret first. */
function sourceOf(secret: Bytes): RandomSource {
  const left = [secret];
  return { bytes: length => left.pop() ?? new Uint8Array(length).fill(5), fraction: () => 0 };
}

const fixed: RandomSource = { bytes: length => new Uint8Array(length).fill(7), fraction: () => 0 };
