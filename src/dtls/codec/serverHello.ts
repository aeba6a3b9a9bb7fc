import type { Bytes } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import { Writer } from '../../base/writer.ts';
import { type Extensions, readExtensions, writeExtensions } from './extension.ts';

/** RFC 5246 §7.4.1.3 */
export interface ServerHello {
  readonly version: number;
  readonly random: Bytes;
  readonly sessionId: Bytes;
  readonly cipherSuite: number;
  readonly compressionMethod: number;
  readonly extensions: Extensions;
}

export function decodeServerHello(body: Bytes): ServerHello | undefined {
  try {
    const reader = new Reader(body);
    const version = reader.u16();
    const random = reader.take(32);
    const sessionId = reader.vector8();
    if (sessionId.length > 32) throw new DecodeError('session_id');
    const cipherSuite = reader.u16();
    const compressionMethod = reader.u8();
    return { version, random, sessionId, cipherSuite, compressionMethod, extensions: readExtensions(reader) };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

export function encodeServerHello(hello: ServerHello): Bytes {
  const writer = new Writer(64).u16(hello.version).put(hello.random).vector8(hello.sessionId);
  writer.u16(hello.cipherSuite).u8(hello.compressionMethod);
  writeExtensions(writer, hello.extensions);
  return writer.finish();
}
