import type { Peer, Remote } from '../base/peer.ts';
import type { SessionState } from './sessionState.ts';

/**
 * Sessions of an earlier process that have not been heard since: they cost next to nothing until they are. Whoever is
 * asked for one hands it over, and does not have it any more.
 */
export interface Sleepers {
  byPeer(peer: Peer): SessionState | undefined;
  byAddress(remote: Remote): SessionState | undefined;
  /** Whether it has one, without handing it over. */
  has(peer: Peer): boolean;
  /** Whose it is, without handing it over. */
  credential(peer: Peer): number | undefined;
}

export const noSleepers: Sleepers = {
  byPeer: () => undefined,
  byAddress: () => undefined,
  has: () => false,
  credential: () => undefined,
};
