/**
 * When a group of commits is written. The answers of one group bring the requests of the next, and a transaction costs
 * much the same for one commit as for fifty: so while peers keep asking, a group waits until as many are there as were
 * under way before, or none came within a millisecond, or the longest wait is over. A lone commit waits for nobody.
 */
export class GroupPace {
  #expected = 0;
  #settledAt = Number.NEGATIVE_INFINITY;
  #length = 0;
  #ends = 0;

  /** A group settled; `waiting` commits have gathered meanwhile. Times are in milliseconds. */
  settled(now: number, length: number, waiting: number): void {
    this.#expected = length + waiting;
    this.#settledAt = now;
  }

  /** A new group begins with `length` commits: whether it waits a millisecond, and is then asked about with `mayGrow`. */
  begins(now: number, length: number): boolean {
    this.#length = length;
    this.#ends = now + longestWait;
    return length < this.#expected && this.#expected > 1 && now - this.#settledAt < longestWait;
  }

  /** A millisecond later: whether to wait for another one. */
  mayGrow(now: number, length: number): boolean {
    const grew = length > this.#length;
    this.#length = length;
    return grew && length < this.#expected && now < this.#ends;
  }
}

/** In milliseconds. */
export const longestWait = 4;
