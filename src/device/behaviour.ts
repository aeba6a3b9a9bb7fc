import { Deadlines } from '../base/deadlines.ts';
import type { RandomSource } from '../base/random.ts';
import { after, type Instant, type Milliseconds } from '../base/time.ts';
import type { ValuePath } from '../lwm2m/path.ts';
import type { ResourceValue } from '../lwm2m/value.ts';

/** How a device behaves beyond the protocol: what tests and the simulator vary. */
export interface Behaviour {
  /** Listens only for so long after its last message, as in queue mode; what comes later is lost. By default always. */
  readonly awake?: Milliseconds;
  /** Never answers what the server asks, nor acknowledges it. */
  readonly mute?: boolean;
  /** Knows no composite operations, and answers 4.05 to their methods. */
  readonly withoutComposites?: boolean;
  /** Whether notifications are Confirmable, where no `con` attribute says it. By default they are not. */
  readonly confirmable?: boolean;
  /** What changes by itself. */
  readonly moving?: readonly MovingValue[];
}

export interface MovingValue {
  readonly path: ValuePath;
  /** At least a millisecond. */
  readonly every: Milliseconds;
  /** The value at a moment. */
  readonly next: (now: Instant) => ResourceValue;
}

/** The values that change by themselves, and when each does next. */
export class MovingValues {
  readonly #values: readonly MovingValue[];
  readonly #due = new Deadlines<number>();

  constructor(values: readonly MovingValue[]) {
    this.#values = values;
  }

  /** Each moves for the first time one interval from now. */
  start(now: Instant): void {
    for (const [index, { every }] of this.#values.entries()) this.#due.set(index, after(now, Math.max(1, every)));
  }

  takeDue(now: Instant): { path: ValuePath; value: ResourceValue } | undefined {
    const index = this.#due.takeDue(now);
    if (index === undefined) return undefined;
    const { path, every, next } = this.#values[index]!;
    this.#due.set(index, after(now, Math.max(1, every)));
    return { path, value: next(now) };
  }

  nextExpiry(): Instant | undefined {
    return this.#due.next();
  }
}

/** A sine: `middle` ± `swing` with a period, as of a day's temperature. */
export function wave(middle: number, swing: number, period: Milliseconds): MovingValue['next'] {
  return now => middle + swing * Math.sin((2 * Math.PI * now) / period);
}

/** Steps of up to `step`, up or down, and never beyond the bounds. */
export function wander(random: RandomSource, from: number, to: number, step: number): MovingValue['next'] {
  let value = (from + to) / 2;
  return () => {
    value = Math.min(to, Math.max(from, value + (2 * random.fraction() - 1) * step));
    return value;
  };
}

/** Up by `step` each time, from `start`. */
export function counter(start: number, step = 1): MovingValue['next'] {
  let value = start;
  return () => {
    value += step;
    return value;
  };
}
