import type { Bytes } from './bytes.ts';

/** What a `Reader` throws when the bytes end early or do not fit. Each public `decode…` catches it: it crosses no layer. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

/** Reads big-endian fields from bytes, in order. Every read past the end throws `DecodeError`; views, no copies. */
export class Reader {
  readonly #bytes: Bytes;
  #at: number;
  readonly #end: number;

  constructor(bytes: Bytes, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  u16(): number {
    const at = this.#take(2);
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number);
  }

  u24(): number {
    return (this.u8() << 16) | this.u16();
  }

  u32(): number {
    return this.u16() * 0x1_0000 + this.u16();
  }

  u48(): number {
    return this.u16() * 0x1_0000_0000 + this.u32();
  }

  /** The next `length` bytes, as a view into the same memory. */
  take(length: number): Bytes {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** Whether the next byte is this one; then it is read. */
  skipIf(byte: number): boolean {
    if (this.#at >= this.#end || this.#bytes[this.#at] !== byte) return false;
    this.#at++;
    return true;
  }

  rest(): Bytes {
    return this.take(this.left);
  }

  /** A vector with a one-byte length in front: `opaque x<0..2^8-1>`. */
  vector8(): Bytes {
    return this.take(this.u8());
  }

  /** A vector with a two-byte length in front: `opaque x<0..2^16-1>`. */
  vector16(): Bytes {
    return this.take(this.u16());
  }

  /** Throws unless everything was read. */
  end(): void {
    if (this.left !== 0) throw new DecodeError(`${this.left} bytes after the end`);
  }

  #take(length: number): number {
    const at = this.#at;
    if (length > this.#end - at) throw new DecodeError(`${length} bytes wanted, ${this.#end - at} left`);
    this.#at = at + length;
    return at;
  }
}
