import { AddressTable } from '../base/addressTable.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { Instant } from '../base/time.ts';

/**
 * Peers on plain CoAP, where an address is all there is to know of them. Bounded: the one that came first goes first,
 * and what was kept for it with it.
 */
export class PlainPeers {
  readonly #capacity: number;
  readonly #addresses: AddressTable;
  readonly #peers: Float64Array;
  /** Until when the peer of a slot counts as one that hears what is sent to its address. */
  readonly #provedUntil: Float64Array;
  #nextSlot = 0;
  /** How many of our sockets were heard on so far. */
  #sockets = 1;
  #generation = 0;

  constructor(capacity: number, seed: number) {
    this.#capacity = capacity;
    this.#addresses = new AddressTable(capacity, seed);
    this.#peers = new Float64Array(capacity);
    this.#provedUntil = new Float64Array(capacity);
  }

  /** The peer at an address, old or new; `displaced` is called if another one had to make room for it. */
  peer(remote: Remote, displaced: (peer: Peer) => void): Peer | undefined {
    const known = this.#addresses.find(remote);
    if (known >= 0) return this.#peers[known] as Peer;
    const slot = this.#nextSlot;
    const former = this.#peers[slot]! as Peer;
    if (former !== 0) {
      this.#addresses.delete(slot);
      this.#peers[slot] = 0;
      displaced(former);
    }
    if (!this.#addresses.set(slot, remote)) return undefined;
    this.#sockets = Math.max(this.#sockets, remote.socket + 1);
    const peer = firstPlainPeer + this.#generation * this.#capacity + slot;
    this.#nextSlot = (slot + 1) % this.#capacity;
    if (this.#nextSlot === 0) this.#generation++;
    this.#peers[slot] = peer;
    this.#provedUntil[slot] = 0;
    return peer as Peer;
  }

  /** The peer that was heard at an address, on whichever of our sockets; else one that is reached from the first. */
  reach(address: string, port: number, displaced: (peer: Peer) => void): Peer | undefined {
    for (let socket = 0; socket < this.#sockets; socket++) {
      const known = this.#addresses.find({ socket, address, port });
      if (known >= 0) return this.#peers[known] as Peer;
    }
    return this.peer({ socket: 0, address, port }, displaced);
  }

  /** `undefined` if it had to make room. */
  remote(peer: Peer): Remote | undefined {
    const slot = this.#slotOf(peer);
    return slot === undefined ? undefined : this.#addresses.remote(slot);
  }

  /** It sent back what was sent to its address. */
  prove(peer: Peer, until: Instant): void {
    const slot = this.#slotOf(peer);
    if (slot !== undefined) this.#provedUntil[slot] = until;
  }

  isProved(peer: Peer, now: Instant): boolean {
    const slot = this.#slotOf(peer);
    return slot !== undefined && now < this.#provedUntil[slot]!;
  }

  #slotOf(peer: Peer): number | undefined {
    const slot = (peer - firstPlainPeer) % this.#capacity;
    return this.#peers[slot] === peer ? slot : undefined;
  }
}

/** The upper half of all peer numbers; associations have the lower one. */
export const firstPlainPeer = 2 ** 36;

export function isPlainPeer(peer: Peer): boolean {
  return peer >= firstPlainPeer;
}

export const maxPlainPeers = 131_072;
