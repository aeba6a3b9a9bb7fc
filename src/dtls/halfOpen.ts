import { networkOf } from '../base/addressTable.ts';
import { Deadlines } from '../base/deadlines.ts';
import type { Remote } from '../base/peer.ts';
import { after, type Instant, type Milliseconds } from '../base/time.ts';
import { type Owner, ownerKey } from './psk.ts';
import type { ServerHandshake } from './serverHandshake.ts';

/**
 * The handshakes under way, by address: bounded in number, in number for each network, and in time. Oldest first.
 */
export class HalfOpenTable {
  readonly #limits: HalfOpenLimits;
  readonly #entries = new Map<string, HalfOpen>();
  readonly #networks = new Map<string, number>();
  /** The owners that resume a session: each in one of them. */
  readonly #resuming = new Set<string>();
  /** When to send a flight again, or to give up, if nothing has come back (RFC 6347 §4.2.4.1). */
  readonly #timers = new Deadlines<string>();

  constructor(limits: HalfOpenLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  find(remote: Remote): HalfOpen | undefined {
    return this.#entries.size === 0 ? undefined : this.#entries.get(addressKey(remote));
  }

  /** Whether the network that this address is in has as many handshakes under way as it may. What is no address may none. */
  isNetworkFull(remote: Remote): boolean {
    const network = networkOf(remote);
    return network === '' || (this.#networks.get(network) ?? 0) >= this.#limits.maxHandshakesPerNetwork;
  }

  get isFull(): boolean {
    return this.#entries.size >= this.#limits.maxHandshakes;
  }

  /**
   * The handshake that may go for another: the oldest, if its client has let a flight of ours time out. One that is
   * just going on is not worth less than one that has not begun.
   */
  stale(now: Instant): HalfOpen | undefined {
    const [oldest] = this.#entries.values();
    if (oldest === undefined) return undefined;
    const begun = oldest.giveUpAt - this.#limits.giveUpAfter;
    return now - begun > this.#limits.firstTimeout ? oldest : undefined;
  }

  add(now: Instant, remote: Remote, handshake: ServerHandshake): HalfOpen {
    const entry: HalfOpen = {
      remote,
      handshake,
      giveUpAt: after(now, this.#limits.giveUpAfter),
      timeout: this.#limits.firstTimeout,
      flights: 1,
      resuming: undefined,
    };
    const key = addressKey(remote);
    this.#entries.set(key, entry);
    this.#timers.set(key, after(now, entry.timeout));
    const network = networkOf(remote);
    this.#networks.set(network, (this.#networks.get(network) ?? 0) + 1);
    return entry;
  }

  remove(entry: HalfOpen): void {
    const key = addressKey(entry.remote);
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    this.#timers.clear(key);
    if (entry.resuming !== undefined) this.#resuming.delete(entry.resuming);
    const network = networkOf(entry.remote);
    const left = (this.#networks.get(network) ?? 1) - 1;
    if (left === 0) this.#networks.delete(network);
    else this.#networks.set(network, left);
  }

  /** This is the handshake in which its owner resumes a session. */
  resumes(entry: HalfOpen, owner: Owner): void {
    entry.resuming = ownerKey(owner);
    this.#resuming.add(entry.resuming);
  }

  isResuming(owner: Owner): boolean {
    return this.#resuming.has(ownerKey(owner));
  }

  /** Drops the handshakes that this owner's key would complete. */
  removeOwner({ row, credential }: Owner): void {
    for (const entry of this.#entries.values()) {
      const owner = entry.handshake.owner;
      if (owner?.row === row && owner.credential === credential) this.remove(entry);
    }
  }

  /** A flight has just left: nothing has to be sent again before its time (RFC 6347 §4.2.4, the WAITING state). */
  restartTimer(now: Instant, entry: HalfOpen): void {
    this.#timers.set(addressKey(entry.remote), Math.min(after(now, entry.timeout), entry.giveUpAt) as Instant);
  }

  /** The next handshake whose time has come; its timer is set again, doubled, unless it has come to its end. */
  takeDue(now: Instant): { entry: HalfOpen; over: boolean } | undefined {
    const key = this.#timers.takeDue(now);
    if (key === undefined) return undefined;
    const entry = this.#entries.get(key)!;
    const over = now >= entry.giveUpAt;
    if (!over) {
      entry.timeout = Math.min(entry.timeout * 2, maxTimeout);
      const next = after(now, entry.timeout);
      this.#timers.set(key, Math.min(next, entry.giveUpAt) as Instant);
    }
    return { entry, over };
  }

  nextExpiry(): Instant | undefined {
    return this.#timers.next();
  }
}

export interface HalfOpen {
  readonly remote: Remote;
  readonly handshake: ServerHandshake;
  readonly giveUpAt: Instant;
  timeout: Milliseconds;
  flights: number;
  /** The key of whoever resumes a session with it. */
  resuming: string | undefined;
}

export interface HalfOpenLimits {
  readonly maxHandshakes: number;
  /** For each network, IPv4 /24 or IPv6 /64: one flood does not take every place. */
  readonly maxHandshakesPerNetwork: number;
  /** 1 s by default (RFC 6347 §4.2.4.1); 9 s suits slow links (RFC 7925 §11). */
  readonly firstTimeout: Milliseconds;
  readonly giveUpAfter: Milliseconds;
}

function addressKey(remote: Remote): string {
  return `${remote.socket} ${remote.port} ${remote.address}`;
}

const maxTimeout: Milliseconds = 60_000;
