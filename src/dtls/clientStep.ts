import type { Bytes } from '../base/bytes.ts';
import type { RandomSource } from '../base/random.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import type { MaxFragmentLength } from './codec/extension.ts';
import type { NamedGroup } from './codec/namedGroup.ts';
import type { NegotiatedCids } from './connectionId.ts';
import type { SessionKeys } from './crypto/keySchedule.ts';
import type { FinishedVerified } from './proof.ts';

// What a client's handshake is given, and what each input leads to.

export interface ClientHandshakeOptions {
  readonly identity: Bytes;
  readonly key: Bytes;
  /** What we offer, most wanted first. */
  readonly suites: readonly CipherSuite[];
  readonly random: RandomSource;
  /** What the server is to put into its records to us; empty if it need not; `undefined` to do without (RFC 9146). */
  readonly cid?: Bytes | undefined;
  /** Whether to offer the return routability check (RFC 9853). */
  readonly returnRoutability?: boolean | undefined;
  /** For an ephemeral exchange, most wanted first; by default all that we know. */
  readonly groups?: readonly NamedGroup[] | undefined;
  readonly maxFragmentLength?: MaxFragmentLength | undefined;
  /** The session to go on with; if the server does not, the handshake is a full one. */
  readonly resume?: ClientSession | undefined;
}

/** What a client has to keep to resume a session, and to keep secret. */
export interface ClientSession {
  readonly sessionId: Bytes;
  readonly suite: CipherSuite;
  readonly masterSecret: Bytes;
}

/** How the server broke the protocol. A wrong key is none of these: it shows as an alert, or as silence. */
export type ClientFault =
  | 'malformed'
  | 'unexpected-message'
  | 'protocol-version'
  | 'not-offered'
  | 'transcript-differs';

export type ClientStep =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'send'; readonly datagram: Bytes }
  | { readonly kind: 'failed'; readonly fault: ClientFault; readonly datagram: Bytes }
  | {
      readonly kind: 'established';
      readonly proof: FinishedVerified;
      readonly suite: CipherSuite;
      readonly keys: SessionKeys;
      readonly cids: NegotiatedCids | undefined;
      readonly readSequence: number;
      /** Of our next records, in epoch 1 and in epoch 0. */
      readonly writeSequence: number;
      readonly plainSequence: number;
      /** Whether it is a session that was resumed. */
      readonly resumed: boolean;
      /** Our Finished, which has still to go out, and again whenever the server repeats its own; if it was resumed. */
      readonly lastFlight: Bytes | undefined;
      /** What it can be resumed with later, if it can. */
      readonly session: ClientSession | undefined;
    };
