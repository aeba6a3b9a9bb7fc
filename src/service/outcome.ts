import type { Peer } from '../base/peer.ts';
import type { Now } from '../base/time.ts';
import type { Reply } from '../coap/codec/message.ts';
import type { Principal } from '../fleet/credential.ts';
import type { Row } from '../fleet/names.ts';
import type { Commit, View } from '../fleet/store.ts';
import type { Refusal } from '../lwm2m/refusal.ts';

/** Everything a decision may know besides the request. */
export interface RequestContext {
  readonly now: Now;
  readonly view: View;
  readonly allocateRow: () => Row;
  readonly principal: Principal;
  readonly transport: 'coap' | 'coaps';
  readonly address: string;
  readonly port: number;
  readonly peer: Peer;
  readonly messageId: number;
  /** Of the DTLS record that the request came in; `undefined` on plain CoAP. */
  readonly sequence: number | undefined;
}

/** What becomes of a request. The reply of a `commit` leaves when the commit is durable, and not before. */
export type Outcome =
  | { readonly kind: 'reply'; readonly reply: Reply; readonly refusal?: Refusal }
  | { readonly kind: 'commit'; readonly commit: Commit; readonly reply: Reply };
