import type { Bytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { Request, Response } from './codec/message.ts';
import type { Exchange, Notification, RequestFault, RequestHandle } from './exchange.ts';
import type { CoapFault } from './fault.ts';

/**
 * Where the endpoint writes what has to happen next. Views handed out are valid only during the call; but those of a
 * request until it is answered, since the bytes that `receive` takes are not written to again.
 */
export interface CoapOut {
  transmit(peer: Peer, message: Bytes): void;
  /** A new request with its whole body. `respond` is owed for it. */
  request(exchange: Exchange, request: Request): void;
  /**
   * An answer to a request of ours, or (`lasts`) a notification, with more to come; of a standing observation the
   * first one only.
   */
  response(handle: RequestHandle, response: Response, lasts: boolean): void;
  failed(handle: RequestHandle, fault: RequestFault): void;
  /** A notification on a standing observation: `confirm` or `forget` is owed for it. */
  notified(notification: Notification): void;
  /** The peer rejected a notification, or never acknowledged it: it is not observed any more. */
  unobserved(exchange: Exchange): void;
  /** The peer answered a ping that went to this address. */
  ponged(peer: Peer, at: Remote): void;
  /** CoAP itself refused something: with `code`, or with RST or silence. For log and counters. */
  refused(peer: Peer, fault: CoapFault, code: number | undefined): void;
}
