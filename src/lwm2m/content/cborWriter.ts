import { type Bytes, utf8 } from '../../base/bytes.ts';
import { Writer } from '../../base/writer.ts';

/** Writes CBOR as deterministic as RFC 8949 §4.2.1 wants it, but for floats: none shorter than 32 bits, as devices do. */
export class CborWriter {
  readonly #writer = new Writer();

  integer(value: number | bigint): this {
    const exact = BigInt(value);
    return exact < 0n ? this.#head(1, -1n - exact) : this.#head(0, exact);
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
    this.#head(3, BigInt(bytes.length));
    this.#writer.put(bytes);
    return this;
  }

  bytes(value: Bytes): this {
    this.#head(2, BigInt(value.length));
    this.#writer.put(value);
    return this;
  }

  /** The head of an array: as many items have to follow. */
  array(length: number): this {
    return this.#head(4, BigInt(length));
  }

  /** The head of a map: as many pairs have to follow. */
  map(size: number): this {
    return this.#head(5, BigInt(size));
  }

  finish(): Bytes {
    return this.#writer.finish();
  }

  #head(major: number, argument: bigint): this {
    const initial = major << 5;
    if (argument < 24n) this.#writer.u8(initial | Number(argument));
    else if (argument < 0x100n) this.#writer.u8(initial | 24).u8(Number(argument));
    else if (argument < 0x1_0000n) this.#writer.u8(initial | 25).u16(Number(argument));
    else if (argument < 0x1_0000_0000n) this.#writer.u8(initial | 26).u32(Number(argument));
    else {
      this.#writer
        .u8(initial | 27)
        .u32(Number(argument >> 32n))
        .u32(Number(argument & 0xffff_ffffn));
    }
    return this;
  }
}
