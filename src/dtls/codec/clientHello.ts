import { type Bytes, noBytes } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import { Writer } from '../../base/writer.ts';
import { type Extensions, readExtensions, writeExtensions } from './extension.ts';

/**
 * ```
 *  struct {
 *    ProtocolVersion client_version;
 *    Random random;                                32 bytes
 *    SessionID session_id;                         <0..32>
 *    opaque cookie<0..2^8-1>;                      New field
 *    CipherSuite cipher_suites<2..2^16-1>;
 *    CompressionMethod compression_methods<1..2^8-1>;
 *    Extension extensions<0..2^16-1>;
 *  } ClientHello;
 * ```
 * (RFC 6347 §4.2.1)
 */
export interface ClientHello extends ClientHelloStart {
  readonly cipherSuites: readonly number[];
  readonly compressionMethods: Bytes;
  readonly extensions: Extensions;
}

/** What the first fragment must hold, so that a cookie can be checked before anything is remembered. */
export interface ClientHelloStart {
  readonly version: number;
  readonly random: Bytes;
  readonly sessionId: Bytes;
  readonly cookie: Bytes;
}

export function decodeClientHello(body: Bytes): ClientHello | undefined {
  try {
    const reader = new Reader(body);
    const start = readStart(reader);
    const suites = new Reader(reader.vector16());
    if (suites.left < 2 || suites.left % 2 !== 0) throw new DecodeError('cipher_suites');
    const cipherSuites: number[] = [];
    while (suites.left > 0) cipherSuites.push(suites.u16());
    const compressionMethods = reader.vector8();
    if (!compressionMethods.includes(0)) throw new DecodeError('no null compression');
    return { ...start, cipherSuites, compressionMethods, extensions: readExtensions(reader) };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Whether the hello that begins at `offset` of a datagram brings a cookie; only looks, and checks nothing else. */
export function bringsCookie(datagram: Bytes, offset: number): boolean {
  const sessionIdLength = datagram[offset + versionAndRandomLength] ?? 0;
  return (datagram[offset + versionAndRandomLength + 1 + sessionIdLength] ?? 0) > 0;
}

/** Reads only the fields up to the cookie: `body` may be the first fragment of a longer hello. */
export function decodeClientHelloStart(body: Bytes): ClientHelloStart | undefined {
  try {
    return readStart(new Reader(body));
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

export function encodeClientHello(hello: ClientHello): Bytes {
  const writer = new Writer(160);
  writer.u16(hello.version).put(hello.random).vector8(hello.sessionId).vector8(hello.cookie);
  writer.u16(2 * hello.cipherSuites.length);
  for (const suite of hello.cipherSuites) writer.u16(suite);
  writer.vector8(hello.compressionMethods);
  writeExtensions(writer, hello.extensions);
  return writer.finish();
}

function readStart(reader: Reader): ClientHelloStart {
  const version = reader.u16();
  const random = reader.take(32);
  const sessionId = reader.vector8();
  if (sessionId.length > 32) throw new DecodeError('session_id');
  const cookie = reader.vector8();
  return { version, random, sessionId, cookie };
}

export const nullCompression: Bytes = Uint8Array.of(0);
export const noCookie = noBytes;

const versionAndRandomLength = 34;
