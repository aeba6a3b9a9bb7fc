import type { Bytes } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import { Writer } from '../../base/writer.ts';

/**
 * A ServerKeyExchange of plain PSK: a hint which identity the client should use. Our server has none to give and leaves
 * the message out; our client reads another server's and needs it for nothing (RFC 4279 §2, §5.2).
 */
export interface ServerKeyExchange {
  readonly hint: Bytes;
}

export function decodeServerKeyExchange(body: Bytes): ServerKeyExchange | undefined {
  try {
    const reader = new Reader(body);
    const hint = reader.vector16();
    reader.end();
    return { hint };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

export function encodeServerKeyExchange({ hint }: ServerKeyExchange): Bytes {
  return new Writer(2 + hint.length).vector16(hint).finish();
}
