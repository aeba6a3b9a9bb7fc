import type { Bytes } from '../../src/base/bytes.ts';

/**
 * Bytes as decisions: what a sequence of operations does next. So whatever changes bytes changes the sequence, and
 * what shrinks them shrinks it. When they run out every decision is the first.
 */
export class Choices {
  readonly #bytes: Bytes;
  #at = 0;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  get isOver(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  /** A whole number in [0, bound), of up to 16 bits. */
  below(bound: number): number {
    return (bound <= 0x100 ? this.byte() : this.byte() * 0x100 + this.byte()) % bound;
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** Up to so many bytes as they stand there: their number first. */
  some(most: number): Bytes {
    return this.take(this.below(most + 1));
  }

  take(length: number): Bytes {
    const at = Math.min(this.#at, this.#bytes.length);
    this.#at = at + length;
    return this.#bytes.slice(at, at + length);
  }

  rest(): Bytes {
    return this.take(Math.max(0, this.#bytes.length - this.#at));
  }
}
