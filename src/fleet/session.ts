import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { WallTime } from '../base/time.ts';
import type { CredentialId } from './names.ts';

/**
 * A DTLS session as the registry keeps it, so that a device goes on after a restart of the server without a new
 * handshake; and what is left of one that ended, so that the next handshake is a short one. There is at most one for a
 * credential. What is in it is the business of whoever opens sessions: the store
 * seals the secret part and knows the two marks.
 */
export interface SessionRow {
  /** The association: never used again, not after a restart either. */
  readonly peer: Peer;
  readonly credential: CredentialId;
  /** The PSK identity that was proved, so that a session of a revoked credential is not stored. */
  readonly identity: Bytes;
  /** Sealed at rest, once: raising a mark does not seal again. */
  readonly secret: Bytes;
  readonly state: Bytes;
  /** Sequence numbers below it may have been used; a restarted server begins here. */
  readonly writeMark: number;
  /** Sequence numbers up to it were received; a restarted server accepts only higher ones. */
  readonly readMark: number;
  /** Which association its secret stems from, and until when it may be resumed; `undefined` if it may not. */
  readonly resumable: { readonly origin: Peer; readonly until: WallTime } | undefined;
}

/** Of a session what is not secret: whose it is, and where its device was heard last. */
export type SessionHead = Pick<SessionRow, 'peer' | 'credential' | 'state'>;

/**
 * `opened` replaces the session that the credential had. `ended` ends this one, or the one before it if this one was
 * never stored: numbers of associations rise. The others do nothing if their session is gone.
 */
export type SessionChange =
  | { readonly kind: 'opened'; readonly session: SessionRow }
  | { readonly kind: 'reserved'; readonly credential: CredentialId; readonly peer: Peer; readonly writeMark: number }
  | {
      readonly kind: 'state';
      readonly credential: CredentialId;
      readonly peer: Peer;
      readonly state: Bytes;
      readonly readMark: number;
    }
  /** What came in its records up to this one has taken effect, and the registry does not say so any more. */
  | { readonly kind: 'read'; readonly credential: CredentialId; readonly peer: Peer; readonly readMark: number }
  /** A restarted server does not go on with it; unless `forget`, it may still be resumed. */
  | { readonly kind: 'ended'; readonly credential: CredentialId; readonly peer: Peer; readonly forget: boolean };
