import type { Bytes } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import { Writer } from '../../base/writer.ts';

/** A ClientKeyExchange of plain PSK: who the client says it is, in up to 128 arbitrary bytes (RFC 4279 §2, §5.3). */
export interface ClientKeyExchange {
  readonly identity: Bytes;
}

export function decodeClientKeyExchange(body: Bytes): ClientKeyExchange | undefined {
  try {
    const reader = new Reader(body);
    const identity = reader.vector16();
    reader.end();
    return { identity };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

export function encodeClientKeyExchange({ identity }: ClientKeyExchange): Bytes {
  return new Writer(2 + identity.length).vector16(identity).finish();
}
