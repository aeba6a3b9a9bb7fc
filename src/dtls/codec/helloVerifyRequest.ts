import type { Bytes } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import { Writer } from '../../base/writer.ts';
import { dtls10 } from './record.ts';

/** A server's question whether the client is where it says: it gets the cookie back, or nobody does (RFC 6347 §4.2.1). */
export interface HelloVerifyRequest {
  readonly cookie: Bytes;
}

export function decodeHelloVerifyRequest(body: Bytes): HelloVerifyRequest | undefined {
  try {
    const reader = new Reader(body);
    reader.u16();
    const cookie = reader.vector8();
    reader.end();
    return { cookie };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** It says DTLS 1.0 whatever will be spoken, so that every client can read it (RFC 6347 §4.2.1). */
export function encodeHelloVerifyRequest(request: HelloVerifyRequest): Bytes {
  return new Writer(3 + request.cookie.length).u16(dtls10).vector8(request.cookie).finish();
}
