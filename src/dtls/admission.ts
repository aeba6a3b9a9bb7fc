import { networkOf } from '../base/addressTable.ts';
import type { Remote } from '../base/peer.ts';
import { type Rate, Throttle } from '../base/throttle.ts';
import type { Instant } from '../base/time.ts';
import { type Owner, ownerKey } from './psk.ts';

/**
 * Who may begin a handshake, and who may complete one. A hello that may not begin stays unanswered: the client sends it
 * again, later each time, and so a herd spreads itself. Only addresses that a cookie proved are ever charged, and only
 * owners that proved their key, so that nobody can use up what is somebody else's.
 */
export class Admission {
  readonly #all: Throttle<''>;
  readonly #failures: Throttle<string>;
  readonly #owners: Throttle<string>;

  constructor({ handshakeRate, failuresPerNetwork, handshakesPerIdentity }: AdmissionLimits) {
    this.#all = new Throttle(handshakeRate, 1);
    this.#failures = new Throttle(failuresPerNetwork, maxKeys);
    this.#owners = new Throttle(handshakesPerIdentity, maxKeys);
  }

  get size(): number {
    return this.#all.size + this.#failures.size + this.#owners.size;
  }

  /** Which limit says no, if one does. */
  refusesToBegin(now: Instant, remote: Remote): 'failureRate' | 'handshakeRate' | undefined {
    if (!this.#failures.allows(now, networkOf(remote))) return 'failureRate';
    return this.#all.allows(now, '') ? undefined : 'handshakeRate';
  }

  begun(now: Instant): void {
    this.#all.charge(now, '');
  }

  /** What succeeds costs a network nothing: a whole fleet may be behind one address. */
  failed(now: Instant, remote: Remote): void {
    this.#failures.charge(now, networkOf(remote));
  }

  /** `false` for an owner that has handshaken too often: a device in a loop is one commit each time. */
  mayComplete(now: Instant, owner: Owner): boolean {
    return this.#owners.allows(now, ownerKey(owner));
  }

  /** The owner proved its key: only that is ever charged to it. */
  completed(now: Instant, owner: Owner): void {
    this.#owners.charge(now, ownerKey(owner));
  }

  expire(now: Instant): void {
    this.#all.expire(now);
    this.#failures.expire(now);
    this.#owners.expire(now);
  }
}

export interface AdmissionLimits {
  /** Handshakes that begin. */
  readonly handshakeRate: Rate;
  /** Handshakes that fail, for each network (IPv4 /24, IPv6 /64). */
  readonly failuresPerNetwork: Rate;
  /** Handshakes that succeed, for each credential. */
  readonly handshakesPerIdentity: Rate;
}

const maxKeys = 16_384;
