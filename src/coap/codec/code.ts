/**
 * CoAP codes (RFC 7252 §12.1): `c.dd`, three bits of class and five of detail, as the one byte that stands on the wire.
 * Open registries: unknown codes live, and print themselves.
 */
export const Method = {
  GET: 0x01,
  POST: 0x02,
  PUT: 0x03,
  DELETE: 0x04,
  FETCH: 0x05,
  PATCH: 0x06,
  iPATCH: 0x07,
} as const;

export const ResponseCode = {
  Created: 0x41,
  Deleted: 0x42,
  Valid: 0x43,
  Changed: 0x44,
  Content: 0x45,
  Continue: 0x5f,
  BadRequest: 0x80,
  Unauthorized: 0x81,
  BadOption: 0x82,
  Forbidden: 0x83,
  NotFound: 0x84,
  MethodNotAllowed: 0x85,
  NotAcceptable: 0x86,
  RequestEntityIncomplete: 0x88,
  Conflict: 0x89,
  PreconditionFailed: 0x8c,
  RequestEntityTooLarge: 0x8d,
  UnsupportedContentFormat: 0x8f,
  TooManyRequests: 0x9d,
  InternalServerError: 0xa0,
  NotImplemented: 0xa1,
  ServiceUnavailable: 0xa3,
  ProxyingNotSupported: 0xa5,
} as const;

/** As the RFC writes it: `codeText(0x41)` is `2.01`. */
export function codeText(code: number): string {
  return `${code >>> 5}.${String(code & 0x1f).padStart(2, '0')}`;
}

export function methodName(code: number): string {
  return methodNames.get(code) ?? codeText(code);
}

export const isRequestCode = (code: number): boolean => code >>> 5 === 0 && code !== 0;

/** Success, client error or server error: the classes a response can have (RFC 7252 §3). */
export const isResponseCode = (code: number): boolean => code >>> 5 === 2 || code >>> 5 === 4 || code >>> 5 === 5;

/** Whether doing it twice is doing it once (RFC 7252 §5.1; RFC 8132 §2). */
export const isIdempotent = (code: number): boolean => code !== Method.POST && code !== Method.PATCH;

/** Whether it only reads, so that a long answer may be asked for in parts (RFC 7959 §2.4; RFC 8132 §2). */
export const isFetching = (code: number): boolean => code === Method.GET || code === Method.FETCH;

const methodNames = new Map<number, string>(Object.entries(Method).map(([name, code]) => [code, name]));
