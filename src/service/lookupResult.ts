import { type Bytes, toHex } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import { ResponseCode } from '../coap/codec/code.ts';
import type { WrittenLink } from '../coap/codec/linkFormat.ts';
import { type Reply, type Request, reply } from '../coap/codec/message.ts';
import { ContentFormat, ETag, Observe, Options } from '../coap/codec/option.ts';
import type { Exchange } from '../coap/exchange.ts';
import type { Row } from '../fleet/names.ts';
import { entityTag } from './entityTag.ts';
import { encodeLinks } from './linkDocument.ts';
import type { Search } from './search.ts';

/** A lookup as it was asked. */
export interface Lookup {
  readonly search: Search;
  readonly format: number;
  /** The one device that the asker may see; `undefined` for all. */
  readonly only: Row | undefined;
  readonly address: string;
  readonly etags: readonly Bytes[];
}

/** A representation, and what it depends on. */
export interface Result {
  readonly payload: Bytes;
  readonly format: number;
  readonly etag: Bytes;
  /** Who is in it. */
  readonly rows: ReadonlySet<Row>;
  /** When the first of them ends by itself. */
  readonly ends: WallTime | undefined;
}

/**
 * What the client has already. Of a later block it wants the bytes: there are clients that repeat the ETag of their first
 * request with each, as the rest of its options.
 */
export function knownOf({ options }: Request, { block2 }: Exchange): readonly Bytes[] {
  return block2 !== undefined && block2.number > 0 ? [] : options.all(ETag);
}

/** 2.05 with the representation, or 2.03 if the client has it already. */
export function replyOf(
  { payload, format, etag }: Result,
  known: readonly Bytes[],
  sequence: number | undefined,
): Reply {
  let options = Options.empty.with(ETag, etag);
  if (sequence !== undefined) options = options.with(Observe, sequence);
  if (known.some(tag => toHex(tag) === toHex(etag))) return reply(ResponseCode.Valid, options);
  return reply(ResponseCode.Content, options.with(ContentFormat, format), payload);
}

export function resultOf(
  links: readonly WrittenLink[],
  format: number,
  rows: ReadonlySet<Row>,
  ends: WallTime | undefined,
): Result {
  const payload = encodeLinks(links, format);
  return { payload, format, etag: entityTag(payload, format), rows, ends };
}
