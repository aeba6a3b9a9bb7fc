import type { Bytes } from './bytes.ts';

/**
 * Memory for bytes that are soon forgotten: a message that is sent, a record that is stored. Many of them share a slab,
 * since to the engine a block of memory costs more than what is written into it. Whoever keeps such bytes for long keeps
 * a slab with them, and copies them instead. The bytes are not zero: write all that is handed on.
 */
export function takeFromSlab(length: number): Bytes {
  if (length > longestShared) return new Uint8Array(length);
  if (used + length > slab.length) {
    slab = new Uint8Array(slabLength);
    used = 0;
  }
  used += length;
  return slab.subarray(used - length, used);
}

/** Gives back what is behind the first `length` bytes, if nothing was taken since. Returns those. */
export function trimToLength(bytes: Bytes, length: number): Bytes {
  const end = bytes.byteOffset + bytes.length;
  if (bytes.buffer === slab.buffer && end === used) used = bytes.byteOffset + length;
  return bytes.subarray(0, length);
}

const slabLength = 16_384;
const longestShared = 2048;
let slab = new Uint8Array(slabLength);
let used = 0;
