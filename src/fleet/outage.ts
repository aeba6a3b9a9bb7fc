import type { Milliseconds, WallTime } from '../base/time.ts';

/** A time in which the server did not run, so that no device could report. */
export interface Outage {
  readonly from: WallTime;
  readonly to: WallTime;
}

/**
 * By how much a lifetime is extended: every outage since the last contact is added, so that a start never expires the
 * fleet that could not report.
 */
export function downtimeCredit(outages: readonly Outage[], lastContact: WallTime): Milliseconds {
  let credit = 0;
  for (const { from, to } of outages) if (to > lastContact) credit += to - Math.max(from, lastContact);
  return credit;
}

/** The outages that matter after a start at `now`; `alive` is when an earlier run was last known to run. */
export function outagesAtStart(
  before: readonly Outage[],
  alive: WallTime | undefined,
  now: WallTime,
): readonly Outage[] {
  return alive === undefined || alive >= now ? before : [...before, { from: alive, to: now }].slice(-maxOutages);
}

const maxOutages = 64;
