import type { Bytes } from '../base/bytes.ts';
import type { Remote } from '../base/peer.ts';
import type { Milliseconds } from '../base/time.ts';
import { HandshakeType } from '../dtls/codec/handshake.ts';
import { ContentType, recordHeaderLength } from '../dtls/codec/record.ts';

/**
 * Where DTLS datagrams come in: devices that have a session, or are about to, go first; ClientHellos wait for the end of
 * the turn and are then served for a short while, so that between two such whiles the socket is read again. What does
 * not fit is left unanswered: the client sends it again, later each time, and so a herd spreads itself.
 */
export class Intake {
  readonly counters: IntakeCounters = { loopBehind: 0, storeBehind: 0 };
  readonly #parts: IntakeParts;
  #waiting: { remote: Remote; datagram: Bytes }[] = [];
  #next = 0;
  #deferred = false;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  receive(remote: Remote, datagram: Bytes): void {
    if (!isClientHello(datagram)) return this.#parts.receive(remote, datagram);
    if (this.#parts.commits() >= this.#parts.limits.maxCommits) {
      this.counters.storeBehind++;
    } else if (this.#waiting.length - this.#next >= this.#parts.limits.maxHellos) {
      this.counters.loopBehind++;
    } else {
      this.#waiting.push({ remote, datagram });
      this.#defer();
    }
  }

  #serve(): void {
    this.#deferred = false;
    const until = this.#parts.clock() + sliceMilliseconds;
    while (this.#next < this.#waiting.length && this.#parts.clock() < until) {
      const { remote, datagram } = this.#waiting[this.#next++]!;
      this.#parts.receive(remote, datagram);
    }
    if (this.#next < this.#waiting.length) return this.#defer();
    this.#waiting = [];
    this.#next = 0;
  }

  #defer(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    this.#parts.defer(() => this.#serve());
  }
}

export interface IntakeParts {
  readonly limits: IntakeLimits;
  receive(remote: Remote, datagram: Bytes): void;
  /** How many commits are under way: if the disk cannot keep up, one more session makes it worse. */
  commits(): number;
  /** Calls `run` after what has arrived was read, and before the socket is read again. */
  defer(run: () => void): void;
  clock(): Milliseconds;
}

export interface IntakeLimits {
  readonly maxHellos: number;
  readonly maxCommits: number;
}

export interface IntakeCounters {
  /** Hellos left unanswered since too many waited for their turn. */
  loopBehind: number;
  /** Hellos left unanswered since too many commits waited for the disk. */
  storeBehind: number;
}

export const intakeLimits: IntakeLimits = { maxHellos: 1024, maxCommits: 8192 };

/** By its first record. Nobody is trusted for it: it only says who waits. */
function isClientHello(datagram: Bytes): boolean {
  return (
    datagram[0] === ContentType.handshake &&
    datagram[3] === 0 &&
    datagram[4] === 0 &&
    datagram[recordHeaderLength] === HandshakeType.clientHello
  );
}

/** About forty hellos. */
const sliceMilliseconds: Milliseconds = 1;
