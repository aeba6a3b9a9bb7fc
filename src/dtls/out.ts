import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { AssociationOut } from './associationOut.ts';
import type { HandshakeReport } from './fault.ts';
import type { Resumption } from './resumption.ts';
import type { SessionState } from './sessionState.ts';

/** Where the endpoint writes what has to happen next. Views handed out are valid only during the call. */
export interface DtlsOut extends AssociationOut {
  /** The client proved its key. `confirmed` is owed for it. */
  verified(peer: Peer, session: Session): void;
  failed(report: HandshakeReport): void;
}

/** A session that just began. It holds secrets: for the one who makes it durable, and nobody else. */
export interface Session extends SessionState {
  readonly identity: Bytes;
  /** What it may be resumed with later, if it may. */
  readonly resumption: Resumption | undefined;
}
