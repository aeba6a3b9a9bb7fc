import type { Milliseconds } from '../../src/base/time.ts';

/** The time of a world, in milliseconds: it stands still while something happens, and jumps to what happens next. */
export class Clock {
  now: Milliseconds = 0;
  /** A heap; what is due at the same time happens in the order in which it was asked for. */
  readonly #events: Event[] = [];
  #order = 0;
  /** How much has happened at this moment. */
  #atOnce = 0;

  at(time: Milliseconds, run: () => void): void {
    const events = this.#events;
    const event = { at: Math.max(onGrain(time), this.now), order: this.#order++, run };
    let position = events.push(event) - 1;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (isBefore(events[parent]!, event)) break;
      events[position] = events[parent]!;
      position = parent;
    }
    events[position] = event;
  }

  after(span: Milliseconds, run: () => void): void {
    this.at(this.now + span, run);
  }

  /** When something happens next; infinite if nothing does. */
  next(): Milliseconds {
    return this.#events[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /** Lets the next thing happen. Throws if that goes on and on while no time passes. */
  step(): void {
    const first = this.#events[0];
    if (first === undefined) return;
    const last = this.#events.pop()!;
    if (this.#events.length > 0) this.#sink(last);
    this.#atOnce = first.at === this.now ? this.#atOnce + 1 : 0;
    if (this.#atOnce > mostAtOnce) throw new Error('time stands still');
    this.now = first.at;
    first.run();
  }

  #sink(event: Event): void {
    const events = this.#events;
    let position = 0;
    for (;;) {
      let child = 2 * position + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child++;
      if (isBefore(event, events[child]!)) break;
      events[position] = events[child]!;
      position = child;
    }
    events[position] = event;
  }
}

/** One timer that can be armed anew; what it was armed for before does not happen. */
export class Timer {
  readonly #clock: Clock;
  #at = Number.POSITIVE_INFINITY;
  #generation = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  arm(time: Milliseconds, run: () => void): void {
    if (time === this.#at) return;
    this.disarm();
    if (time === Number.POSITIVE_INFINITY) return;
    this.#at = time;
    const generation = this.#generation;
    this.#clock.at(time, () => {
      if (generation !== this.#generation) return;
      this.#at = Number.POSITIVE_INFINITY;
      run();
    });
  }

  disarm(): void {
    this.#generation++;
    this.#at = Number.POSITIVE_INFINITY;
  }
}

interface Event {
  readonly at: Milliseconds;
  readonly order: number;
  readonly run: () => void;
}

/** The next time that is a whole number of grains: sums and differences of such times are exact, and others are not. */
export function onGrain(time: Milliseconds): Milliseconds {
  return Math.ceil(time * grain) / grain;
}

/** Two hundred devices that do all at the same moment stay far below it. */
const mostAtOnce = 100_000;

/** Parts of a millisecond that are exact in binary. */
const grain = 1024;

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
