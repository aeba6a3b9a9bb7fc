/** Raw bytes. `Buffer` stays in the adapters, where it is turned into a plain `Uint8Array` once. */
export type Bytes = Uint8Array;

export const noBytes: Bytes = new Uint8Array(0);

const longestPlain = 64;
const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Short ASCII texts, of which registrations are full, cost a sixth of what the platform's encoder takes for them. */
export function utf8(text: string): Bytes {
  const { length } = text;
  if (length > longestPlain) return utf8Encoder.encode(text);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return utf8Encoder.encode(text);
    bytes[i] = code;
  }
  return bytes;
}

/** The text these bytes spell, or `undefined` if they are not valid UTF-8. */
export function textOf(bytes: Bytes): string | undefined {
  try {
    return utf8Decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

export function concatBytes(...parts: readonly Bytes[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether two byte strings are the same. Not for secrets: those are compared in `dtls/crypto`, in constant time. */
export function sameBytes(a: Bytes, b: Bytes): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const hexDigits: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

export function toHex(bytes: Bytes): string {
  let text = '';
  for (const byte of bytes) text += hexDigits[byte];
  return text;
}

/** The bytes a hexadecimal text spells (either case, no separators), or `undefined` if it spells none. */
export function fromHex(text: string): Bytes | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
