import type { Bytes } from '../../base/bytes.ts';

export const HandshakeType = {
  helloRequest: 0,
  clientHello: 1,
  serverHello: 2,
  helloVerifyRequest: 3,
  serverKeyExchange: 12,
  serverHelloDone: 14,
  clientKeyExchange: 16,
  finished: 20,
} as const;

/** A piece of a handshake message, as it stands in a record (RFC 6347 §4.2.2). `body` is a view. */
export interface Fragment {
  readonly type: number;
  /** The length of the whole message. */
  readonly length: number;
  readonly messageSequence: number;
  readonly offset: number;
  readonly body: Bytes;
}

/**
 * The fragments of one record, or `undefined` if it is malformed.
 *
 * ```
 *  struct {
 *    HandshakeType msg_type;      1 byte
 *    uint24 length;               3
 *    uint16 message_seq;          2
 *    uint24 fragment_offset;      3
 *    uint24 fragment_length;      3
 *    opaque body[fragment_length];
 *  } Handshake;
 * ```
 */
export function decodeFragments(record: Bytes): Fragment[] | undefined {
  const fragments: Fragment[] = [];
  let at = 0;
  while (at < record.length) {
    if (at + handshakeHeaderLength > record.length || fragments.length === maxFragments) return undefined;
    const length = readUint24(record, at + 1);
    const offset = readUint24(record, at + 6);
    const size = readUint24(record, at + 9);
    const start = at + handshakeHeaderLength;
    if (start + size > record.length || offset + size > length) return undefined;
    fragments.push({
      type: record[at]!,
      length,
      messageSequence: (record[at + 4]! << 8) | record[at + 5]!,
      offset,
      body: record.subarray(start, start + size),
    });
    at = start + size;
  }
  return fragments.length === 0 ? undefined : fragments;
}

/** A whole message in one fragment: what we send, and what the transcript counts (RFC 6347 §4.2.6). */
export function encodeHandshake(type: number, messageSequence: number, body: Bytes): Bytes {
  const bytes = new Uint8Array(handshakeHeaderLength + body.length);
  bytes[0] = type;
  writeUint24(bytes, 1, body.length);
  bytes[4] = messageSequence >>> 8;
  bytes[5] = messageSequence;
  writeUint24(bytes, 9, body.length);
  bytes.set(body, handshakeHeaderLength);
  return bytes;
}

function readUint24(bytes: Bytes, at: number): number {
  return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
}

function writeUint24(bytes: Bytes, at: number, value: number): void {
  bytes[at] = value >>> 16;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value;
}

export const handshakeHeaderLength = 12;
/** A flight has at most a handful of messages; a record of thousands of empty fragments is nobody's handshake. */
const maxFragments = 16;
