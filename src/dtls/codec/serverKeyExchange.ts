import type { Bytes } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import { Writer } from '../../base/writer.ts';
import type { CipherSuite } from './cipherSuite.ts';

/**
 * A hint which identity the client should use, which our server never gives, and in an ECDHE_PSK suite the server's
 * half of the exchange. In a plain PSK suite without a hint the message is left out (RFC 4279 §2).
 *
 * ```
 *  opaque psk_identity_hint<0..2^16-1>;
 *  ECCurveType curve_type = named_curve(3);      only in ECDHE_PSK suites (RFC 5489 §2, RFC 8422 §5.4)
 *  NamedCurve namedcurve;
 *  opaque point<1..2^8-1>;
 * ```
 */
export interface ServerKeyExchange {
  readonly hint: Bytes;
  readonly share: { readonly group: number; readonly point: Bytes } | undefined;
}

/** `undefined` if it is malformed, or its curve has no name. */
export function decodeServerKeyExchange(body: Bytes, suite: CipherSuite): ServerKeyExchange | undefined {
  try {
    const reader = new Reader(body);
    const hint = reader.vector16();
    const share = suite.keyExchange === 'ecdhe-psk' ? readShare(reader) : undefined;
    reader.end();
    return { hint, share };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

export function encodeServerKeyExchange({ hint, share }: ServerKeyExchange): Bytes {
  const writer = new Writer(80).vector16(hint);
  if (share !== undefined) writer.u8(namedCurve).u16(share.group).vector8(share.point);
  return writer.finish();
}

function readShare(reader: Reader): ServerKeyExchange['share'] {
  if (reader.u8() !== namedCurve) throw new DecodeError('curve_type');
  const group = reader.u16();
  const point = reader.vector8();
  if (point.length === 0) throw new DecodeError('point');
  return { group, point };
}

const namedCurve = 3;
