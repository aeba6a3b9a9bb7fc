import type { Bytes } from '../base/bytes.ts';
import type { SessionRow } from './sessionTable.ts';

/**
 * What clients send between their Finished and the moment at which their session is durable. Only who resumes has
 * something to say so early: it heard the server's Finished first. It is kept, since waiting for the disk is our
 * business, but little of it, and not for many: it is sent again if nobody answers.
 */
export class EarlyData {
  readonly #held = new Map<SessionRow, EarlyRecord[]>();

  /** `false` if there is no room for it. */
  hold(row: SessionRow, plaintext: Bytes, sequence: number): boolean {
    const held = this.#held.get(row);
    if (held === undefined ? this.#held.size === earlyLimits.sessions : held.length === earlyLimits.records)
      return false;
    const record = { plaintext: plaintext.slice(), sequence };
    if (held === undefined) this.#held.set(row, [record]);
    else held.push(record);
    return true;
  }

  take(row: SessionRow): readonly EarlyRecord[] {
    const held = this.#held.get(row) ?? [];
    this.#held.delete(row);
    return held;
  }
}

export interface EarlyRecord {
  readonly plaintext: Bytes;
  readonly sequence: number;
}

/** How many records are held for one session, and for how many sessions. */
export const earlyLimits = { records: 4, sessions: 4096 };
