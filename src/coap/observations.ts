import type { Brand } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { Instant } from '../base/time.ts';
import { isFresher } from './freshness.ts';

/** Numbers a standing observation, as whoever made it likes; below 2^53, and not 0. */
export type ObservationId = Brand<number, 'ObservationId'>;

/** How many bytes the token of an observation has. */
export const observationTokenLength = 8;

/**
 * The standing observations that peers accepted, so that a notification is matched by peer and token (RFC 7641 §3.2) for as long
 * as it lasts: for months, and over restarts. So they are rows of typed arrays, 36 bytes each in a table that is at most
 * half full, found by open addressing. All of a peer stand together, since they are hashed by the peer alone: a peer has
 * few, and they end together.
 */
export class Observations {
  readonly #capacity: number;
  #table = newTable(smallest);
  #size = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#size;
  }

  /**
   * A token stands for one observation, and an observation has one token with a peer: what was there with either is
   * replaced. `false` if there is no room.
   */
  add(peer: Peer, token: Bytes, id: ObservationId, newest: Newest | undefined): boolean {
    this.forget(peer, other => other === id);
    const known = this.#find(peer, token);
    if (known >= 0) {
      this.#write(known, peer, token, id, newest);
      return true;
    }
    if (this.#size >= this.#capacity || token.length !== observationTokenLength) return false;
    if (2 * (this.#size + 1) > this.#table.peer.length) this.#grow();
    const { peer: peers, mask } = this.#table;
    let place = hash(peer) & mask;
    while (peers[place] !== 0) place = (place + 1) & mask;
    this.#write(place, peer, token, id, newest);
    this.#size++;
    return true;
  }

  id(peer: Peer, token: Bytes): ObservationId | undefined {
    const place = this.#find(peer, token);
    return place < 0 ? undefined : (this.#table.id[place] as ObservationId);
  }

  /** Notes a notification, unless an earlier one was newer (RFC 7641 §3.4): then `false`. */
  isFresh(now: Instant, peer: Peer, token: Bytes, sequence: number): boolean {
    const place = this.#find(peer, token);
    if (place < 0) return false;
    const { at, sequence: sequences } = this.#table;
    if (at[place] !== never && !isFresher(now, sequence, { sequence: sequences[place]!, at: at[place] as Instant })) {
      return false;
    }
    at[place] = now;
    sequences[place] = sequence;
    return true;
  }

  /** The newest notification came to nothing: whatever comes next is newer. */
  forgetNewest(peer: Peer, token: Bytes): void {
    const place = this.#find(peer, token);
    if (place >= 0) this.#table.at[place] = never;
  }

  delete(peer: Peer, token: Bytes): void {
    const place = this.#find(peer, token);
    if (place >= 0) this.#remove(place);
  }

  /** Forgets all of a peer. */
  drop(peer: Peer): void {
    this.forget(peer, () => true);
  }

  /** Forgets those of a peer that are meant. */
  forget(peer: Peer, isMeant: (id: ObservationId) => boolean): void {
    for (let place = this.#any(peer, isMeant); place >= 0; place = this.#any(peer, isMeant)) this.#remove(place);
  }

  #any(peer: Peer, isMeant: (id: ObservationId) => boolean): number {
    const { peer: peers, id, mask } = this.#table;
    for (let place = hash(peer) & mask; peers[place] !== 0; place = (place + 1) & mask) {
      if (peers[place] === peer && isMeant(id[place] as ObservationId)) return place;
    }
    return -1;
  }

  #find(peer: Peer, token: Bytes): number {
    if (token.length !== observationTokenLength) return -1;
    const { peer: peers, token: tokens, mask } = this.#table;
    const [high, low] = words(token);
    for (let place = hash(peer) & mask; peers[place] !== 0; place = (place + 1) & mask) {
      if (peers[place] === peer && tokens[2 * place] === high && tokens[2 * place + 1] === low) return place;
    }
    return -1;
  }

  #write(place: number, peer: Peer, token: Bytes, id: ObservationId, newest: Newest | undefined): void {
    const table = this.#table;
    const [high, low] = words(token);
    table.peer[place] = peer;
    table.token[2 * place] = high;
    table.token[2 * place + 1] = low;
    table.id[place] = id;
    table.sequence[place] = newest?.sequence ?? 0;
    table.at[place] = newest?.at ?? never;
  }

  #remove(place: number): void {
    const table = this.#table;
    const { peer: peers, mask } = table;
    this.#size--;
    // Moves back whatever stands behind the hole and wants to stand at or before it, so that no search ends early.
    let hole = place;
    for (let next = (hole + 1) & mask; peers[next] !== 0; next = (next + 1) & mask) {
      const wanted = hash(peers[next]!) & mask;
      if (((next - wanted) & mask) < ((next - hole) & mask)) continue;
      copyRow(table, next, table, hole);
      hole = next;
    }
    peers[hole] = 0;
  }

  #grow(): void {
    const from = this.#table;
    const to = newTable(2 * from.peer.length);
    for (let row = 0; row < from.peer.length; row++) {
      if (from.peer[row] === 0) continue;
      let place = hash(from.peer[row]!) & to.mask;
      while (to.peer[place] !== 0) place = (place + 1) & to.mask;
      copyRow(from, row, to, place);
    }
    this.#table = to;
  }
}

/** The newest notification: its Observe option, and when it came. */
export interface Newest {
  readonly sequence: number;
  readonly at: Instant;
}

type Table = ReturnType<typeof newTable>;

/** A peer of 0 stands for a free place: peers are counted from 1 on. */
function newTable(places: number) {
  return {
    peer: new Float64Array(places),
    token: new Uint32Array(2 * places),
    id: new Float64Array(places),
    at: new Float64Array(places),
    sequence: new Uint32Array(places),
    mask: places - 1,
  };
}

function copyRow(from: Table, row: number, to: Table, place: number): void {
  to.peer[place] = from.peer[row]!;
  to.token[2 * place] = from.token[2 * row]!;
  to.token[2 * place + 1] = from.token[2 * row + 1]!;
  to.id[place] = from.id[row]!;
  to.at[place] = from.at[row]!;
  to.sequence[place] = from.sequence[row]!;
}

function words(token: Bytes): [high: number, low: number] {
  const view = new DataView(token.buffer, token.byteOffset, token.length);
  return [view.getUint32(0), view.getUint32(4)];
}

/** No secret seed: peers are numbered by us, and a stranger chooses none of them. */
function hash(peer: number): number {
  const h = Math.imul((peer >>> 0) ^ Math.floor(peer / 0x1_0000_0000), 0x9e3779b1);
  return h ^ (h >>> 15);
}

const smallest = 16;
const never = Number.NEGATIVE_INFINITY;
