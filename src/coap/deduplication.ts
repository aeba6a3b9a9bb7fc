import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, type Milliseconds } from '../base/time.ts';

/**
 * Which message IDs were seen from which peer, and what was answered (RFC 7252 §4.5). Bounded: what may be forgotten
 * early goes first, and what may not makes the table full.
 *
 * Each message is remembered for minutes, so entries are rows of typed arrays, found by open addressing: as objects in
 * maps they cost as much as the whole CoAP codec, most of it in the garbage collector. The arrays grow with the traffic.
 */
export class Deduplication {
  readonly #lifetime: Milliseconds;
  readonly #capacity: number;
  /** Chosen at random: a stranger must not be able to aim many message IDs at one place. */
  readonly #seed: number;
  #table = newTable(smallest);
  /** Answers that are longer than a row's share of the slab. */
  readonly #longAnswers = new Map<number, Bytes>();
  #size = 0;
  #forgettable = 0;
  /** Rows below it were in use at some time. */
  #fresh = queues;
  /** The first of the rows that are free again, linked by `behind`; 0 for none. */
  #free = 0;

  constructor(lifetime: Milliseconds, capacity: number, seed: number) {
    this.#lifetime = lifetime;
    this.#capacity = Math.max(2, capacity) >> 1;
    this.#seed = seed;
  }

  get size(): number {
    return this.#size;
  }

  /** `'new'` if this message was not seen; `'pending'` while its answer is owed; else the answer that was sent. */
  look(peer: Peer, messageId: number): 'new' | 'pending' | Bytes {
    const { rowAt, answerLength, slab } = this.#table;
    const row = rowAt[this.#placeOf(keyOf(peer, messageId))]!;
    if (row === 0) return 'new';
    const length = answerLength[row]!;
    if (length === owed) return 'pending';
    return this.#longAnswers.get(row) ?? slab.slice(row * share, row * share + length);
  }

  /** Remembers a new message. `false` if there is no room for one that must not be done twice. */
  open(now: Instant, peer: Peer, messageId: number): boolean {
    if (this.#size - this.#forgettable >= this.#capacity) return false;
    const row = this.#takeRow();
    const { key, until, answerLength, rowAt } = this.#table;
    key[row] = keyOf(peer, messageId);
    until[row] = after(now, this.#lifetime);
    answerLength[row] = owed;
    rowAt[this.#placeOf(key[row]!)] = row;
    this.#insert(keptQueue, row);
    this.#size++;
    return true;
  }

  /**
   * Keeps the answer for duplicates. `forgettable`: doing the request again does no harm (it is idempotent, or whoever
   * answered recognises it), so the entry may make room for others (RFC 7252 §4.5).
   */
  answered(peer: Peer, messageId: number, answer: Bytes, forgettable: boolean): void {
    const { rowAt, isForgettable } = this.#table;
    const row = rowAt[this.#placeOf(keyOf(peer, messageId))]!;
    if (row === 0 || isForgettable[row] === 1) return;
    this.#keepAnswer(row, answer);
    if (!forgettable) return;
    if (this.#forgettable >= this.#capacity) this.#remove(this.#oldest(forgettableQueue));
    this.#unlink(row);
    this.#insert(forgettableQueue, row);
    isForgettable[row] = 1;
    this.#forgettable++;
  }

  /** As if the message had not been seen. */
  forget(peer: Peer, messageId: number): void {
    const { rowAt } = this.#table;
    const row = rowAt[this.#placeOf(keyOf(peer, messageId))]!;
    if (row !== 0) this.#remove(row);
  }

  expire(now: Instant): void {
    const { until } = this.#table;
    for (const queue of [keptQueue, forgettableQueue]) {
      for (let row = this.#oldest(queue); row !== queue && until[row]! <= now; row = this.#oldest(queue)) {
        this.#remove(row);
      }
    }
  }

  nextExpiry(): Instant | undefined {
    // Each queue is in the order of expiry, so that no heap is needed; a queue's head never expires.
    const { until } = this.#table;
    const next = Math.min(until[this.#oldest(keptQueue)]!, until[this.#oldest(forgettableQueue)]!);
    return next === Number.POSITIVE_INFINITY ? undefined : (next as Instant);
  }

  #keepAnswer(row: number, answer: Bytes): void {
    const { answerLength, slab } = this.#table;
    // An answer that says more than its first one, after an empty ACK, takes its place.
    this.#longAnswers.delete(row);
    answerLength[row] = answer.length;
    if (answer.length > share) this.#longAnswers.set(row, answer.slice());
    else slab.set(answer, row * share);
  }

  #takeRow(): number {
    const row = this.#free;
    if (row !== 0) {
      this.#free = this.#table.behind[row]!;
      return row;
    }
    if (this.#fresh === this.#table.key.length) this.#grow();
    return this.#fresh++;
  }

  #remove(row: number): void {
    const { key, rowAt, isForgettable, behind, mask } = this.#table;
    this.#unlink(row);
    this.#longAnswers.delete(row);
    this.#size--;
    if (isForgettable[row] === 1) this.#forgettable--;
    isForgettable[row] = 0;
    // Moves back whatever stands behind the hole and wants to stand at or before it, so that no search ends early.
    let hole = this.#placeOf(key[row]!);
    for (let place = (hole + 1) & mask; rowAt[place] !== 0; place = (place + 1) & mask) {
      const wanted = this.#hash(key[rowAt[place]!]!) & mask;
      if (((place - wanted) & mask) < ((place - hole) & mask)) continue;
      rowAt[hole] = rowAt[place]!;
      hole = place;
    }
    rowAt[hole] = 0;
    behind[row] = this.#free;
    this.#free = row;
  }

  #oldest(queue: number): number {
    return this.#table.behind[queue]!;
  }

  /** Behind those whose time is over earlier: nearly always as the last, since messages are answered as they came. */
  #insert(queue: number, row: number): void {
    const { before, behind, until } = this.#table;
    let after = before[queue]!;
    while (after !== queue && until[after]! > until[row]!) after = before[after]!;
    const next = behind[after]!;
    behind[after] = row;
    before[row] = after;
    behind[row] = next;
    before[next] = row;
  }

  #unlink(row: number): void {
    const { before, behind } = this.#table;
    behind[before[row]!] = behind[row]!;
    before[behind[row]!] = before[row]!;
  }

  /** Where the key stands, or the free place where it would. */
  #placeOf(wanted: number): number {
    const { key, rowAt, mask } = this.#table;
    let place = this.#hash(wanted) & mask;
    while (rowAt[place] !== 0 && key[rowAt[place]!] !== wanted) place = (place + 1) & mask;
    return place;
  }

  #hash(key: number): number {
    let h = Math.imul((key >>> 0) ^ this.#seed, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15) ^ Math.floor(key / 0x1_0000_0000), 0x85ebca77);
    return h ^ (h >>> 13);
  }

  #grow(): void {
    const from = this.#table;
    const to = newTable(2 * from.key.length);
    for (const column of columns) to[column].set(from[column]);
    to.slab.set(from.slab);
    this.#table = to;
    for (let row = queues; row < from.key.length; row++) to.rowAt[this.#placeOf(to.key[row]!)] = row;
  }
}

/** A peer fits in 37 bits: together with a message ID it is one exact number. */
export function keyOf(peer: Peer, messageId: number): number {
  return peer * 0x1_0000 + messageId;
}

/** Rows 0 and 1 are the heads of the two queues, so that row 0 can mean "none" elsewhere. */
function newTable(rows: number) {
  const table = {
    key: new Float64Array(rows),
    until: new Float64Array(rows),
    before: new Int32Array(rows),
    behind: new Int32Array(rows),
    isForgettable: new Uint8Array(rows),
    answerLength: new Int32Array(rows),
    slab: new Uint8Array(rows * share),
    /** The row of each occupied place, 0 in a free one. At most half of the places are occupied. */
    rowAt: new Int32Array(2 * rows),
    mask: 2 * rows - 1,
  };
  for (const queue of [keptQueue, forgettableQueue]) {
    table.before[queue] = queue;
    table.behind[queue] = queue;
    table.until[queue] = Number.POSITIVE_INFINITY;
  }
  return table;
}

const columns = ['key', 'until', 'before', 'behind', 'isForgettable', 'answerLength'] as const;
const keptQueue = 0;
const forgettableQueue = 1;
const queues = 2;
const owed = -1;
/** Rows to begin with, a power of two: what a device needs, which talks to one peer. */
const smallest = 32;
/** In bytes: as long as a 2.01 with its location, an echoed block option and a long token. */
const share = 48;
