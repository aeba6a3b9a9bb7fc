import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';

/**
 * The connection IDs that we choose (RFC 9146): all of one length, since a record does not say where its own ends, and
 * computed from the association, so that none has to be stored. They must tell a stranger nothing: not how many there
 * are, not in which order they came, not which others are valid. `adapters/connectionIds` has the real ones.
 */
export interface ConnectionIds {
  /** `connectionIdLength` bytes; the result belongs to the caller. */
  of(peer: Peer): Bytes;
  /** Whose it would be; `undefined` if it is not one of ours. Whether the association exists, the table says. */
  peer(cid: Bytes): Peer | undefined;
}

export const connectionIdLength = 8;

/** What was agreed to, for each direction (RFC 9146 §3): a connection ID of length 0 is none. */
export interface NegotiatedCids {
  /** In records to us: the client must use it, and a record without it is not one of the association. */
  readonly server: Bytes;
  /** In records to the client. */
  readonly client: Bytes;
  /** Whether the client answers path challenges (RFC 9853 §3). */
  readonly returnRoutability: boolean;
}
