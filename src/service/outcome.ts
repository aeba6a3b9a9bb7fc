import type { Peer } from '../base/peer.ts';
import type { Now } from '../base/time.ts';
import type { Reply, Response } from '../coap/codec/message.ts';
import type { Exchange, RequestDraft, RequestFault, RequestHandle } from '../coap/exchange.ts';
import type { Principal } from '../fleet/credential.ts';
import type { Row } from '../fleet/names.ts';
import type { Commit, Store, View } from '../fleet/store.ts';
import type { Refusal } from '../lwm2m/refusal.ts';

/** Everything a decision may know besides the request. */
export interface RequestContext {
  readonly now: Now;
  readonly view: View;
  /** What is durable, by index: see `Store.find`. */
  readonly find: Store['find'];
  readonly allocateRow: () => Row | undefined;
  readonly principal: Principal;
  readonly transport: 'coap' | 'coaps';
  readonly address: string;
  readonly port: number;
  readonly peer: Peer;
  /** Whether it hears what is sent to its address: by its handshake, or on plain CoAP by an Echo that it sent back. */
  readonly addressProved: boolean;
  readonly exchange: Exchange;
  readonly messageId: number;
  /** Of the DTLS record that the request came in; `undefined` on plain CoAP. */
  readonly sequence: number | undefined;
}

/**
 * What becomes of a request. The reply of a `commit` leaves when the commit is durable, and not before. An `ask` puts a
 * question to the peer that asked; its request is acknowledged meanwhile, since the answer waits for somebody else. What
 * is `unfinished` goes on in a later turn, so that nobody waits for a long search but who asked for it.
 */
export type Outcome =
  | { readonly kind: 'reply'; readonly reply: Reply; readonly refusal?: Refusal }
  | { readonly kind: 'commit'; readonly commit: Commit; readonly reply: Reply; readonly refusal?: Refusal }
  | {
      readonly kind: 'ask';
      readonly draft: RequestDraft;
      /** Reads the answer; what it returns decides, and again with another view if what it decided on has changed. */
      readonly answered: (answer: Response | RequestFault) => (turn: RequestContext) => Outcome;
    }
  | { readonly kind: 'unfinished'; readonly goOn: (turn: RequestContext) => Outcome };

/** Asks peers on behalf of whoever has a question; the loop does it and hands every answer to its asker. */
export interface Questions {
  /** `undefined` if there is no room for it; then the asker is not called. */
  ask(peer: Peer, draft: RequestDraft, asker: Asker): RequestHandle | undefined;
  /** Forgets a question or an observation of ours: its asker hears nothing more. */
  cancel(handle: RequestHandle): void;
}

export interface Asker {
  /** It is told of the first answer only: what comes later on a standing observation, others hear. */
  readonly hearsOnce?: boolean;
  /** The answer; or (`lasts`) a notification, with more to come. Its views are valid only during the call. */
  response(response: Response, lasts: boolean): void;
  /** There will be no answer, or no further notification. */
  failed(fault: RequestFault): void;
}
