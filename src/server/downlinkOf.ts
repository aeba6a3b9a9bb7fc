import type { Peer } from '../base/peer.ts';
import type { CoapOut } from '../coap/out.ts';
import type { DtlsOut } from '../dtls/out.ts';
import type { DownlinkOut } from '../service/downlinkOut.ts';
import type { Questions } from '../service/outcome.ts';
import type { DatapathParts } from './datapathParts.ts';
import { isPlainPeer } from './plainPeers.ts';
import type { Turn } from './turn.ts';

/** What the service writes about devices. Commits settle in turns of their own. */
export function downlinkOf(parts: DatapathParts, turn: Turn, road: Road): DownlinkOut {
  const { coap, dtls, plain, store, report, service } = parts;
  const downlink: DownlinkOut = {
    get now() {
      return turn.now;
    },
    view: () => store.view(),
    commit: (commit, settled) =>
      store.commit(commit, result => {
        turn.begin(undefined);
        if (result === 'durable') {
          service.committed(commit, turn.now);
          report.committed(commit);
        }
        settled(result);
        if (result === 'durable') service.devices.reported(commit, downlink);
        turn.end();
      }),
    ask: (peer, draft, asker) => road.ask(peer, draft, asker),
    cancel: handle => road.cancel(handle),
    reach: ({ registration, lastExchange }) => {
      const { transport, address, port } = registration;
      if (transport === 'coap') return plain.reach(address, port, peer => road.displaced(peer));
      const peer = lastExchange?.association;
      return peer !== undefined && dtls?.knows(peer) ? peer : undefined;
    },
    isThere: peer => (isPlainPeer(peer) ? plain.remote(peer) !== undefined : dtls?.knows(peer) === true),
    newObservationToken: peer => {
      dtls?.wake(turn.now, peer, road);
      return coap.newObservationToken(peer);
    },
    restoreStanding: (peer, token, observation) => coap.restoreStanding(peer, token, observation),
    forgetStanding: (peer, token) => coap.forgetStanding(peer, token),
    forgetObservations: (peer, isMeant) => coap.forgetObservations(peer, isMeant),
    confirm: notification => coap.confirm(notification, road),
    reject: notification => coap.reject(notification, road),
    forget: notification => coap.forget(notification),
  };
  return downlink;
}

/** What it needs of the loop. */
export type Road = CoapOut &
  DtlsOut &
  Questions & {
    /** A peer on plain CoAP made room for another. */
    displaced(peer: Peer): void;
  };
