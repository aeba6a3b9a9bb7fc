import { type Instant, seconds } from '../base/time.ts';

/** Whether a notification is newer than the newest one so far (RFC 7641 §3.4). */
export function isFresher(now: Instant, sequence: number, newest: { sequence: number; at: Instant }): boolean {
  const half = 2 ** 23;
  const ahead = sequence - newest.sequence;
  return (ahead > 0 && ahead < half) || ahead < -half || now > newest.at + seconds(128);
}
