import { AddressTable } from '../base/addressTable.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { Instant } from '../base/time.ts';
import { hashOf, RowIndex } from '../dtls/rowIndex.ts';
import type { SessionState } from '../dtls/sessionState.ts';
import type { Sleepers } from '../dtls/sleepers.ts';
import type { CredentialId, Row } from '../fleet/names.ts';
import type { SessionHead } from '../fleet/session.ts';
import type { Store } from '../fleet/store.ts';
import { rootPath } from '../lwm2m/path.ts';
import { readSession, readState } from './sessionForm.ts';

/**
 * The sessions that an earlier process left in the store, found by their connection ID or address. A start reads no
 * secret and opens none: a session is opened when its device is first heard, or first spoken to. Until then it is a few
 * dozen bytes; if nothing is heard of it for as long as a session may be idle it ends.
 */
export class StoredSessions implements Sleepers {
  readonly #store: SessionStore;
  readonly #ended: (head: EndedSession) => void;
  readonly #overslept: (peer: Peer) => void;
  readonly #addresses: AddressTable;
  readonly #byPeer: RowIndex;
  readonly #peers: Float64Array;
  readonly #credentials: Uint32Array;
  /** Whether its address leads to it: of two at one address only the newer one, by its number, is there. */
  readonly #placed: Uint8Array;
  readonly #idleAt: Instant;
  #size = 0;
  #highestPeer = 0;
  #nextIdle = 0;

  /**
   * `ended` hears of sessions that are over, which are to be removed from the store; `overslept` of each that nobody will
   * hear of any more, whatever else is kept for its peer. Neither before the constructor has returned.
   */
  constructor(
    store: SessionStore,
    seed: number,
    idleAt: Instant,
    ended: (head: EndedSession) => void,
    overslept: (peer: Peer) => void,
  ) {
    const capacity = store.sessionCount();
    this.#store = store;
    this.#ended = ended;
    this.#overslept = overslept;
    this.#idleAt = idleAt;
    this.#addresses = new AddressTable(capacity, seed);
    this.#peers = new Float64Array(capacity);
    this.#credentials = new Uint32Array(capacity);
    this.#placed = new Uint8Array(capacity);
    this.#byPeer = new RowIndex(capacity, slot => hashOf(this.#peers[slot]!));
    for (const head of store.sessionHeads()) if (this.#size < capacity) this.#add(head);
  }

  get size(): number {
    return this.#size;
  }

  /** No session has a higher number. */
  get highestPeer(): number {
    return this.#highestPeer;
  }

  has(peer: Peer): boolean {
    return this.#slotOf(peer) >= 0;
  }

  credential(peer: Peer): CredentialId | undefined {
    const slot = this.#slotOf(peer);
    return slot < 0 ? undefined : (this.#credentials[slot] as CredentialId);
  }

  byPeer(peer: Peer): SessionState | undefined {
    const slot = this.#slotOf(peer);
    return slot < 0 ? undefined : this.#wake(slot);
  }

  byAddress(remote: Remote): SessionState | undefined {
    if (this.#size === 0) return undefined;
    const slot = this.#addresses.find(remote);
    return slot < 0 ? undefined : this.#wake(slot);
  }

  /** Ends up to `limit` sessions of which nothing was heard in time. */
  expire(now: Instant, limit: number): void {
    if (now < this.#idleAt) return;
    for (let ended = 0; ended < limit && this.#size > 0; this.#nextIdle++) {
      const peer = this.#peers[this.#nextIdle] as Peer;
      if (peer === 0) continue;
      this.#ended({ peer, credential: this.#credentials[this.#nextIdle] as CredentialId });
      this.#forget(this.#nextIdle);
      this.#overslept(peer);
      ended++;
    }
  }

  #slotOf(peer: Peer): number {
    if (this.#size === 0) return -1;
    return this.#byPeer.find(hashOf(peer), slot => this.#peers[slot] === peer);
  }

  #add({ peer, credential, state }: SessionHead): void {
    const remote = readState(state);
    const slot = this.#size++;
    this.#peers[slot] = peer;
    this.#credentials[slot] = credential;
    this.#byPeer.add(slot);
    // One that cannot be read is found by its number only, and ends when it is to wake, or in time.
    if (remote !== undefined) this.#place(slot, remote);
    this.#highestPeer = Math.max(this.#highestPeer, peer);
  }

  #place(slot: number, remote: Remote): void {
    const there = this.#addresses.find(remote);
    if (there >= 0 && this.#peers[there]! > this.#peers[slot]!) return;
    if (there >= 0) this.#displace(there);
    this.#placed[slot] = this.#addresses.set(slot, remote) ? 1 : 0;
  }

  #displace(slot: number): void {
    this.#addresses.delete(slot);
    this.#placed[slot] = 0;
  }

  /** It is whoever asks that has it now; `undefined` if it ended, or its credential was revoked, meanwhile. */
  #wake(slot: number): SessionState | undefined {
    const peer = this.#peers[slot] as Peer;
    const credential = this.#credentials[slot] as CredentialId;
    this.#forget(slot);
    const row = this.#store.session(credential);
    const state = row?.peer === peer ? readSession(row) : undefined;
    if (row?.peer === peer && state === undefined) this.#ended({ peer, credential });
    if (state === undefined) this.#overslept(peer);
    return state && { ...state, readMark: Math.max(state.readMark, this.#lastChange(state)) };
  }

  /**
   * Each change, and each last value, is in the registry with the number of the record it came in: no mark of its own
   * has to be written, but by the next change, if that comes on the session of another credential.
   */
  #lastChange({ peer, owner }: SessionState): number {
    const view = this.#store.view();
    const row = owner.row as Row;
    const exchange = view.device(row)?.lastExchange;
    let mark = exchange?.association === peer ? (exchange.sequence ?? 0) : 0;
    for (const value of view.values(row, rootPath)) if (value.peer === peer) mark = Math.max(mark, value.sequence ?? 0);
    return mark;
  }

  #forget(slot: number): void {
    if (this.#placed[slot] === 1) this.#displace(slot);
    this.#byPeer.delete(slot);
    this.#peers[slot] = 0;
    this.#size--;
  }
}

/** The part of the store that this needs. */
export type SessionStore = Pick<Store, 'sessionCount' | 'sessionHeads' | 'session' | 'view'>;

export type EndedSession = Pick<SessionHead, 'peer' | 'credential'>;
