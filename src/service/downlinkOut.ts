import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { Now } from '../base/time.ts';
import type { Notification } from '../coap/exchange.ts';
import type { ObservationId } from '../coap/observations.ts';
import type { Registered } from '../fleet/registration.ts';
import type { Commit, CommitResult, View } from '../fleet/store.ts';
import type { Questions } from './outcome.ts';

/** What those who talk with devices need of the loop. */
export interface DownlinkOut extends Questions {
  /** Of this turn. */
  readonly now: Now;
  view(): View;
  /** `settled` is called once, in a later turn. */
  commit(commit: Commit, settled: (result: CommitResult) => void): void;
  /** Where a device can be reached: on its association, if that lives, or at its address on plain CoAP. */
  reach(record: Registered): Peer | undefined;
  /** Whether it can be spoken to: its session lives, or sleeps; or it has its place on plain CoAP. */
  isThere(peer: Peer): boolean;
  newObservationToken(peer: Peer): Bytes;
  restoreStanding(peer: Peer, token: Bytes, observation: ObservationId): void;
  forgetStanding(peer: Peer, token: Bytes): void;
  /** Forgets the standing observations of a peer that are meant. */
  forgetObservations(peer: Peer, isMeant: (observation: ObservationId) => boolean): void;
  /** What a notification said is stored. */
  confirm(notification: Notification): void;
  /** Nobody wants it: its observation ends. */
  reject(notification: Notification): void;
  /** It could not be stored: its retransmission is taken as if it were the first. */
  forget(notification: Notification): void;
}
