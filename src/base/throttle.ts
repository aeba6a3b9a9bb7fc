import { FifoMap } from './fifoMap.ts';
import { after, type Instant, type Milliseconds } from './time.ts';

/** How often something may happen: `burst` times at once, and then as many times a second. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/**
 * Holds each of many keys to a rate. What is kept for a key is one number: when all that was charged to it will have
 * been paid off. So every charge releases itself, and a key that owes nothing is forgotten. Bounded: beyond `capacity`
 * keys the one that was charged longest ago goes.
 */
export class Throttle<Key> {
  readonly #interval: Milliseconds;
  readonly #tolerance: Milliseconds;
  readonly #capacity: number;
  readonly #paidOff = new FifoMap<Key, Instant>();

  constructor({ burst, perSecond }: Rate, capacity: number) {
    this.#interval = 1000 / perSecond;
    this.#tolerance = (burst - 1) * this.#interval;
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#paidOff.size;
  }

  /** Whether the key may once more. */
  allows(now: Instant, key: Key): boolean {
    const paidOff = this.#paidOff.get(key);
    return paidOff === undefined || paidOff - now <= this.#tolerance;
  }

  charge(now: Instant, key: Key): void {
    if (this.#interval === 0) return;
    const paidOff = Math.max(now, this.#paidOff.get(key) ?? now) as Instant;
    this.#paidOff.set(key, after(paidOff, this.#interval));
    if (this.#paidOff.size > this.#capacity) this.#paidOff.delete(this.#paidOff.oldestKey()!);
  }

  /** Forgets the keys that owe nothing any more. Nothing depends on when this is called, except memory. */
  expire(now: Instant): void {
    for (const [key, paidOff] of this.#paidOff) if (paidOff <= now) this.#paidOff.delete(key);
  }
}
