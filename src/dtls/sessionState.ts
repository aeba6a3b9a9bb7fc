import type { Bytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { WallTime } from '../base/time.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import type { NegotiatedCids } from './connectionId.ts';
import type { SessionKeys } from './crypto/keySchedule.ts';
import type { Owner } from './psk.ts';
import type { Established } from './serverHandshake.ts';

/**
 * All that a session needs to go on, in this process or in one after it. What is kept of a session and used again must
 * never lead to a nonce or a record being used again, and that is what the two marks are for.
 */
export interface SessionState {
  readonly peer: Peer;
  readonly owner: Owner;
  readonly remote: Remote;
  readonly suite: CipherSuite;
  readonly keys: SessionKeys;
  /** How many bytes of plaintext a record may hold. */
  readonly maxPlaintext: number;
  /** If connection IDs are in use. */
  readonly cids: NegotiatedCids | undefined;
  readonly createdAt: WallTime;
  /** Only numbers below it are used for our records, until a higher mark is durable; whoever goes on begins here. */
  readonly writeMark: number;
  /** Whoever goes on takes only records with higher numbers. */
  readonly readMark: number;
  /** The first four bytes of the client's random: to tell a late copy of its hello. */
  readonly helloStart: number;
  /** What our Finished says, for the last flight and its retransmissions, and its message_seq. */
  readonly verifyData: Bytes;
  readonly messageSequence: number;
  /** Sequence number of our next record in epoch 0. */
  readonly plainSequence: number;
}

export function sessionState(
  peer: Peer,
  remote: Remote,
  createdAt: WallTime,
  established: Established,
  writeMark: number,
): SessionState {
  const { owner, suite, keys, maxPlaintext, cids, readSequence, clientRandom } = established;
  const { verifyData, messageSequence, plainSequence } = established;
  return {
    peer,
    owner,
    remote,
    suite,
    keys,
    maxPlaintext,
    cids,
    createdAt,
    writeMark,
    readMark: readSequence,
    helloStart: helloStartOf(clientRandom),
    verifyData,
    messageSequence,
    plainSequence,
  };
}

export function helloStartOf(clientRandom: Bytes): number {
  const [a, b, c, d] = clientRandom as unknown as [number, number, number, number];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}
