import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Bytes } from '../../base/bytes.ts';
import { Hmac, sameSecret } from './hmac.ts';
import type { DirectionKeys } from './keySchedule.ts';

/**
 * AES-CBC with encrypt-then-MAC (RFC 7366 §3): IV, then ENC(content + padding + padding_length), then the MAC over both.
 * What is not authentic is never decrypted, so that its padding tells nothing. `additionalData` goes into the MAC first;
 * `sequence` is epoch and sequence number, used once under these keys.
 */
export function sealCbc(
  { key, mac }: DirectionKeys,
  sequence: Bytes,
  additionalData: Bytes,
  content: Bytes,
  out: Bytes,
  at: number,
): void {
  const hmac = new Hmac('sha256', mac);
  // Nobody may guess an IV beforehand (RFC 5246 §6.2.3.2). No MAC is over so few bytes, so this is none of them.
  const iv = hmac.tag(sequence).subarray(0, blockLength);
  const cipher = createCipheriv('aes-128-cbc', key, iv).setAutoPadding(false);
  const encryptedAt = at + blockLength;
  const encryptedLength = cbcLength(content.length) - blockLength;
  out.set(iv, at);
  out.set(cipher.update(padded(content, encryptedLength)), encryptedAt);
  cipher.final();
  const end = encryptedAt + encryptedLength;
  out.set(hmac.tag(additionalData, out.subarray(at, end)), end);
}

/** Opens what `sealCbc` made. `undefined` if it is not authentic. */
export function openCbc({ key, mac }: DirectionKeys, additionalData: Bytes, sealed: Bytes): Bytes | undefined {
  const end = sealed.length - macLength;
  if (end < 2 * blockLength || end % blockLength !== 0) return undefined;
  const expected = new Hmac('sha256', mac).tag(additionalData, sealed.subarray(0, end));
  if (!sameSecret(expected, sealed.subarray(end))) return undefined;
  const decipher = createDecipheriv('aes-128-cbc', key, sealed.subarray(0, blockLength)).setAutoPadding(false);
  const plain = decipher.update(sealed.subarray(blockLength, end));
  decipher.final();
  return withoutPadding(new Uint8Array(plain.buffer, plain.byteOffset, plain.length));
}

/** The length of IV and ciphertext for so much content, with the least padding. */
export function cbcLength(contentLength: number): number {
  return blockLength + (Math.floor(contentLength / blockLength) + 1) * blockLength;
}

/** Each byte of padding, the last one too, says how many stand before that last one (RFC 5246 §6.2.3.2). */
function padded(content: Bytes, length: number): Bytes {
  const block = new Uint8Array(length).fill(length - content.length - 1, content.length);
  block.set(content);
  return block;
}

function withoutPadding(block: Bytes): Bytes | undefined {
  const padding = block[block.length - 1]!;
  const end = block.length - padding - 1;
  if (end < 0 || block.subarray(end).some(byte => byte !== padding)) return undefined;
  return block.subarray(0, end);
}

const blockLength = 16;
const macLength = 32;
