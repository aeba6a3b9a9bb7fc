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
 * Puts handshake messages together and in order (RFC 6347 §4.2.2, §4.2.3). It waits for one message at a time; a few
 * that overtook it are kept, within `maxMessage` bytes each and `ahead` messages.
 */
export class Reassembly {
  readonly #maxMessage: number;
  readonly #pending = new Map<number, Pending>();
  #next: number;

  constructor(next: number, maxMessage: number) {
    this.#next = next;
    this.#maxMessage = maxMessage;
  }

  /** The message_seq of the message that comes next. */
  get next(): number {
    return this.#next;
  }

  /**
   * `'old'`: a piece of a message that is done already, so the peer retransmits. `'invalid'`: it contradicts what came
   * before, or is too long. Otherwise it was taken, or was too far ahead and dropped.
   */
  add(fragment: Fragment): 'taken' | 'old' | 'invalid' {
    const { messageSequence } = fragment;
    if (messageSequence < this.#next) return 'old';
    if (messageSequence >= this.#next + ahead) return 'taken';
    if (fragment.length > this.#maxMessage) return 'invalid';
    let pending = this.#pending.get(messageSequence);
    if (pending === undefined) {
      pending = { type: fragment.type, body: new Uint8Array(fragment.length), have: [] };
      this.#pending.set(messageSequence, pending);
    }
    if (pending.type !== fragment.type || pending.body.length !== fragment.length) return 'invalid';
    pending.body.set(fragment.body, fragment.offset);
    return addRange(pending.have, fragment.offset, fragment.offset + fragment.body.length) ? 'taken' : 'invalid';
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

interface Pending {
  readonly type: number;
  readonly body: Uint8Array;
  /** The ranges that arrived, in order, neither touching nor overlapping. */
  have: [start: number, end: number][];
}

function isWhole({ body, have }: Pending): boolean {
  if (body.length === 0) return true;
  return have.length === 1 && have[0]![0] === 0 && have[0]![1] === body.length;
}

function addRange(have: [number, number][], start: number, end: number): boolean {
  let from = start;
  let to = end;
  for (let i = have.length - 1; i >= 0; i--) {
    const range = have[i]!;
    if (range[0] > to || range[1] < from) continue;
    from = Math.min(from, range[0]);
    to = Math.max(to, range[1]);
    have.splice(i, 1);
  }
  have.push([from, to]);
  have.sort((a, b) => a[0] - b[0]);
  return have.length <= maxGaps;
}

const ahead = 4;
const maxGaps = 64;
