import type { Bytes } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import { Writer } from '../../base/writer.ts';
import type { CipherSuite } from './cipherSuite.ts';

/**
 * Who the client says it is, in up to 128 arbitrary bytes (RFC 4279 §2, §5.3), and in an ECDHE_PSK suite its half of
 * the exchange (RFC 5489 §2).
 *
 * ```
 *  opaque psk_identity<0..2^16-1>;
 *  opaque ecdh_Yc<1..2^8-1>;                     only in ECDHE_PSK suites
 * ```
 */
export interface ClientKeyExchange {
  readonly identity: Bytes;
  readonly point: Bytes | undefined;
}

export function decodeClientKeyExchange(body: Bytes, suite: CipherSuite): ClientKeyExchange | undefined {
  try {
    const reader = new Reader(body);
    const identity = reader.vector16();
    const point = suite.keyExchange === 'ecdhe-psk' ? reader.vector8() : undefined;
    reader.end();
    return point?.length === 0 ? undefined : { identity, point };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

export function encodeClientKeyExchange({ identity, point }: ClientKeyExchange): Bytes {
  const writer = new Writer(80 + identity.length).vector16(identity);
  if (point !== undefined) writer.vector8(point);
  return writer.finish();
}
