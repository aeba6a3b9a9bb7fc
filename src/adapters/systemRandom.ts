import { randomBytes, randomFillSync } from 'node:crypto';
import type { Bytes } from '../base/bytes.ts';
import type { RandomSource } from '../base/random.ts';

/** The operating system's randomness, a block at a time: a call for each few bytes would cost more than their use. */
export class SystemRandom implements RandomSource {
  readonly #pool = randomBytes(poolLength);
  #at = 0;

  bytes(length: number): Bytes {
    if (length > poolLength) return new Uint8Array(randomBytes(length));
    if (this.#at + length > poolLength) {
      randomFillSync(this.#pool);
      this.#at = 0;
    }
    const bytes = new Uint8Array(this.#pool.subarray(this.#at, this.#at + length));
    // What was handed out is somebody's secret: it does not stay here.
    this.#pool.fill(0, this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  fraction(): number {
    const [a, b, c, d, e, f] = this.bytes(6) as unknown as [number, number, number, number, number, number];
    return (((a << 16) | (b << 8) | c) * 2 ** 24 + ((d << 16) | (e << 8) | f)) / 2 ** 48;
  }
}

const poolLength = 4096;
