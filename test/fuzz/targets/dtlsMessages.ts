import { type Bytes, concatBytes, noBytes, sameBytes, utf8 } from '../../../src/base/bytes.ts';
import { cipherSuites, ecdheSuites, pskSuites } from '../../../src/dtls/codec/cipherSuite.ts';
import { decodeClientHello, decodeClientHelloStart, encodeClientHello } from '../../../src/dtls/codec/clientHello.ts';
import { decodeClientKeyExchange, encodeClientKeyExchange } from '../../../src/dtls/codec/clientKeyExchange.ts';
import { decodeConnectionId, ExtensionType, encodeConnectionId } from '../../../src/dtls/codec/extension.ts';
import { decodeFragments, encodeHandshake, HandshakeType } from '../../../src/dtls/codec/handshake.ts';
import { decodeHelloVerifyRequest, encodeHelloVerifyRequest } from '../../../src/dtls/codec/helloVerifyRequest.ts';
import { decodeGroups, decodePointFormats, encodeGroups } from '../../../src/dtls/codec/namedGroup.ts';
import {
  ContentType,
  decodeRecord,
  dtls12,
  encodePlainRecord,
  recordLength,
  writeRecordHeader,
} from '../../../src/dtls/codec/record.ts';
import { decodeServerHello, encodeServerHello } from '../../../src/dtls/codec/serverHello.ts';
import { decodeServerKeyExchange, encodeServerKeyExchange } from '../../../src/dtls/codec/serverKeyExchange.ts';
import { Reassembly } from '../../../src/dtls/reassembly.ts';
import { Choices } from '../choices.ts';
import { ensureRoundTrip } from '../roundTrip.ts';
import { ensure, ensureSame, type Target } from '../target.ts';

const random = new Uint8Array(32).fill(7);
const extensions: ReadonlyMap<number, Bytes> = new Map([
  [ExtensionType.maxFragmentLength, Uint8Array.of(2)],
  [ExtensionType.supportedGroups, encodeGroups([29, 23])],
  [ExtensionType.ecPointFormats, Uint8Array.of(1, 0)],
  [ExtensionType.encryptThenMac, noBytes],
  [ExtensionType.extendedMasterSecret, noBytes],
  [ExtensionType.connectionId, encodeConnectionId(Uint8Array.of(1, 2, 3))],
  [ExtensionType.renegotiationInfo, Uint8Array.of(0)],
]);
const clientHello = encodeClientHello({
  version: dtls12,
  random,
  sessionId: utf8('session'),
  cookie: utf8('cookie'),
  cipherSuites: cipherSuites.map(({ id }) => id),
  compressionMethods: Uint8Array.of(0),
  extensions,
});
const serverHello = encodeServerHello({
  version: dtls12,
  random,
  sessionId: noBytes,
  cipherSuite: 0xc0a8,
  compressionMethod: 0,
  extensions,
});

/** The record header, the header of fragments, and each handshake message. */
export const targets: readonly Target[] = [
  {
    name: 'dtls-record',
    holds: 'records stand one after the other within their datagram, and their headers come back as they were',
    seeds: [
      encodePlainRecord(ContentType.handshake, dtls12, 1, encodeHandshake(HandshakeType.clientHello, 0, noBytes)),
      concatBytes(Uint8Array.of(25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 2), utf8('ab')),
    ],
    words: [Uint8Array.of(0xfe, 0xfd), Uint8Array.of(0xfe, 0xff), Uint8Array.of(0x48, 0)],
    check: bytes => {
      for (const cidLength of [0, 8]) checkRecords(bytes, cidLength);
    },
  },
  {
    name: 'dtls-fragments',
    holds: 'fragments lie within their message and their record, and a whole message comes back as it was',
    seeds: [
      encodeHandshake(HandshakeType.serverHelloDone, 3, noBytes),
      concatBytes(encodeHandshake(1, 0, utf8('ab')), encodeHandshake(16, 1, utf8('c'))),
    ],
    check: bytes => {
      let length = 0;
      for (const { type, messageSequence, offset, body, ...fragment } of decodeFragments(bytes) ?? []) {
        ensure(offset + body.length <= fragment.length, 'beyond its message', offset, body.length, fragment.length);
        const whole = encodeHandshake(type, messageSequence, body);
        const there = bytes.subarray(length, (length += whole.length));
        if (fragment.length === body.length) ensureSame(whole, there, 'another message');
      }
      ensure(length === 0 || length === bytes.length, 'bytes that are in no fragment', length);
    },
  },
  {
    name: 'client-hello',
    holds: 'it comes back, and its first part says the same as the whole',
    seeds: [clientHello],
    check: bytes => {
      const hello = ensureRoundTrip(bytes, decodeClientHello, encodeClientHello);
      if (hello === undefined) return;
      const { version, random, sessionId, cookie } = hello;
      ensureSame(decodeClientHelloStart(bytes), { version, random, sessionId, cookie }, 'the start');
      for (const data of hello.extensions.values()) checkExtension(data);
    },
  },
  {
    name: 'server-hello',
    holds: 'it comes back',
    seeds: [serverHello],
    check: bytes => void ensureRoundTrip(bytes, decodeServerHello, encodeServerHello),
  },
  {
    name: 'hello-verify-request',
    holds: 'it comes back',
    seeds: [encodeHelloVerifyRequest({ cookie: random })],
    check: bytes => void ensureRoundTrip(bytes, decodeHelloVerifyRequest, encodeHelloVerifyRequest),
  },
  {
    name: 'server-key-exchange',
    holds: 'it comes back, and has a share where the suite wants one and only there',
    seeds: [
      encodeServerKeyExchange({ hint: utf8('hint'), share: undefined }),
      encodeServerKeyExchange({ hint: noBytes, share: { group: 29, point: random } }),
    ],
    check: bytes => {
      const plain = ensureRoundTrip(bytes, of => decodeServerKeyExchange(of, pskSuites[0]!), encodeServerKeyExchange);
      ensure(plain?.share === undefined, 'a share in plain PSK');
      const shared = ensureRoundTrip(
        bytes,
        of => decodeServerKeyExchange(of, ecdheSuites[0]!),
        encodeServerKeyExchange,
      );
      ensure(shared === undefined || shared.share!.point.length > 0, 'a point of no bytes');
    },
  },
  {
    name: 'client-key-exchange',
    holds: 'it comes back, and is either of plain PSK or of ECDHE, never both',
    seeds: [
      encodeClientKeyExchange({ identity: utf8('node-1'), point: undefined }),
      encodeClientKeyExchange({ identity: utf8('node-1'), point: random }),
    ],
    check: bytes => {
      const plain = ensureRoundTrip(bytes, of => decodeClientKeyExchange(of, pskSuites[0]!), encodeClientKeyExchange);
      const shared = ensureRoundTrip(
        bytes,
        of => decodeClientKeyExchange(of, ecdheSuites[0]!),
        encodeClientKeyExchange,
      );
      ensure(plain === undefined || shared === undefined, 'one message of two kinds');
    },
  },
  {
    name: 'dtls-reassembly',
    holds: 'messages in pieces that overlap, repeat and overtake each other come out whole, once and in order',
    seeds: [Uint8Array.of(2, 20, 9, 0, 0, 9, 1, 0, 3, 0, 9, 9, 1, 9, 11)],
    check: checkReassembly,
  },
];

function checkRecords(bytes: Bytes, cidLength: number): void {
  for (let at = 0; at < bytes.length; ) {
    const record = decodeRecord(bytes, at, cidLength);
    if (record === undefined) return;
    const { type, version, epoch, sequence, cid, fragment } = record;
    const length = recordLength(record);
    ensure(at + length <= bytes.length, 'beyond the datagram', at, length);
    ensure(fragment.length <= 2 ** 14 + 2048, 'longer than a record may be', fragment.length);
    ensure(cid.length === (type === ContentType.tls12Cid ? cidLength : 0), 'a connection ID of another length');
    const again = new Uint8Array(length);
    writeRecordHeader(again, 0, type, version, epoch, sequence, fragment.length, cid);
    again.set(fragment, length - fragment.length);
    ensure(sameBytes(again, bytes.subarray(at, at + length)), 'another record', record);
    at += length;
  }
}

function checkExtension(data: Bytes): void {
  ensureRoundTrip(data, decodeConnectionId, encodeConnectionId);
  ensureRoundTrip(data, decodeGroups, encodeGroups);
  const formats = decodePointFormats(data);
  ensure(formats === undefined || formats.length === data.length - 1, 'another number of point formats');
}

function checkReassembly(bytes: Bytes): void {
  const choices = new Choices(bytes);
  const messages = Array.from({ length: 1 + choices.below(3) }, (_, n) =>
    new Uint8Array(choices.below(64)).map((_, i) => 16 * n + i),
  );
  const reassembly = new Reassembly(0, 64, messages.length);
  const taken: Bytes[] = [];
  const take = (): void => {
    for (let message = reassembly.take(); message !== undefined; message = reassembly.take()) {
      ensure(message.messageSequence === taken.length, 'out of order', message.messageSequence);
      taken.push(message.body);
    }
  };
  const piece = (messageSequence: number, offset: number, size: number): void => {
    const { length } = messages[messageSequence]!;
    const body = messages[messageSequence]!.subarray(offset, offset + size);
    const added = reassembly.add({ type: 1, length, messageSequence, offset, body });
    ensure(added !== 'too-long', 'too long', length);
    take();
  };
  while (!choices.isOver) {
    const n = choices.below(messages.length);
    const offset = choices.below(messages[n]!.length + 1);
    piece(n, offset, choices.below(messages[n]!.length - offset + 1));
  }
  // Whatever came before, the whole of each is enough.
  for (const [n, { length }] of messages.entries()) piece(n, 0, length);
  ensureSame(taken, messages, 'other messages');
}
