import type { Peer } from '../base/peer.ts';
import { type Instant, seconds } from '../base/time.ts';
import type { FleetEvent } from '../fleet/event.ts';
import type { CredentialId } from '../fleet/names.ts';
import type { SessionChange } from '../fleet/session.ts';
import { emptyCommit, type Store } from '../fleet/store.ts';
import type { Turn } from './turn.ts';

/** What becomes of sessions in the store. That one is over has to get there too, however often the disk refuses. */
export class SessionKeeper {
  readonly #store: Store;
  readonly #turn: Turn;
  /** Sessions that are over and still in the store, since the disk refused: a restart must not wake them. */
  readonly #ended = new Map<CredentialId, EndedSession>();
  #notBefore: Instant = 0 as Instant;

  constructor(store: Store, turn: Turn) {
    this.#store = store;
    this.#turn = turn;
  }

  commit(change: SessionChange, settled: (durable: boolean) => void, events: readonly FleetEvent[] = []): void {
    this.#store.commit({ devices: [], events, sessions: [change] }, result => {
      this.#turn.begin(undefined);
      settled(result === 'durable');
      this.#turn.end();
    });
  }

  end(credential: CredentialId, peer: Peer, forget: boolean): void {
    const ended = { kind: 'ended', credential, peer, forget } as const;
    this.commit(ended, durable => {
      if (!durable) this.#ended.set(credential, ended);
    });
  }

  /** What the disk refused to end before: some at a time, at the pace at which it may have recovered. */
  endAgain(): void {
    if (this.#ended.size === 0 || this.#turn.now.instant < this.#notBefore) return;
    this.#notBefore = (this.#turn.now.instant + seconds(retryAfterSeconds)) as Instant;
    const sessions: EndedSession[] = [];
    for (const ended of this.#ended.values()) if (sessions.push(ended) === endBatch) break;
    this.#store.commit({ ...emptyCommit, sessions }, result => {
      if (result !== 'durable') return;
      for (const ended of sessions) {
        if (this.#ended.get(ended.credential) === ended) this.#ended.delete(ended.credential);
      }
    });
  }
}

type EndedSession = SessionChange & { kind: 'ended' };

const endBatch = 256;
const retryAfterSeconds = 30;
