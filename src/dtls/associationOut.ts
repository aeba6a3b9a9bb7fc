import type { Bytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { CloseReason } from './fault.ts';
import type { Owner } from './psk.ts';

/** The part of `DtlsOut` that concerns established associations. */
export interface AssociationOut {
  transmit(remote: Remote, datagram: Bytes): void;
  /** Authentic application data, once and in no particular order; `sequence` is its record's. A view, valid during the call. */
  deliver(peer: Peer, plaintext: Bytes, sequence: number): void;
  /**
   * Numbers run out: `reserved` is owed, with this mark once it is durable, with a lower one if that failed. Until then
   * the session goes on with what is left, which is half a step, or nothing after a restart.
   */
  reserve(peer: Peer, owner: Owner, writeMark: number): void;
  /** It was heard from another address, and cannot be challenged: whoever can get an answer from there tells by `proved`. */
  moving(peer: Peer, remote: Remote): void;
  /** From now on it is there. */
  moved(peer: Peer, owner: Owner, remote: Remote): void;
  closed(peer: Peer, owner: Owner, reason: CloseReason): void;
}
