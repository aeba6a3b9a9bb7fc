import type { Bytes } from '../base/bytes.ts';
import { Deadlines } from '../base/deadlines.ts';
import { FifoMap } from '../base/fifoMap.ts';
import type { Peer } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import { after, type Instant, type Milliseconds } from '../base/time.ts';
import { keyOf } from './deduplication.ts';
import { firstTimeout, type TransmissionParameters } from './transmission.ts';

/**
 * Confirmable messages of ours that nobody has acknowledged, each with its retransmission timer (RFC 7252 §4.2), and
 * the message IDs that are ours to use. A subject is what a message was sent for.
 */
export class Outbox<Subject> {
  readonly #parameters: TransmissionParameters;
  readonly #random: RandomSource;
  readonly #idLifetime: Milliseconds;
  readonly #firstId: (peer: Peer) => number;
  readonly #waiting = new Map<number, Waiting<Subject>>();
  /** When to send a message again if nothing has come back. Doubles each time (RFC 7252 §4.2). Or when to forget it. */
  readonly #retransmissions = new Deadlines<number>();
  // The next message ID for each peer, in the order of last use, until a used one cannot come back any more.
  readonly #nextIds = new FifoMap<Peer, { id: number; until: Instant }>();

  /** `firstId` gives the message ID that a peer begins with: any whole number, of which the lower 16 bits count. */
  constructor(
    parameters: TransmissionParameters,
    random: RandomSource,
    idLifetime: Milliseconds,
    firstId: (peer: Peer) => number,
  ) {
    this.#parameters = parameters;
    this.#random = random;
    this.#idLifetime = idLifetime;
    this.#firstId = firstId;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Of how many peers the next message ID is known. */
  get peers(): number {
    return this.#nextIds.size;
  }

  /** A message ID that was not used with this peer within EXCHANGE_LIFETIME (RFC 7252 §4.4). */
  nextMessageId(now: Instant, peer: Peer): number {
    const used = this.#nextIds.get(peer);
    const id = used === undefined ? this.#firstId(peer) % 0x1_0000 : used.id;
    // A flood of peers makes the one that was asked least recently begin anew.
    if (used === undefined && this.#nextIds.size >= maxPeers) this.#nextIds.delete(this.#nextIds.oldestKey()!);
    this.#nextIds.set(peer, { id: (id + 1) & 0xffff, until: after(now, this.#idLifetime) });
    return id;
  }

  add(now: Instant, peer: Peer, messageId: number, message: Bytes, subject: Subject): void {
    const key = keyOf(peer, messageId);
    const timeout = firstTimeout(this.#parameters, this.#random.fraction());
    this.#waiting.set(key, { peer, message: message.slice(), subject, timeout, sent: 1 });
    this.#retransmissions.set(key, after(now, timeout));
  }

  /** What a message was sent for, and whether the peer has to acknowledge it; `undefined` once nothing comes of it any more. */
  find(peer: Peer, messageId: number): { readonly subject: Subject; readonly confirmable: boolean } | undefined {
    const waiting = this.#waiting.get(keyOf(peer, messageId));
    return waiting && { subject: waiting.subject, confirmable: waiting.message !== undefined };
  }

  /** Remembers a Non-confirmable message that the peer may reject with RST (RFC 7252 §4.3). */
  watch(now: Instant, peer: Peer, messageId: number, subject: Subject): void {
    const key = keyOf(peer, messageId);
    this.#waiting.set(key, { peer, message: undefined, subject, timeout: 0, sent: 1 });
    this.#retransmissions.set(key, after(now, this.#idLifetime));
  }

  /** Ends the retransmission of a message: it was acknowledged, rejected or is not wanted any more. */
  take(peer: Peer, messageId: number): Subject | undefined {
    const key = keyOf(peer, messageId);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(key);
    this.#retransmissions.clear(key);
    return waiting.subject;
  }

  /**
   * Retransmits what is due and hands over what has been given up. `newer`: what to send in the place of a message that
   * nobody has acknowledged, with its timer and its count, so that news which come faster than a peer vanishes do not hide
   * that it did (RFC 7641 §4.5.2).
   */
  expire(
    now: Instant,
    transmit: (peer: Peer, message: Bytes) => void,
    gaveUp: (subject: Subject) => void,
    newer: (subject: Subject) => Newer | undefined = () => undefined,
  ): void {
    for (let key = this.#retransmissions.takeDue(now); key !== undefined; key = this.#retransmissions.takeDue(now)) {
      const waiting = this.#waiting.get(key)!;
      if (waiting.message === undefined || waiting.sent > this.#parameters.maxRetransmit) {
        this.#waiting.delete(key);
        if (waiting.message !== undefined) gaveUp(waiting.subject);
        continue;
      }
      const replacement = newer(waiting.subject);
      const again = { ...waiting, sent: waiting.sent + 1, timeout: 2 * waiting.timeout };
      if (replacement !== undefined) {
        this.#waiting.delete(key);
        key = keyOf(waiting.peer, replacement.messageId);
        again.message = replacement.message.slice();
      }
      this.#waiting.set(key, again);
      this.#retransmissions.set(key, after(now, again.timeout));
      transmit(waiting.peer, again.message!);
    }
    for (let used = this.#nextIds.oldest(); used !== undefined && used.until <= now; used = this.#nextIds.oldest()) {
      this.#nextIds.delete(this.#nextIds.oldestKey()!);
    }
  }

  nextExpiry(): Instant | undefined {
    const next = this.#retransmissions.next();
    const forgets = this.#nextIds.oldest()?.until;
    return next === undefined || (forgets !== undefined && forgets < next) ? forgets : next;
  }
}

interface Waiting<Subject> {
  readonly peer: Peer;
  /** A copy: it stays for minutes. `undefined` if it was Non-confirmable, and so is not sent again. */
  message: Bytes | undefined;
  readonly subject: Subject;
  readonly timeout: Milliseconds;
  readonly sent: number;
}

/** With a message ID of its own. */
export interface Newer {
  readonly messageId: number;
  readonly message: Bytes;
}

/** For how many peers the next message ID is known. */
export const maxPeers = 65_536;
