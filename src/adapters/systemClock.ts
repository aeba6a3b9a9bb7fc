import type { Instant, Now, WallTime } from '../base/time.ts';

/** Reads both clocks. */
export function systemNow(): Now {
  return { instant: performance.now() as Instant, wall: Date.now() as WallTime };
}
