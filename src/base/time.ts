import type { Brand } from './brand.ts';

/** A point on the monotonic clock, in milliseconds. Means nothing to another process or after a restart. */
export type Instant = Brand<number, 'Instant'>;

/** A point on the wall clock, in milliseconds since 1970-01-01T00:00Z. What is stored is stored as wall time. */
export type WallTime = Brand<number, 'WallTime'>;

/** A span of time, in milliseconds. */
export type Milliseconds = number;

/** Both clocks, read once for each input of the loop, so that one turn has one time. */
export interface Now {
  readonly instant: Instant;
  readonly wall: WallTime;
}

export const seconds = (count: number): Milliseconds => count * 1000;
export const days = (count: number): Milliseconds => count * 86_400_000;

export function after(start: Instant, span: Milliseconds): Instant {
  return (start + span) as Instant;
}

export function wallAfter(start: WallTime, span: Milliseconds): WallTime {
  return (start + span) as WallTime;
}

/** Of two points at which something may be due; `undefined` if there is neither. */
export function earlier(a: Instant | undefined, b: Instant | undefined): Instant | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}
