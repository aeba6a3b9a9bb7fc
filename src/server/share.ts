import { after, type Instant, type Milliseconds } from '../base/time.ts';

/**
 * How much of the loop's time questions may have: lookups, and notifying who observes them. After each the loop is left
 * to registrations for as long as it took, so that who asks much waits, and not the devices. A little may be asked at
 * once. Where time does not pass within a turn, as in the simulated world, nobody waits.
 */
export class Share {
  readonly #clock: () => Instant;
  #next: Instant = 0 as Instant;

  constructor(clock: () => Instant) {
    this.#clock = clock;
  }

  /** When there is time again. */
  get next(): Instant {
    return this.#next;
  }

  isFree(now: Instant): boolean {
    return now >= this.#next;
  }

  take<Result>(run: () => Result): Result {
    const start = this.#clock();
    const result = run();
    const end = this.#clock();
    const earliest = Math.max(this.#next, start - atOnce) as Instant;
    this.#next = after(earliest, 2 * (end - start));
    return result;
  }
}

/** Fifty small lookups. */
const atOnce: Milliseconds = 20;
