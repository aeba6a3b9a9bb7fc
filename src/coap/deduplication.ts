import type { Bytes } from '../base/bytes.ts';
import { FifoMap } from '../base/fifoMap.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, type Milliseconds } from '../base/time.ts';

/**
 * Which message IDs were seen from which peer, and what was answered (RFC 7252 §4.5). Bounded: what may be forgotten
 * early goes first, and what may not makes the table full.
 */
export class Deduplication {
  readonly #lifetime: Milliseconds;
  readonly #capacity: number;
  // Both in the order of arrival, which is the order of expiry, so that no heap is needed.
  readonly #kept = new FifoMap<number, Entry>();
  readonly #forgettable = new FifoMap<number, Entry>();

  constructor(lifetime: Milliseconds, capacity: number) {
    this.#lifetime = lifetime;
    this.#capacity = Math.max(2, capacity) >> 1;
  }

  get size(): number {
    return this.#kept.size + this.#forgettable.size;
  }

  /** `'new'` if this message was not seen; `'pending'` while its answer is owed; else the answer that was sent. */
  look(peer: Peer, messageId: number): 'new' | 'pending' | Bytes {
    const key = keyOf(peer, messageId);
    const entry = this.#kept.get(key) ?? this.#forgettable.get(key);
    return entry === undefined ? 'new' : (entry.answer ?? 'pending');
  }

  /** Remembers a new message. `false` if there is no room for one that must not be done twice. */
  open(now: Instant, peer: Peer, messageId: number): boolean {
    if (this.#kept.size >= this.#capacity) return false;
    this.#kept.set(keyOf(peer, messageId), { until: after(now, this.#lifetime), answer: undefined });
    return true;
  }

  /**
   * Keeps the answer for duplicates. `forgettable`: doing the request again does no harm (it is idempotent, or whoever
   * answered recognises it), so the entry may make room for others (RFC 7252 §4.5).
   */
  answered(peer: Peer, messageId: number, answer: Bytes, forgettable: boolean): void {
    const key = keyOf(peer, messageId);
    const entry = this.#kept.get(key);
    if (entry === undefined) return;
    entry.answer = answer;
    if (!forgettable) return;
    this.#kept.delete(key);
    if (this.#forgettable.size >= this.#capacity) this.#forgettable.delete(this.#forgettable.oldestKey()!);
    this.#forgettable.set(key, entry);
  }

  /** As if the message had not been seen. */
  forget(peer: Peer, messageId: number): void {
    const { rowAt } = this.#table;
    const row = rowAt[this.#placeOf(keyOf(peer, messageId))]!;
    if (row !== 0) this.#remove(row);
  }

  expire(now: Instant): void {
    expireFrom(this.#kept, now);
    expireFrom(this.#forgettable, now);
  }

  nextExpiry(): Instant | undefined {
    const kept = this.#kept.oldest()?.until;
    const forgettable = this.#forgettable.oldest()?.until;
    if (kept === undefined) return forgettable;
    return forgettable === undefined || kept < forgettable ? kept : forgettable;
  }
}

interface Entry {
  readonly until: Instant;
  answer: Bytes | undefined;
}

/** A peer fits in 37 bits: together with a message ID it is one exact number, which a map finds faster than a text. */
export function keyOf(peer: Peer, messageId: number): number {
  return peer * 0x1_0000 + messageId;
}

function expireFrom(entries: FifoMap<number, Entry>, now: Instant): void {
  for (let oldest = entries.oldest(); oldest !== undefined && oldest.until <= now; oldest = entries.oldest()) {
    entries.delete(entries.oldestKey()!);
  }
}
