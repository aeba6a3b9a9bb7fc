import type { Bytes } from '../../base/bytes.ts';

/** RFC 9853 §4. */
export const PathMessage = { challenge: 0, response: 1, drop: 2 } as const;

/** A type that nobody here knows is no fault: it means nothing (RFC 9853 §4). `undefined` if it is malformed. */
export function decodePathMessage(bytes: Bytes): { type: number; cookie: Bytes } | undefined {
  return bytes.length === 1 + pathCookieLength ? { type: bytes[0]!, cookie: bytes.slice(1) } : undefined;
}

export function encodePathMessage(type: number, cookie: Bytes): Bytes {
  return Uint8Array.of(type, ...cookie);
}

export const pathCookieLength = 8;
