import type { Bytes } from '../base/bytes.ts';

/**
 * Which of the `rowsPerChunk` rows of a chunk are meant. Stored as a list of 16-bit offsets while that is short, else as
 * one bit for each row: a term that one device has takes two bytes, one that all have an eighth of a byte a device.
 */
export class RowSet {
  readonly #words: Uint32Array;

  private constructor(words: Uint32Array) {
    this.#words = words;
  }

  static empty(): RowSet {
    return new RowSet(new Uint32Array(wordsPerChunk));
  }

  static decode(bytes: Bytes): RowSet {
    const set = RowSet.empty();
    set.addStored(bytes);
    return set;
  }

  /** `undefined` if no row is left. */
  encode(): Bytes | undefined {
    const size = this.size;
    if (2 * size >= bitmapLength) return new Uint8Array(this.#words.buffer.slice(0));
    return size === 0 ? undefined : encodeOffsets([...this.offsets(0)]);
  }

  get size(): number {
    let size = 0;
    for (let i = 0; i < wordsPerChunk; i++) size += bitCount(this.#words[i]!);
    return size;
  }

  add(offset: number): void {
    this.#words[offset >>> 5]! |= 1 << (offset & 31);
  }

  remove(offset: number): void {
    this.#words[offset >>> 5]! &= ~(1 << (offset & 31));
  }

  equals(other: RowSet): boolean {
    return this.#words.every((word, i) => word === other.#words[i]);
  }

  /** The rows that both have. */
  and(other: RowSet): RowSet {
    const both = RowSet.empty();
    for (let i = 0; i < wordsPerChunk; i++) both.#words[i] = this.#words[i]! & other.#words[i]!;
    return both;
  }

  /** In order, from `from` on. */
  *offsets(from: number): IterableIterator<number> {
    for (let i = from >>> 5; i < wordsPerChunk; i++) {
      let word = this.#words[i]!;
      if (i === from >>> 5) word &= -1 << (from & 31);
      while (word !== 0) {
        const bit = 31 - Math.clz32(word & -word);
        yield (i << 5) | bit;
        word &= word - 1;
      }
    }
  }

  /** Adds the rows of a stored set. */
  addStored(bytes: Bytes): void {
    if (bytes.length < bitmapLength) {
      for (let at = 0; at < bytes.length; at += 2) this.add(bytes[at]! | (bytes[at + 1]! << 8));
      return;
    }
    for (let i = 0; i < wordsPerChunk; i++) {
      const at = 4 * i;
      this.#words[i]! |= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    }
  }
}

/** Little-endian, like the bitmap on the machines that we know of; `addStored` reads either so. */
export function encodeOffsets(offsets: readonly number[]): Bytes {
  const bytes = new Uint8Array(2 * offsets.length);
  for (const [i, offset] of offsets.entries()) {
    bytes[2 * i] = offset & 0xff;
    bytes[2 * i + 1] = offset >>> 8;
  }
  return bytes;
}

function bitCount(word: number): number {
  let n = word - ((word >>> 1) & 0x5555_5555);
  n = (n & 0x3333_3333) + ((n >>> 2) & 0x3333_3333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

export const rowsPerChunk = 4096;
const wordsPerChunk = rowsPerChunk / 32;
const bitmapLength = rowsPerChunk / 8;
