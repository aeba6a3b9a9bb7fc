import type { Bytes } from '../base/bytes.ts';
import type { Remote } from '../base/peer.ts';
import type { WallTime } from '../base/time.ts';

/** Why a handshake came to nothing. To the operator only: the peer hears an alert that says less, or nothing. */
export type HandshakeFault =
  | 'malformed'
  | 'unexpected-message'
  | 'protocol-version'
  /** None of the suites offered is one that we speak; `detail` names those offered. */
  | 'no-common-suite'
  /** Nobody goes by this identity. */
  | 'unknown-identity'
  /** The identity is known, and whoever used it does not hold its key. */
  | 'wrong-key'
  /** The session that was named is known, and whoever named it does not hold its secret. */
  | 'wrong-session-secret'
  /** The key is right, and the Finished says that the two sides did not see the same handshake. */
  | 'transcript-differs'
  /** The peer stopped answering. */
  | 'gave-up'
  /** The identity is known, and its credential was revoked. */
  | 'revoked'
  /** The client began another handshake before this one came to its end. */
  | 'replaced'
  /** It was the oldest of too many half-open handshakes. */
  | 'handshakes-full'
  /** It was left unanswered; `detail` says by which limit. */
  | 'rate-limited';

/** What the operator reads of each; `docs/handshakes.md` has them too, and what to do. A `detail` may follow. */
export const handshakeFaults: Readonly<Record<HandshakeFault, string>> = {
  malformed: 'a message of the client cannot be read',
  'unexpected-message': 'a message came that has no place there',
  'protocol-version': 'the client speaks an older version than DTLS 1.2',
  'no-common-suite': 'no cipher suite in common; the client offered',
  'unknown-identity': 'nobody goes by this identity',
  'wrong-key': 'the identity is known, and the key does not match',
  'wrong-session-secret': 'the session to resume is known, and its secret does not match',
  'transcript-differs': 'the key matches, and the two sides did not see the same messages',
  'gave-up': 'the client stopped answering',
  revoked: 'the credential was revoked',
  replaced: 'the client began anew before it had come to an end',
  'handshakes-full': 'too many handshakes were under way, and this client had been silent',
  'rate-limited': 'left unanswered',
};

/** One failed handshake, for log and diagnosis. Never holds a key. */
export interface HandshakeReport {
  readonly at: WallTime;
  readonly remote: Remote;
  readonly fault: HandshakeFault;
  /** If the client got so far as to say it. Arbitrary bytes of a stranger. */
  readonly identity: Bytes | undefined;
  readonly detail: string | undefined;
}

/** Why an association ended. */
export type CloseReason =
  /** The peer said so. */
  | 'close-notify'
  /** We said so. */
  | 'closed'
  /** The same owner completed a new handshake. */
  | 'replaced'
  /** Another owner completed a handshake at its address. */
  | 'displaced'
  /** Nothing was heard of it for too long. */
  | 'idle'
  /** It reached its maximum age. */
  | 'too-old'
  /** As many of its records did not open as its suite can bear. */
  | 'forged'
  /** It could not be made durable. */
  | 'not-stored'
  /** The table was full and nothing had been heard of it for longer than of any other. */
  | 'evicted'
  /** The peer sent a fatal alert under the session's protection. */
  | 'peer-alert'
  /** Our sequence numbers are used up: one more record would use a nonce twice. */
  | 'exhausted'
  /** Its credential was revoked. */
  | 'revoked';
