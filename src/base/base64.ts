import type { Bytes } from './bytes.ts';

/** The two alphabets of RFC 4648: §4 with padding, §5 (base64url) without. */
export type Base64Alphabet = 'base64' | 'base64url';

export function toBase64(bytes: Bytes, alphabet: Base64Alphabet): string {
  const digits = alphabets[alphabet];
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const left = bytes.length - at;
    const group = (bytes[at]! << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    text += digits[group >>> 18]! + digits[(group >>> 12) & 0x3f]!;
    if (left > 1) text += digits[(group >>> 6) & 0x3f]!;
    if (left > 2) text += digits[group & 0x3f]!;
  }
  return alphabet === 'base64' ? text.padEnd(Math.ceil(text.length / 4) * 4, '=') : text;
}

/**
 * The bytes a text stands for; `undefined` if it is not of the alphabet, has a length that no bytes have, or bits that no
 * bytes need (RFC 4648 §3.5). Padding may be there or be missing, whole, in both alphabets.
 */
export function fromBase64(text: string, alphabet: Base64Alphabet): Bytes | undefined {
  const digits = text.replace(/={1,2}$/, '');
  if (digits.length !== text.length && text.length % 4 !== 0) return undefined;
  if (digits.length % 4 === 1) return undefined;
  const values = valuesOf[alphabet];
  const bytes = new Uint8Array(Math.floor((digits.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < digits.length; i++) {
    const value = values.get(digits.charCodeAt(i));
    if (value === undefined) return undefined;
    held = ((held << 6) | value) & 0xfff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at++] = held >>> bits;
  }
  return (held & ((1 << bits) - 1)) === 0 ? bytes : undefined;
}

const common = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const alphabets: Readonly<Record<Base64Alphabet, string>> = { base64: `${common}+/`, base64url: `${common}-_` };
const valuesOf = {
  base64: digitValues(alphabets.base64),
  base64url: digitValues(alphabets.base64url),
};

function digitValues(digits: string): ReadonlyMap<number, number> {
  return new Map(Array.from(digits, (digit, value) => [digit.charCodeAt(0), value]));
}
