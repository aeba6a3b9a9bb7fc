import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { WallTime } from '../base/time.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import type { CloseReason } from './fault.ts';
import type { Owner } from './psk.ts';

/** What a session leaves behind for a later one, so that no key has to be agreed on again (RFC 5246 §7.3, figure 2). */
export interface Resumption {
  /** The association of the full handshake that it stems from: its session id is computed from it. */
  readonly origin: Peer;
  readonly masterSecret: Bytes;
  /** Counted from the full handshake: a session that was resumed is not younger for it. */
  readonly until: WallTime;
}

/** What was agreed to in the full handshake and holds in the sessions that resume it. */
export interface ResumableSession extends Resumption {
  readonly suite: CipherSuite;
  readonly owner: Owner;
  readonly identity: Bytes;
  /** The length of records is part of the session (RFC 6066 §4). */
  readonly maxPlaintext: number;
}

/**
 * Where the server keeps sessions that may be resumed: all of them with extended master secret, since others get no
 * session id (RFC 7627 §5.3). Synchronous, like `PskPort`. At most one for an owner: the newest.
 */
export interface ResumptionPort {
  /** 1 to 32 bytes that tell a stranger neither which other session ids are valid nor which association it is. */
  idOf(origin: Peer): Bytes;
  /** `undefined`: it is none of ours, was replaced, or its credential was revoked. */
  find(sessionId: Bytes): ResumableSession | undefined;
}

/** After a fatal alert a session must not be resumed (RFC 5246 §7.2.2), nor after its time or its credential ended. */
export function mayResumeAfter(reason: CloseReason): boolean {
  return !final.has(reason);
}

const final: ReadonlySet<CloseReason> = new Set(['peer-alert', 'forged', 'not-stored', 'too-old', 'revoked']);
