import { type Bytes, utf8 } from './bytes.ts';
import { takeFromSlab, trimToLength } from './slab.ts';

/** Writes big-endian fields one after the other into memory that grows; what is kept for long is to be copied (`takeFromSlab`). */
export class Writer {
  #bytes: Bytes;
  #length = 0;

  constructor(capacity = 128) {
    this.#bytes = takeFromSlab(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    // Grown first: `this.#bytes` would otherwise be what it was before.
    const at = this.#grow(1);
    this.#bytes[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
    return this;
  }

  u24(value: number): this {
    return this.u8(value >>> 16).u16(value & 0xffff);
  }

  u32(value: number): this {
    return this.u16(Math.floor(value / 0x1_0000) & 0xffff).u16(value & 0xffff);
  }

  /** Up to 2^48 - 1, the width of a DTLS sequence number. */
  u48(value: number): this {
    return this.u16(Math.floor(value / 0x1_0000_0000)).u32(value % 0x1_0000_0000);
  }

  put(bytes: Bytes): this {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  vector8(bytes: Bytes): this {
    return this.u8(bytes.length).put(bytes);
  }

  /** A text in UTF-8 behind its length. */
  text8(text: string): this {
    const start = this.#grow(1 + text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) {
        this.#length = start;
        return this.vector8(utf8(text));
      }
      this.#bytes[start + 1 + i] = code;
    }
    this.#bytes[start] = text.length;
    return this;
  }

  vector16(bytes: Bytes): this {
    return this.u16(bytes.length).put(bytes);
  }

  /** What was written so far. The memory goes to the caller: write nothing more afterwards. */
  finish(): Bytes {
    // Kept, so that to finish twice does not give back what somebody else took meanwhile.
    this.#bytes = trimToLength(this.#bytes, this.#length);
    return this.#bytes;
  }

  #grow(by: number): number {
    const at = this.#length;
    const length = at + by;
    if (length > this.#bytes.length) {
      const larger = takeFromSlab(Math.max(length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
    }
    this.#length = length;
    return at;
  }
}
