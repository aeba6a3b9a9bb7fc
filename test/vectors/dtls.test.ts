import { createCipheriv } from 'node:crypto';
import t from 'tap';
import { type Bytes, concatBytes, fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import { allCipherSuites, type CipherSuite, cipherSuite, cipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { decodeClientHello, encodeClientHello } from '../../src/dtls/codec/clientHello.ts';
import { decodeClientKeyExchange } from '../../src/dtls/codec/clientKeyExchange.ts';
import { decodeFragments, encodeHandshake } from '../../src/dtls/codec/handshake.ts';
import { decodeServerHello, encodeServerHello } from '../../src/dtls/codec/serverHello.ts';
import { open, seal } from '../../src/dtls/crypto/aead.ts';
import { Hmac } from '../../src/dtls/crypto/hmac.ts';
import { KeySchedule, premasterSecret } from '../../src/dtls/crypto/keySchedule.ts';
import { Prf } from '../../src/dtls/crypto/prf.ts';
import { openRecord, sealRecord } from '../../src/dtls/protection.ts';
import { recordsOf } from '../support/handshakePair.ts';

const hex = (text: string): Bytes => fromHex(text.replace(/\s/g, ''))!;

t.test('HMAC gives what RFC 4231 says', async t => {
  // Test case 2, and test case 6, whose key is longer than a block.
  const short = [utf8('Jefe'), utf8('what do ya want for nothing?')] as const;
  const long = [
    new Uint8Array(131).fill(0xaa),
    utf8('Test Using Larger Than Block-Size Key - Hash Key First'),
  ] as const;
  t.equal(
    toHex(new Hmac('sha256', short[0]).tag(short[1])),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  );
  t.equal(
    toHex(new Hmac('sha256', long[0]).tag(long[1])),
    '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
  );
  t.equal(
    toHex(new Hmac('sha384', short[0]).tag(short[1])),
    'af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649',
  );
});

t.test('the PRF gives what is known for both hashes', async t => {
  // The TLS working group's test vectors (mailing list, "Test vectors for TLS 1.2 PRF").
  const sha256 = new Prf('sha256', hex('9bbe436ba940f017b17652849a71db35'));
  t.equal(
    toHex(sha256.derive('test label', hex('a0ba9f936cda311827a6f796ffd5198c'), 100)),
    'e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17' +
      'abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66',
  );
  const sha384 = new Prf('sha384', hex('b80b733d6ceefcdc71566ea48e5567df'));
  t.equal(
    toHex(sha384.derive('test label', hex('cd665cf6a8447dd6ff8b27555edb7465'), 148)),
    '7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700' +
      '884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a2' +
      '6066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f',
  );
});

t.test('CCM and GCM give what their documents say', async t => {
  const cases: readonly { from: string; suite: number; values: readonly string[] }[] = [
    {
      from: 'RFC 3610 §8, packet vector 1',
      suite: 0xc0a8,
      values: [
        'c0c1c2c3c4c5c6c7c8c9cacbcccdcecf',
        '00000003020100a0a1a2a3a4a5',
        '0001020304050607',
        '08090a0b0c0d0e0f101112131415161718191a1b1c1d1e',
        '588c979a61c663d2f066d0c2c0f989806d5f6b61dac384 17e8d12cfdf926e0',
      ],
    },
    {
      from: 'NIST SP 800-38C, example 3',
      suite: 0xc0a8,
      values: [
        '404142434445464748494a4b4c4d4e4f',
        '101112131415161718191a1b',
        '000102030405060708090a0b0c0d0e0f10111213',
        '202122232425262728292a2b2c2d2e2f3031323334353637',
        'e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5 484392fbc1b09951',
      ],
    },
    {
      from: 'the GCM specification, test case 4',
      suite: 0x00a8,
      values: [
        'feffe9928665731c6d6a8f9467308308',
        'cafebabefacedbaddecaf888',
        'feedfacedeadbeeffeedfacedeadbeefabaddad2',
        'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
        '42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091' +
          '5bc94fbc3221a5db94fae95ae7121a47',
      ],
    },
  ];
  for (const { from, suite: id, values } of cases) {
    const suite = cipherSuite(id)!;
    const [key, nonce, aad, plaintext, sealed] = values.map(hex) as [Bytes, Bytes, Bytes, Bytes, Bytes];
    const out = new Uint8Array(sealed.length);
    t.equal(seal(suite, key, nonce, aad, plaintext, out, 0), sealed.length, from);
    t.equal(toHex(out), toHex(sealed), from);
    t.equal(toHex(open(suite, key, nonce, aad, sealed)!), toHex(plaintext), from);
    for (let at = 0; at < sealed.length; at++) {
      const damaged = sealed.slice();
      damaged[at]! ^= 0x01;
      if (open(suite, key, nonce, aad, damaged) !== undefined) t.fail(`${from}: opens with byte ${at} changed`);
    }
    t.equal(open(suite, key, nonce, aad.subarray(1), sealed), undefined, 'other additional data');
    t.equal(open(suite, key, nonce, aad, sealed.subarray(0, suite.tagLength - 1)), undefined, 'shorter than a tag');
  }
});

t.test('every suite seals and opens any length, none included', async t => {
  for (const suite of allCipherSuites) {
    const keys = {
      key: new Uint8Array(suite.keyLength).fill(7),
      iv: new Uint8Array(suite.implicitIvLength).fill(9),
      mac: new Uint8Array(suite.macKeyLength).fill(8),
    };
    for (const length of [0, 1, 15, 16, 17, 100, 1200]) {
      const plaintext = new Uint8Array(length).map((_, at) => at);
      const sealed = sealRecord(suite, keys, 23, 1, 2 ** 40 + length, plaintext);
      const [record] = recordsOf(sealed);
      t.strictSame(openRecord(suite, keys, record!)?.plaintext.slice(), plaintext, `${suite.name}, ${length} bytes`);
      t.equal(openRecord(suite, keys, { ...record!, type: 22 }), undefined, 'another type');
      t.equal(openRecord(suite, keys, { ...record!, epoch: 2 }), undefined, 'another epoch');
      t.equal(openRecord(suite, keys, { ...record!, sequence: record!.sequence + 1 }), undefined, 'another sequence');
    }
  }
});

t.test('a record with a connection ID is protected as RFC 9146 says, whatever pads it', async t => {
  const cid = utf8('eight by');
  const sequence = hex('0001 000000000007');
  for (const suite of allCipherSuites) {
    const key = new Uint8Array(suite.keyLength).fill(1);
    const iv = new Uint8Array(suite.implicitIvLength).fill(2);
    const mac = new Uint8Array(suite.macKeyLength).fill(3);
    /** §5.3 for an AEAD, §5.2 for encrypt-then-MAC. */
    const additional = (length: number) =>
      concatBytes(hex('ffffffffffffffff 19 08 19 fefd'), sequence, cid, Uint8Array.of(length >>> 8, length));
    const protect = (inner: Bytes): Bytes => {
      if (suite.cipher === 'aes-128-cbc') {
        const start = new Uint8Array(16).fill(4);
        const cipher = createCipheriv(suite.cipher, key, start).setAutoPadding(false);
        const padding = 15 - (inner.length % 16);
        const sealed = concatBytes(start, cipher.update(concatBytes(inner, new Uint8Array(padding + 1).fill(padding))));
        return concatBytes(sealed, new Hmac('sha256', mac).tag(additional(sealed.length), sealed));
      }
      const sealed = new Uint8Array(inner.length + suite.tagLength);
      seal(suite, key, concatBytes(iv, sequence), additional(inner.length), inner, sealed, 0);
      return concatBytes(sequence, sealed);
    };
    const read = (inner: Bytes) => {
      const fragment = protect(inner);
      const header = concatBytes(hex('19 fefd'), sequence, cid, Uint8Array.of(0, fragment.length));
      const [record] = recordsOf(concatBytes(header, fragment), cid.length);
      return openRecord(suite, { key, iv, mac }, record!);
    };
    const content = utf8('what it says');
    const type = Uint8Array.of(23);
    const said = { type: 23, plaintext: content };
    t.match(read(concatBytes(content, type)), said, suite.name);
    t.match(read(concatBytes(content, type, new Uint8Array(20))), said, 'zeros pad it');
    t.match(read(concatBytes(content, new Uint8Array(2), type)), {
      plaintext: concatBytes(content, new Uint8Array(2)),
    });
    t.match(read(type), { type: 23, plaintext: new Uint8Array(0) }, 'it may say nothing');
    for (const length of [0, 1, 20]) t.equal(read(new Uint8Array(length)), undefined, 'without a type it is no record');
  }
});

t.test('a session with OpenSSL, byte by byte', async t => {
  const suite = cipherSuite(0xc0a8)!;
  const { clientHello, serverFlight, clientFlight, serverFinish, question, answer, goodbye } = captured;
  const messages = [clientHello, serverFlight, clientFlight]
    .flatMap(recordsOf)
    .filter(({ type, epoch }) => type === 22 && epoch === 0)
    .flatMap(({ fragment }) => decodeFragments(fragment)!);
  const whole = messages.map(({ type, messageSequence, body }) => encodeHandshake(type, messageSequence, body));
  const [hello, serverHello, , exchange] = messages;
  const client = decodeClientHello(hello!.body)!;
  const server = decodeServerHello(serverHello!.body)!;
  t.equal(toHex(encodeClientHello(client)), toHex(hello!.body), 'what is read is written the same');
  t.equal(toHex(encodeServerHello(server)), toHex(serverHello!.body), 'what is read is written the same');
  t.strictSame(decodeClientKeyExchange(exchange!.body, suite), {
    identity: utf8('Client_identity'),
    point: undefined,
  });

  const randoms = { client: client.random, server: server.random };
  const transcript = concatBytes(...whole);
  const schedule = KeySchedule.full(suite, premasterSecret(utf8('0123456789abcdef')), randoms, true, transcript);
  const keys = schedule.keys();
  const read = (datagram: Bytes, from: 'client' | 'server'): Bytes =>
    openRecord(suite, keys[from], recordsOf(datagram).find(({ epoch }) => epoch === 1)!)!.plaintext;

  const finished = encodeHandshake(20, 3, schedule.verifyData('client', transcript));
  t.equal(toHex(read(clientFlight, 'client')), toHex(finished), "the client's Finished");
  const ours = encodeHandshake(20, 3, schedule.verifyData('server', concatBytes(transcript, finished)));
  t.equal(toHex(read(serverFinish, 'server')), toHex(ours), "the server's Finished");
  t.strictSame(read(question, 'client').slice(), utf8('the answer\n'));
  t.strictSame(read(answer, 'server').slice(), utf8('THE ANSWER\n'));
  t.equal(toHex(read(goodbye, 'client')), '0100', 'close_notify');
  t.equal(toHex(sealRecord(suite, keys.client, 23, 1, 1, utf8('the answer\n'))), toHex(question), 'sealed the same');

  // OpenSSL printed the master secret, so that each half of the key schedule has its own witness.
  const master = new Prf('sha256', captured.masterSecret);
  const block = master.derive('key expansion', concatBytes(server.random, client.random), 40);
  t.equal(toHex(block), toHex(concatBytes(keys.client.key, keys.server.key, keys.client.iv, keys.server.iv)));
});

t.test(
  'what is spoken by default is of the AEAD kind, forward secrecy first and then what every client has',
  async t => {
    const names = cipherSuites.map(({ name }: CipherSuite) => name);
    t.ok(names.every(name => /^TLS_(ECDHE_)?PSK_WITH_AES_(128|256)_(CCM|CCM_8|GCM)(_SHA256|_SHA384)?$/.test(name)));
    t.equal(names.lastIndexOf('TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384'), 3);
    t.equal(names[4], 'TLS_PSK_WITH_AES_128_CCM_8');
  },
);

/** `openssl s_client -dtls1_2 -psk_identity Client_identity -psk 30313233343536373839616263646566` 3.0.22, one session. */
const captured = {
  masterSecret: hex('51854A110D47F1CDBB4D8F4A4B6001617993099AFE6BCC3E1C62FDCF7362CBEEF98930BD941B6C399A5434CB5537DFAC'),
  clientHello: hex(
    `16feff00000000000000010084010000780001000000000078fefd2bd56717d63ffd69ed148f02a9361ae9bae02d9b33b6d8dfbe37542e7943
     748900105640f7c53a6cad7d45bee7ee63189f720004c0a800ff0100003a002300000016000000170000000d002a00280403050306030807
     08080809080a080b080408050806040105010601030303010302040205020602`,
  ),
  serverFlight: hex(
    `16fefd0000000000000001003d020000310001000000000031fefd8cafdabcc12b911d92aff7e9f5a0a90fc698f79080589d2cf001d7023a89
     905700c0a8000009ff010001000017000016fefd0000000000000002000c0e0000000002000000000000`,
  ),
  clientFlight: hex(
    `16fefd0000000000000002001d100000110002000000000011000f436c69656e745f6964656e7469747914fefd000000000000000300010116
     fefd000100000000000000280001000000000000170825f405119e3adbd99339362c9319113ef8d4dd8552b4fee09762a3526382`,
  ),
  serverFinish: hex(
    `14fefd000000000000000300010116fefd0001000000000000002800010000000000006c49338997b3f01075b8c87f78c3cc32c501b6d27208
     713a39701304fd61d41a`,
  ),
  question: hex('17fefd0001000000000001001b0001000000000001dfcb08f92bced7c62e273cd13b6b9457d59ad7'),
  answer: hex('17fefd0001000000000001001b000100000000000113eff5c9799c0b361f446ce1b69ad6c44f5c8f'),
  goodbye: hex('15fefd00010000000000020012000100000000000203eee5c9ecf55b14f591'),
};
