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
  readonly limits?: Partial<CoapLimits>;
  /** Whether a body may be held half received for this peer: not if nobody proved its address. By default it may. */
  readonly mayHoldBody?: (peer: Peer) => boolean;
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
