import type { Bytes } from '../base/bytes.ts';
import { FifoMap } from '../base/fifoMap.ts';
import { type Remote, sameRemote } from '../base/peer.ts';
import { after, type Instant, type Milliseconds, seconds } from '../base/time.ts';
import type { DtlsCounters } from './counters.ts';
import type { SessionRow } from './sessionTable.ts';

/**
 * Associations whose newest record came from another address than the one they are known at (RFC 9146 §6). Until the
 * peer has shown that it hears what is sent there, no more than three times the bytes that came from there go to it
 * (RFC 9853 §5); and if it does not show it in time, the old address is the one that counts again.
 */
export class Moves {
  readonly #moves = new FifoMap<SessionRow, Move>();
  readonly #counters: DtlsCounters;

  constructor(counters: DtlsCounters) {
    this.#counters = counters;
  }

  /** The newest record of this association came from `remote`. `true` if that was not known yet. */
  note(now: Instant, row: SessionRow, remote: Remote, bytes: number): boolean {
    const before = this.#moves.get(row);
    if (before !== undefined && sameRemote(before.remote, remote)) {
      before.budget += amplification * bytes;
      return false;
    }
    if (before === undefined && this.#moves.size === maxMoves) {
      this.#counters.movesFull++;
      this.#moves.delete(this.#moves.oldestKey()!);
    }
    this.#moves.delete(row);
    const until = after(now, provedWithin);
    this.#moves.set(row, { remote, until, budget: amplification * bytes, cookie: undefined });
    return true;
  }

  get(row: SessionRow): Move | undefined {
    return this.#moves.size === 0 ? undefined : this.#moves.get(row);
  }

  end(row: SessionRow): void {
    this.#moves.delete(row);
  }

  expire(now: Instant): void {
    for (let oldest = this.#moves.oldest(); oldest !== undefined && oldest.until <= now; ) {
      this.#moves.delete(this.#moves.oldestKey()!);
      oldest = this.#moves.oldest();
    }
  }

  nextExpiry(): Instant | undefined {
    return this.#moves.oldest()?.until;
  }
}

export interface Move {
  readonly remote: Remote;
  readonly until: Instant;
  /** How many bytes may still go there. */
  budget: number;
  /** What the peer has to send back from there. */
  cookie: Bytes | undefined;
}

const amplification = 3;
export const maxMoves = 16_384;
/** As long as a confirmable message is sent again (RFC 7252 §4.8.2: MAX_TRANSMIT_WAIT is 93 s). */
const provedWithin: Milliseconds = seconds(93);
