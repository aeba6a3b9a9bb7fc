import { type Bytes, utf8 } from '../../base/bytes.ts';
import { Writer } from '../../base/writer.ts';

/** Writes CBOR as deterministic as RFC 8949 §4.2.1 wants it, but for floats: none shorter than 32 bits, as devices do. */
export class CborWriter {
  readonly #writer = new Writer();

  integer(value: number | bigint): this {
    if (value >= 0) return this.#head(0, value);
    return this.#head(1, typeof value === 'number' ? -1 - value : -1n - value);
  }

  float(value: number): this {
    const single = Object.is(Math.fround(value), value);
    const bytes = new Uint8Array(single ? 4 : 8);
    const view = new DataView(bytes.buffer);
    if (single) view.setFloat32(0, value);
    else view.setFloat64(0, value);
    this.#writer.u8(single ? 0xfa : 0xfb).put(bytes);
    return this;
  }

  boolean(value: boolean): this {
    this.#writer.u8(value ? 0xf5 : 0xf4);
    return this;
  }

  null(): this {
    this.#writer.u8(0xf6);
    return this;
  }

  text(value: string): this {
    const bytes = utf8(value);
    this.#head(3, bytes.length);
    this.#writer.put(bytes);
    return this;
  }

  bytes(value: Bytes): this {
    this.#head(2, value.length);
    this.#writer.put(value);
    return this;
  }

  /** The head of an array: as many items have to follow. */
  array(length: number): this {
    return this.#head(4, length);
  }

  /** The head of a map: as many pairs have to follow. */
  map(size: number): this {
    return this.#head(5, size);
  }

  finish(): Bytes {
    return this.#writer.finish();
  }

  #head(major: number, argument: number | bigint): this {
    const initial = major << 5;
    if (argument < 24) this.#writer.u8(initial | Number(argument));
    else if (argument < 0x100) this.#writer.u8(initial | 24).u8(Number(argument));
    else if (argument < 0x1_0000) this.#writer.u8(initial | 25).u16(Number(argument));
    else if (argument < 0x1_0000_0000) this.#writer.u8(initial | 26).u32(Number(argument));
    else {
      const exact = BigInt(argument);
      this.#writer
        .u8(initial | 27)
        .u32(Number(exact >> 32n))
        .u32(Number(exact & 0xffff_ffffn));
    }
    return this;
  }
}
