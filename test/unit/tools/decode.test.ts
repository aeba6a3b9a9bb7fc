import fc from 'fast-check';
import t from 'tap';
import { type Bytes, concatBytes, utf8 } from '../../../src/base/bytes.ts';
import { Method } from '../../../src/coap/codec/code.ts';
import { encodeMessage } from '../../../src/coap/codec/message.ts';
import { Options, UriPath } from '../../../src/coap/codec/option.ts';
import { allCipherSuites } from '../../../src/dtls/codec/cipherSuite.ts';
import { isCapture, readCapture } from '../../../tools/decode/capture.ts';
import { describe } from '../../../tools/decode/describe.ts';
import { KeyLogOpener } from '../../../tools/decode/keyLog.ts';
import { handshakePair } from '../../support/handshakePair.ts';

const u16 = (value: number): Bytes => Uint8Array.of(value >>> 8, value);
const u32 = (value: number): Bytes => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
const reversed = (bytes: Bytes): Bytes => bytes.slice().reverse();

function udp(payload: Bytes): Bytes {
  return concatBytes(u16(40_000), u16(5684), u16(8 + payload.length), u16(0), payload);
}

function ipv4(payload: Bytes): Bytes {
  const header = new Uint8Array(20);
  header.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
  return concatBytes(header, udp(payload));
}

function ipv6(payload: Bytes): Bytes {
  const header = new Uint8Array(40);
  header.set([0x60, 0, 0, 0, 0, 0, 17, 64, 0x20, 1, 0xd, 0xb8]);
  header[23] = 1;
  header.set([0x20, 1, 0xd, 0xb8], 24);
  header[39] = 2;
  return concatBytes(header, udp(payload));
}

function pcap(packets: readonly Bytes[], little: boolean): Bytes {
  const word = (value: number): Bytes => (little ? reversed(u32(value)) : u32(value));
  const half = (value: number): Bytes => (little ? reversed(u16(value)) : u16(value));
  const header = concatBytes(word(0xa1b2c3d4), half(2), half(4), word(0), word(0), word(65_535), word(1));
  const frames = packets.map(packet => {
    const frame = concatBytes(new Uint8Array(12), packet[0]! >>> 4 === 4 ? u16(0x0800) : u16(0x86dd), packet);
    return concatBytes(word(1_700_000_000), word(250_000), word(frame.length), word(frame.length), frame);
  });
  return concatBytes(header, ...frames);
}

function pcapng(packets: readonly Bytes[]): Bytes {
  const block = (type: number, body: Bytes): Bytes => {
    const padded = concatBytes(body, new Uint8Array((4 - (body.length % 4)) % 4));
    return concatBytes(u32(type), u32(12 + padded.length), padded, u32(12 + padded.length));
  };
  const section = block(0x0a0d0d0a, concatBytes(u32(0x1a2b3c4d), u16(1), u16(0), u32(0xffffffff), u32(0xffffffff)));
  const raw = block(1, concatBytes(u16(101), u16(0), u32(0)));
  const enhanced = packets.map(packet =>
    block(6, concatBytes(u32(0), u32(0), u32(0), u32(packet.length), u32(packet.length), packet)),
  );
  return concatBytes(section, raw, ...enhanced);
}

const conversation = handshakePair({ cid: utf8('me') }).connect().sent;

t.test('a handshake is told message by message', async t => {
  const told = conversation.flatMap(({ datagram }) => describe(datagram, 8)).join('\n');
  for (const pattern of [
    /^record handshake, DTLS 1.0, epoch 0, sequence 0, \d+ bytes\n {2}clientHello, message_seq 0, \d+ bytes$/m,
    /helloVerifyRequest.*\n {4}cookie [0-9a-f]{32}$/m,
    /^ {4}cipher_suites TLS_PSK_WITH_AES_128_CCM_8/m,
    /^ {4}extension connectionId 026d65$/m,
    /serverHelloDone, message_seq 2, 0 bytes/,
    /^ {4}identity "device-1"$/m,
    /record changeCipherSpec/,
    /record tls12Cid, DTLS 1.2, epoch 1, sequence 0, connection ID [0-9a-f]{16}, \d+ bytes\n {2}protected$/m,
  ]) {
    t.match(told, pattern);
  }
});

t.test(
  'with the key log, what was said in a session is told, in all suites, with and without connection IDs',
  async t => {
    for (const suite of allCipherSuites) {
      for (const cid of [undefined, utf8('8 bytes!')]) {
        const pair = handshakePair({ suites: [suite], clientSuites: [suite], ...(cid && { cid }) }).connect();
        pair.client.send('hello');
        const told = (opener: KeyLogOpener) =>
          pair.sent.flatMap(({ datagram }) => describe(datagram, 8, opener.datagram('a', 'b', datagram, 8))).join('\n');
        const opened = told(new KeyLogOpener(pair.keyLog.join('')));
        t.equal(opened.match(/^ {2}protected: handshake, 24 bytes\n {4}finished, /gm)?.length, 2, suite.name);
        t.match(opened, /protected: applicationData, 5 bytes/);
        t.notMatch(opened, /^ {2}protected$/m);
        const other = told(new KeyLogOpener(`CLIENT_RANDOM ${'00'.repeat(32)} ${'00'.repeat(48)}`));
        t.notMatch(other, /applicationData, 5 bytes/, 'and not with the log of another');
      }
    }
  },
);

t.test('CoAP in clear is told with its options', async t => {
  const options = Options.empty.with(UriPath, 'rd').with(UriPath, 'a\u001b[2J').with(UriPath, '\u009b2J');
  const payload = utf8('</3/0>');
  const request = {
    kind: 'request',
    type: 'CON',
    messageId: 7,
    token: utf8('tk'),
    code: Method.POST,
    options,
  } as const;
  t.strictSame(describe(encodeMessage({ ...request, payload }), 8), [
    'CoAP CON POST, message ID 7, token 746b',
    '  Uri-Path rd',
    '  Uri-Path a\\u001b[2J',
    '  Uri-Path \\u009b2J',
    '  payload, 6 bytes: "</3/0>"',
  ]);
});

t.test('both forms of captures are read, in both byte orders', async t => {
  const packets = [ipv4(utf8('one')), ipv6(utf8('two'))];
  for (const file of [pcap(packets, true), pcap(packets, false), pcapng(packets)]) {
    t.ok(isCapture(file));
    const read = [...readCapture(file)];
    t.strictSame(
      read.map(({ from, to, payload }) => [from, to, new TextDecoder().decode(payload)]),
      [
        ['192.0.2.1:40000', '192.0.2.2:5684', 'one'],
        ['[2001:db8::1]:40000', '[2001:db8::2]:5684', 'two'],
      ],
    );
    if (file[0] !== 0x0a) t.equal(read[0]!.at, 1_700_000_000_250);
  }
  t.notOk(isCapture(utf8('15fefd')));
});

t.test('whatever a capture or a datagram holds, decoding it ends, and throws nothing', async () => {
  const packets = conversation.map(({ datagram }) => ipv4(datagram));
  const files = [pcap(packets, true), pcapng(packets)];
  const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.nat(1), fc.array(change, { maxLength: 20 }), fc.nat(), (which, changes, cut) => {
      const file = files[which]!.slice();
      for (const [at, value] of changes) file[at % file.length] = value;
      for (const { payload } of readCapture(file.subarray(0, cut % file.length))) describe(payload, 8);
      for (const { payload } of readCapture(file)) describe(payload, 8);
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(20), (bytes, cidLength) => {
      describe(bytes, cidLength);
      for (const { payload } of readCapture(bytes)) describe(payload, cidLength);
    }),
  );
});
