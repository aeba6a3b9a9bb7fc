import type { Bytes } from '../base/bytes.ts';
import type { Instant, Milliseconds, Now } from '../base/time.ts';
import type { ConnectionIds } from './connectionId.ts';
import type { Hmac } from './crypto/hmac.ts';
import type { Established } from './established.ts';
import type { HandshakeFault } from './fault.ts';
import type { KeyLog } from './keyLog.ts';
import type { NegotiationPolicy } from './negotiation.ts';
import type { Owner } from './psk.ts';

/** What decides how the server handshakes, the same for all clients. */
export interface HandshakePolicy extends NegotiationPolicy {
  /** `undefined`: connection IDs are not offered to anybody. */
  readonly cids: ConnectionIds | undefined;
  /** Makes the key that stands in for an unknown identity's: the same at each attempt, as a real one would be. */
  readonly fakeKeys: Hmac;
  /** `undefined`: nobody is told the secrets. */
  readonly keyLog: KeyLog | undefined;
  /** For how long after its full handshake a session may be resumed. */
  readonly resumptionLifetime: Milliseconds;
  /** Whether this owner may complete one more handshake. Asks, and charges nothing. */
  mayComplete(now: Instant, owner: Owner): boolean;
}

/**
 * The ClientHello with the cookie, and when it came. Our numbers continue from its own, since the exchange before was
 * stateless (RFC 6347 §4.2.1, §4.2.2).
 */
export interface FirstHello {
  readonly at: Now;
  readonly clientRandom: Bytes;
  readonly recordSequence: number;
  readonly messageSequence: number;
}

/** What one input led to. */
export type HandshakeStep =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'send'; readonly datagram: Bytes }
  /** Something to tell, and the handshake stays. */
  | { readonly kind: 'alert'; readonly fault: HandshakeFault; readonly datagram: Bytes }
  | {
      readonly kind: 'failed';
      readonly fault: HandshakeFault;
      readonly detail: string | undefined;
      readonly datagram: Bytes;
    }
  | { readonly kind: 'established'; readonly result: Established }
  /** The hello is to stay unanswered: the session that it names belongs to somebody who has handshaken too often of late. */
  | { readonly kind: 'held-off'; readonly identity: Bytes };
