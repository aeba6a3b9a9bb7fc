import type { Bytes } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import { Writer } from '../../base/writer.ts';

/** The identity in a ClientKeyExchange of plain PSK: up to 128 arbitrary bytes (RFC 4279 §2, §5.3). */
export function decodeClientKeyExchange(body: Bytes): { identity: Bytes } | undefined {
  return decodeOpaque16(body, 'identity');
}

export function encodeClientKeyExchange(identity: Bytes): Bytes {
  return new Writer(2 + identity.length).vector16(identity).finish();
}

/** The hint in a ServerKeyExchange of plain PSK. We send none; a server of others may, and we do not need it (RFC 4279 §5.2). */
export function decodeServerKeyExchange(body: Bytes): { hint: Bytes } | undefined {
  return decodeOpaque16(body, 'hint');
}

function decodeOpaque16<Name extends string>(body: Bytes, name: Name): { [key in Name]: Bytes } | undefined {
  try {
    const reader = new Reader(body);
    const value = reader.vector16();
    reader.end();
    return { [name]: value } as { [key in Name]: Bytes };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
