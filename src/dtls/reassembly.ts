import type { Bytes } from '../base/bytes.ts';
import { encodeHandshake, type Fragment } from './codec/handshake.ts';

/** A whole handshake message, with the form in which the transcript counts it: one fragment (RFC 6347 §4.2.6). */
export interface HandshakeMessage {
  readonly type: number;
  readonly messageSequence: number;
  readonly body: Bytes;
  readonly transcript: Bytes;
}

/**
 * Puts handshake messages together and in order (RFC 6347 §4.2.2, §4.2.3). It holds at most `ahead` messages of at most
 * `maxMessage` bytes: the one it waits for and those that may overtake it.
 */
export class Reassembly {
  readonly #maxMessage: number;
  readonly #ahead: number;
  readonly #pending = new Map<number, Pending>();
  #next: number;

  constructor(next: number, maxMessage: number, ahead: number) {
    this.#next = next;
    this.#maxMessage = maxMessage;
    this.#ahead = ahead;
  }

  /** The message_seq of the message that comes next. */
  get next(): number {
    return this.#next;
  }

  add(fragment: Fragment): Added {
    const { messageSequence, offset, body, length } = fragment;
    if (messageSequence < this.#next) {
      return messageSequence === this.#next - 1 && offset + body.length === length ? 'retransmitted' : 'dropped';
    }
    if (messageSequence >= this.#next + this.#ahead) return 'dropped';
    if (length > this.#maxMessage) return 'too-long';
    let pending = this.#pending.get(messageSequence);
    // Handshake messages in clear are anybody's. Of two that contradict each other neither is to be believed more, and
    // keeping the first would let one forged fragment block the true ones for good: so the later one starts afresh.
    if (pending === undefined || !agrees(pending, fragment)) {
      pending = { type: fragment.type, body: new Uint8Array(length), have: [] };
      this.#pending.set(messageSequence, pending);
    }
    pending.body.set(body, offset);
    addRange(pending.have, offset, offset + body.length);
    if (pending.have.length > maxRanges) this.#pending.delete(messageSequence);
    return 'taken';
  }

  /** The next message, once it is whole. */
  take(): HandshakeMessage | undefined {
    const pending = this.#pending.get(this.#next);
    if (pending === undefined || !isWhole(pending)) return undefined;
    this.#pending.delete(this.#next);
    const messageSequence = this.#next++;
    const transcript = encodeHandshake(pending.type, messageSequence, pending.body);
    return { type: pending.type, messageSequence, body: pending.body, transcript };
  }
}

/**
 * What became of a fragment. `'retransmitted'`: it ends the message that was taken last, so the peer sends its flight
 * again. (Its end only: a flight in many fragments is to be answered once.)
 */
export type Added = 'taken' | 'dropped' | 'too-long' | 'retransmitted';

interface Pending {
  readonly type: number;
  readonly body: Uint8Array;
  /** The ranges that arrived, in order, neither touching nor overlapping. */
  readonly have: Range[];
}

type Range = readonly [start: number, end: number];

function isWhole({ body, have }: Pending): boolean {
  return have.length === 1 && have[0]![0] === 0 && have[0]![1] === body.length;
}

/** Whether a fragment can be of this message: same type and length, and the same bytes where they overlap. */
function agrees(pending: Pending, { type, length, offset, body }: Fragment): boolean {
  if (pending.type !== type || pending.body.length !== length) return false;
  for (const [start, end] of pending.have) {
    const to = Math.min(end, offset + body.length);
    for (let at = Math.max(start, offset); at < to; at++) {
      if (pending.body[at] !== body[at - offset]) return false;
    }
  }
  return true;
}

function addRange(have: Range[], start: number, end: number): void {
  let from = start;
  let to = end;
  let at = 0;
  while (at < have.length && have[at]![1] < from) at++;
  let touching = 0;
  while (at + touching < have.length && have[at + touching]![0] <= to) {
    from = Math.min(from, have[at + touching]![0]);
    to = Math.max(to, have[at + touching]![1]);
    touching++;
  }
  have.splice(at, touching, [from, to]);
}

const maxRanges = 64;
