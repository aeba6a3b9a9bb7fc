import type { Bytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { WallTime } from '../base/time.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import type { NegotiatedCids } from './connectionId.ts';
import type { SessionKeys } from './crypto/keySchedule.ts';
import type { Established, LastFlight } from './established.ts';
import type { Owner } from './psk.ts';

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
  /** Of our next record: those below were used. */
  readonly writeSequence: number;
  /** Only numbers below it are used for our records, until a higher mark is durable; whoever goes on begins here. */
  readonly writeMark: number;
  /** Whoever goes on takes only records with higher numbers. */
  readonly readMark: number;
  /** The first four bytes of the client's random: to tell a late copy of its hello. */
  readonly helloStart: number;
  /** For a client that asks for it again; `undefined` if the last flight was the client's. */
  readonly lastFlight: LastFlight | undefined;
}

/** The first write mark lies one step above what the handshake itself has used. */
export function sessionState(
  peer: Peer,
  remote: Remote,
  createdAt: WallTime,
  established: Established,
  writeMarkStep: number,
): SessionState {
  const { owner, suite, keys, maxPlaintext, cids, readSequence, writeSequence, clientRandom, lastFlight } = established;
  return {
    peer,
    owner,
    remote,
    suite,
    keys,
    maxPlaintext,
    cids,
    createdAt,
    writeSequence,
    writeMark: writeSequence + writeMarkStep,
    readMark: readSequence,
    helloStart: helloStartOf(clientRandom),
    lastFlight,
  };
}

export function helloStartOf(clientRandom: Bytes): number {
  const [a, b, c, d] = clientRandom as unknown as [number, number, number, number];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}
