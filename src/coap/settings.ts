import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import type { BlockSize } from './codec/block.ts';
import type { TransmissionParameters } from './transmission.ts';

export interface CoapOptions {
  readonly random: RandomSource;
  /**
   * A number that goes up with each message to this peer and never goes back, over restarts too: message IDs and tokens
   * begin there, so that those from before a restart do not come again. `undefined` for peers that have none.
   */
  readonly sequenceOf?: (peer: Peer) => number | undefined;
  readonly transmission?: TransmissionParameters;
  /** How long a message to or from this peer may be, in bytes; `undefined` where nothing but the path limits it. */
  readonly maxMessageOf?: (peer: Peer) => number | undefined;
  readonly limits?: Partial<CoapLimits>;
  /** Whose word it is that a peer may have a body held half received; by default all may. */
  readonly addresses?: AddressCheck;
}

/** Whether peers hear what is sent to their addresses: nobody else has something kept for it (RFC 9175 §2.4). */
export interface AddressCheck {
  /** `echo`: the Echo option of its request, which may prove it now. */
  isProved(peer: Peer, echo: Bytes | undefined): boolean;
  /** The Echo option that it has to send back; `undefined` if it cannot be proved. */
  challenge(peer: Peer): Bytes | undefined;
}

export interface CoapLimits {
  /** How many messages are remembered for their duplicates. */
  readonly maxExchanges: number;
  /** How long a request's or an answer's body may be, in bytes. */
  readonly maxBody: number;
  /** How many bodies may be half received. */
  readonly maxBodies: number;
  readonly blockSize: BlockSize;
  /** How many requests and observations of ours may be under way, with all peers. */
  readonly maxRequests: number;
  readonly maxQueuedForPeer: number;
  /** How many standing observations there may be, with all peers. */
  readonly maxObservations: number;
}

export const defaultLimits: CoapLimits = {
  maxExchanges: 65_536,
  maxBody: 4096,
  maxBodies: 1024,
  blockSize: 1024,
  maxRequests: 10_000,
  maxQueuedForPeer: 32,
  maxObservations: 1_000_000,
};

/** When to try again what was put off with 5.03, in seconds: its Max-Age (RFC 7252 §5.9.3.4). */
export const retryAfterSeconds = 30;
