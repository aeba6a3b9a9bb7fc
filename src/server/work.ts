import type { Exchange } from '../coap/exchange.ts';
import type { Outcome, RequestContext } from '../service/outcome.ts';
import type { Context } from './datapathParts.ts';

/** A request until it is answered. */
export interface Work {
  readonly exchange: Exchange;
  readonly context: Context;
  readonly decide: (turn: RequestContext) => Outcome;
  /** How long the answer may be, in bytes. */
  readonly limit: number;
  /** It has had a turn already. */
  readonly searching: boolean;
  attempts: number;
}
