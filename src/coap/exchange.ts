import type { Brand } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { Block } from './codec/block.ts';
import type { Reply, Response } from './codec/message.ts';
import type { Options } from './codec/option.ts';
import type { ObservationId } from './observations.ts';

/** A request that somebody sent us, for as long as its answer is owed or its observation lasts. */
export interface Exchange {
  readonly peer: Peer;
  readonly messageId: number;
  readonly confirmable: boolean;
  readonly code: number;
  readonly token: Bytes;
  /** The block that the last Block1 request of the body carried: the answer repeats it (RFC 7959 §2.3). */
  readonly block1: Block | undefined;
  /** The part of the answer that was asked for. */
  readonly block2: Block | undefined;
  /** Whether an empty ACK has left already, so that the answer is a separate response. */
  acknowledged: boolean;
  /** The message ID of the newest notification, if it observes; or when it began, of the observation that it goes on with. */
  notified?: number | undefined;
  /** The first block of what is newer than what the peer has not acknowledged yet: sent in the place of that, or after it. */
  held?: { readonly first: Reply; readonly confirmable: boolean } | undefined;
}

/** A request of ours that is under way, or an observation of ours that lasts. */
export type RequestHandle = Brand<number, 'RequestHandle'>;

/** What we want to ask. The endpoint adds token, message ID and block options. */
export interface RequestDraft {
  readonly code: number;
  readonly options: Options;
  readonly payload: Bytes;
  /** Sends a Non-confirmable message: no retransmission, and an answer that may never come. */
  readonly nonConfirmable?: boolean;
  /** Registers interest with Observe 0; notifications come with the same handle until `cancel`. */
  readonly observe?: boolean;
  /**
   * With `observe`: once the peer has accepted, the request is over and the observation stands for itself, also over a
   * restart of this process. Its notifications come as `out.notified` until `forgetStanding`.
   */
  readonly standing?: { readonly id: ObservationId; readonly token: Bytes };
  /** The token to use instead of a new one: that of a standing observation, to end it with Observe 1 (RFC 7641 §3.6). */
  readonly token?: Bytes;
}

/**
 * What a peer says on a standing observation, newer than what it said before. A Confirmable one is acknowledged by
 * whoever is handed it, with `confirm`, once it is stored; or else it is forgotten, so that the peer says it again, or rejected.
 */
export interface Notification {
  readonly peer: Peer;
  readonly messageId: number;
  readonly confirmable: boolean;
  readonly observation: ObservationId;
  readonly token: Bytes;
  /** Its views are valid only during the call. */
  readonly response: Response;
  /** Whether there are more to come. An error, or an answer without the Observe option, ends the observation. */
  readonly lasts: boolean;
  /** Only the first block is here (RFC 7959 §2.6): a request without Observe brings the whole. */
  readonly partial: boolean;
  /** It has a critical option that nobody knows: `reject` it (RFC 7252 §5.4.1), with which its observation ends. */
  readonly unreadable: boolean;
}

/** Why a request of ours ended without an answer. */
export type RequestFault =
  /** Nothing came back until the last retransmission's time had passed. */
  | 'timeout'
  /** The peer rejected the message with RST. */
  | 'reset'
  /** The peer's session ended, or its address changed. */
  | 'peer-gone'
  /** Too many requests wait for this peer, or for all peers together. */
  | 'queue-full'
  /** The answer's body is longer than we accept. */
  | 'too-large'
  /** The answer carried a critical option that we do not know, or a block that does not fit. */
  | 'bad-response';
