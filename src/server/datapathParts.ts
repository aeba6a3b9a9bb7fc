import type { Bytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { Instant, Now } from '../base/time.ts';
import type { CoapEndpoint } from '../coap/endpoint.ts';
import type { CoapFault } from '../coap/fault.ts';
import type { DtlsEndpoint } from '../dtls/endpoint.ts';
import type { CloseReason, HandshakeReport } from '../dtls/fault.ts';
import type { Session } from '../dtls/out.ts';
import type { Commit, CommitResult, Store } from '../fleet/store.ts';
import type { Refusal } from '../lwm2m/refusal.ts';
import type { RequestContext } from '../service/outcome.ts';
import type { Service } from '../service/service.ts';
import type { AddressProof } from './addressProof.ts';
import type { PlainPeers } from './plainPeers.ts';

/** The machines of the road, and what they end in: what `Datapath` moves things between. */
export interface DatapathParts {
  readonly coap: CoapEndpoint;
  readonly dtls: DtlsEndpoint | undefined;
  readonly plain: PlainPeers;
  /** Without it nobody proves an address, and long answers on plain CoAP go to nobody. */
  readonly proof?: AddressProof;
  readonly service: Service;
  readonly store: Store;
  readonly report: Report;
  now(): Now;
  sendDtls(remote: Remote, datagram: Bytes): void;
  sendPlain(remote: Remote, datagram: Bytes): void;
  /** Calls `expire` at `at`, instead of whenever it was going to. */
  arm(at: Instant): void;
}

/** Who is told what happened: log and counters. */
export interface Report {
  session(peer: Peer, session: Session): void;
  moved(peer: Peer, remote: Remote): void;
  /** An address on plain CoAP made room for another. */
  displaced(): void;
  /** A question found as many before it as may wait. */
  busy(): void;
  /** A request found as many answers before it as may wait for the disk. */
  crowded(): void;
  closed(peer: Peer, reason: CloseReason): void;
  handshake(report: HandshakeReport): void;
  refusal(refusal: Refusal, code: number, context: Context): void;
  /** CoAP itself refused something; `code` is undefined if the peer heard RST or nothing. */
  refused(fault: CoapFault, code: number | undefined, remote: Remote): void;
  answered(code: number): void;
  committed(commit: Commit): void;
  unavailable(why: CommitResult): void;
}

export interface Context extends Omit<RequestContext, 'now' | 'view'> {
  readonly remote: Remote;
}
