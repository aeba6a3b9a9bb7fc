import { type Instant, seconds } from '../base/time.ts';
import type { Commit } from '../fleet/store.ts';
import type { DownlinkOut } from '../service/downlinkOut.ts';
import { expiryCheckInterval } from '../service/service.ts';
import type { DatapathParts } from './datapathParts.ts';
import type { Turn } from './turn.ts';

/** Ends registrations whose lifetime is over. */
export class Lifetimes {
  readonly #parts: DatapathParts;
  readonly #turn: Turn;
  readonly #downlink: DownlinkOut;
  #expiring = false;
  /** Lifetimes run on the wall clock, which may be set: when to look at it again in any case. */
  #lookAgain: Instant = 0 as Instant;
  /** The disk refused: when to ask it again to remove what is over. */
  #notBefore: Instant = 0 as Instant;

  constructor(parts: DatapathParts, turn: Turn, downlink: DownlinkOut) {
    this.#parts = parts;
    this.#turn = turn;
    this.#downlink = downlink;
  }

  nextExpiry(): Instant {
    const lifetimes = this.#parts.service.nextExpiry();
    if (lifetimes === undefined || this.#expiring) return this.#lookAgain;
    const { instant, wall } = this.#turn.now;
    const due = Math.max(instant + Math.max(0, lifetimes - wall), this.#notBefore);
    return Math.min(due, this.#lookAgain) as Instant;
  }

  /** Registrations whose lifetime is over, a batch at a time, each after the other is durable. */
  expire(): void {
    const { service, store } = this.#parts;
    this.#lookAgain = (this.#turn.now.instant + expiryCheckInterval) as Instant;
    if (this.#expiring || this.#turn.now.instant < this.#notBefore) return;
    const commit = service.expire(this.#turn.now.wall, store.view());
    if (commit === undefined) return;
    this.#expiring = true;
    store.commit(commit, result => {
      this.#expiring = false;
      this.#turn.begin(undefined);
      if (result === 'durable') {
        service.committed(commit, this.#turn.now);
        this.#parts.report.committed(commit);
        service.devices.changed(commit, undefined, false, this.#downlink);
      } else this.#noteAgain(commit);
      if (result === 'failed') this.#notBefore = (this.#turn.now.instant + seconds(retryAfterSeconds)) as Instant;
      else this.expire();
      this.#turn.end();
    });
  }

  #noteAgain(commit: Commit): void {
    const view = this.#parts.store.view();
    for (const { record } of commit.devices) {
      const current = view.device(record.row);
      if (current !== undefined) this.#parts.service.stored(current);
    }
  }
}

const retryAfterSeconds = 30;
