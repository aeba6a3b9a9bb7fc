import type { Bytes } from '../base/bytes.ts';
import { textOf } from '../base/bytes.ts';

/**
 * Walks over one CBOR item and accepts only what a registration needs (RFC 8949 §3, §5.6): strings of definite length,
 * depth, no tags, no simple values but booleans and null, no key twice, valid UTF-8, integers that a number holds
 * exactly. Arrays and maps may be of indefinite length, as many constrained encoders write them. It runs before the decoder, whose time and memory a hostile item could otherwise spend: bignums, nesting, tags.
 *
 * Returns what is wrong, or `undefined` if nothing is.
 */
export function scanCbor(bytes: Bytes, start = 0): CborFault | undefined {
  const scan = new Scan(bytes, start);
  try {
    scan.item(0);
  } catch (error) {
    if (error instanceof Fault) return error.fault;
    throw error;
  }
  return scan.at === bytes.length ? undefined : 'bytes-after-the-end';
}

export type CborFault =
  | 'truncated'
  | 'depth'
  | 'tag'
  | 'indefinite-string'
  | 'break'
  | 'simple-value'
  | 'invalid-utf-8'
  | 'duplicate-key'
  | 'key-type'
  | 'large-integer'
  | 'reserved'
  | 'bytes-after-the-end';

/** A tag that only says "this is CBOR" may stand in front (RFC 8949 §3.4.6). */
export function withoutSelfDescription(bytes: Bytes): Bytes {
  return bytes[0] === 0xd9 && bytes[1] === 0xd9 && bytes[2] === 0xf7 ? bytes.subarray(3) : bytes;
}

class Scan {
  at: number;
  readonly #bytes: Bytes;

  constructor(bytes: Bytes, start: number) {
    this.#bytes = bytes;
    this.at = start;
  }

  /** Walks over one item; returns its first byte. */
  item(depth: number): number {
    if (depth > maxDepth) throw new Fault('depth');
    const initial = this.#byte();
    const major = initial >>> 5;
    if (major === 6) throw new Fault('tag');
    if (major === 7) return this.#simple(initial);
    const information = initial & 0x1f;
    if (major === 4) this.#array(this.#count(information), depth);
    else if (major === 5) this.#map(this.#count(information), depth);
    else if (information === indefinite) throw new Fault(major < 2 ? 'reserved' : 'indefinite-string');
    else if (major === 2) this.#skip(this.#argument(information));
    else if (major === 3) this.#text(this.#argument(information));
    else this.#argument(information);
    return initial;
  }

  #array(items: number, depth: number): void {
    for (let i = 0; i < items && !this.#ends(items); i++) this.item(depth + 1);
  }

  #map(pairs: number, depth: number): void {
    const keys = new Set<string | number | undefined>();
    for (let i = 0; i < pairs && !this.#ends(pairs); i++) {
      const start = this.at;
      const major = this.item(depth + 1) >>> 5;
      if (major !== 0 && major !== 1 && major !== 3) throw new Fault('key-type');
      // Compared by value: an integer may be written in more than one length.
      const key = major === 3 ? this.#textKey(start) : major === 0 ? this.#value(start) : -1 - this.#value(start);
      if (keys.has(key)) throw new Fault('duplicate-key');
      keys.add(key);
      this.item(depth + 1);
    }
  }

  /** Infinite if the "break" says where the items end. */
  #count(information: number): number {
    return information === indefinite ? Number.POSITIVE_INFINITY : this.#argument(information);
  }

  /** Steps over the "break" (RFC 8949 §3.2.1), which stands for an item of an array or a pair of a map, nowhere else. */
  #ends(count: number): boolean {
    if (count !== Number.POSITIVE_INFINITY || this.#bytes[this.at] !== breakByte) return false;
    this.at++;
    return true;
  }

  #textKey(start: number): string | undefined {
    const end = this.at;
    this.at = start;
    const length = this.#argument(this.#byte() & 0x1f);
    this.at = end;
    return textOf(this.#bytes.subarray(end - length, end));
  }

  #value(start: number): number {
    const end = this.at;
    this.at = start;
    const value = this.#argument(this.#byte() & 0x1f);
    this.at = end;
    return value;
  }

  #simple(initial: number): number {
    if (initial === breakByte) throw new Fault('break');
    const information = initial & 0x1f;
    if (information === 20 || information === 21 || information === 22) return initial;
    const floatLength = information === 25 ? 2 : information === 26 ? 4 : information === 27 ? 8 : 0;
    if (floatLength === 0) throw new Fault('simple-value');
    this.#skip(floatLength);
    return initial;
  }

  #argument(information: number): number {
    if (information < 24) return information;
    if (information > 27) throw new Fault('reserved');
    let value = 0;
    for (let i = 1 << (information - 24); i > 0; i--) value = value * 256 + this.#byte();
    if (value > Number.MAX_SAFE_INTEGER) throw new Fault('large-integer');
    return value;
  }

  #text(length: number): void {
    const start = this.at;
    this.#skip(length);
    for (let i = start; i < this.at; i++) {
      if (this.#bytes[i]! < 0x80) continue;
      if (textOf(this.#bytes.subarray(i, this.at)) === undefined) throw new Fault('invalid-utf-8');
      return;
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw new Fault('truncated');
    this.at++;
    return byte;
  }

  #skip(length: number): void {
    if (length > this.#bytes.length - this.at) throw new Fault('truncated');
    this.at += length;
  }
}

class Fault extends Error {
  readonly fault: CborFault;

  constructor(fault: CborFault) {
    super(fault);
    this.fault = fault;
  }
}

const maxDepth = 8;
const indefinite = 31;
const breakByte = 0xff;
