import type { Bytes } from './bytes.ts';

/**
 * Where randomness comes from. The server hands in the operating system's; a test or the simulator hands in a seeded
 * one, so that a whole run is a function of its seed.
 */
export interface RandomSource {
  /** `length` fresh random bytes. */
  bytes(length: number): Bytes;
  /** A number in [0, 1). For jitter and for choices, never for secrets. */
  fraction(): number;
}

/**
 * A repeatable source for tests and simulation (xoshiro128**). **Not** for secrets: whoever sees some output can
 * compute the rest.
 */
export class SeededRandom implements RandomSource {
  readonly #state: Uint32Array;

  constructor(seed: number) {
    this.#state = new Uint32Array(4);
    let mix = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      mix = (mix + 0x9e3779b9) >>> 0;
      let word = mix;
      word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
      word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
      this.#state[i] = (word ^ (word >>> 16)) >>> 0;
    }
  }

  bytes(length: number): Bytes {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.uint32() & 0xff;
    return bytes;
  }

  fraction(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /** A whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }

  /** A source of its own for one part of the world, so that what one part draws does not shift what another sees. */
  fork(): SeededRandom {
    return new SeededRandom(this.uint32());
  }

  uint32(): number {
    const s = this.#state as unknown as [number, number, number, number];
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }
}

function rotateLeft(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}
