import type { WallTime } from '../base/time.ts';

/**
 * The version of what is new in a place where something else may have been before. Never one that this had: an answer to
 * what was asked of the former, which is still under way, would be written over the latter. So it counts from the time
 * on, with room for a thousand writes in each millisecond.
 */
export function firstVersion(wall: WallTime): number {
  return Math.floor(wall) * 1000;
}
