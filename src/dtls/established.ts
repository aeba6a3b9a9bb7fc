import type { Bytes } from '../base/bytes.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import type { NegotiatedCids } from './connectionId.ts';
import type { SessionKeys } from './crypto/keySchedule.ts';
import type { FinishedVerified } from './proof.ts';
import type { Owner } from './psk.ts';
import type { Resumption } from './resumption.ts';

/** A session as the handshake leaves it. There is none without the proof. */
export interface Established {
  readonly proof: FinishedVerified;
  readonly suite: CipherSuite;
  readonly keys: SessionKeys;
  readonly owner: Owner;
  readonly identity: Bytes;
  /** How many bytes of plaintext a record may hold. */
  readonly maxPlaintext: number;
  /** If connection IDs are in use. */
  readonly cids: NegotiatedCids | undefined;
  readonly clientRandom: Bytes;
  /** The sequence number of the client's Finished: the first that the replay window knows. */
  readonly readSequence: number;
  /** Of our next record: those below were used. */
  readonly writeSequence: number;
  /** `undefined` in a session that was resumed: there the last flight is the client's. */
  readonly lastFlight: LastFlight | undefined;
  /** `undefined`: it cannot be resumed. */
  readonly resumption: Resumption | undefined;
}

/** What flight 6 and its retransmissions are made of. */
export interface LastFlight {
  /** What our Finished says, and its message_seq. */
  readonly verifyData: Bytes;
  readonly messageSequence: number;
  /** Sequence number of our next record in epoch 0. */
  readonly plainSequence: number;
}
