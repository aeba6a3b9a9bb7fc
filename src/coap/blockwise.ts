import { type Bytes, concatBytes, toHex } from '../base/bytes.ts';
import { FifoMap } from '../base/fifoMap.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, type Milliseconds } from '../base/time.ts';
import { type Block, type BlockSize, decodeBlock, encodeBlock } from './codec/block.ts';
import { ResponseCode } from './codec/code.ts';
import { type Reply, type Request, reply } from './codec/message.ts';
import { Block1, Block2, Observe, Options, RequestTag, Size1, Size2 } from './codec/option.ts';
import type { CoapFault } from './fault.ts';

/**
 * Bodies that arrive in blocks (RFC 7959 §2.5), kept by peer, cache key and Request-Tag (RFC 9175 §3.3) until they are
 * whole. Bounded in number, in size and in time.
 */
export class BodyAssembly {
  readonly #maxBody: number;
  readonly #capacity: number;
  readonly #displaced: () => void;
  readonly #lifetime: Milliseconds;
  // In the order of the last block, oldest first.
  readonly #partial = new FifoMap<string, Partial>();

  constructor(maxBody: number, capacity: number, lifetime: Milliseconds, displaced: () => void) {
    this.#displaced = displaced;
    this.#maxBody = maxBody;
    this.#capacity = capacity;
    this.#lifetime = lifetime;
  }

  get size(): number {
    return this.#partial.size;
  }

  /** The whole body, once the last block is there; else the reply that asks for more or refuses. */
  add(now: Instant, peer: Peer, request: Request, block: Block): { body: Bytes } | Answer {
    const key = bodyKey(peer, request);
    const size = request.options.get(Size1);
    if (block.number === 0 && size !== undefined && size > this.#maxBody) return this.tooLarge();
    const before = block.number === 0 ? undefined : this.#partial.get(key);
    const offset = block.number * block.size;
    const fits = block.more ? request.payload.length === block.size : request.payload.length <= block.size;
    if (!fits) return { reply: reply(ResponseCode.BadRequest), fault: 'block' };
    if (offset !== (before?.length ?? 0)) {
      this.#partial.delete(key);
      return { reply: reply(ResponseCode.RequestEntityIncomplete), fault: 'body-incomplete' };
    }
    const length = offset + request.payload.length;
    if (length > this.#maxBody) {
      this.#partial.delete(key);
      return this.tooLarge();
    }
    const parts = before?.parts ?? [];
    this.#partial.delete(key);
    if (!block.more) return { body: concatBytes(...parts, request.payload) };

    parts.push(request.payload.slice());
    if (this.#partial.size >= this.#capacity) {
      this.#displaced();
      this.#dropOldest();
    }
    this.#partial.set(key, { peer, parts, length, until: after(now, this.#lifetime) });
    const more = reply(ResponseCode.Continue, Options.empty.with(Block1, encodeBlock(block)));
    return { reply: more, fault: undefined };
  }

  drop(peer: Peer): void {
    for (const [key, partial] of this.#partial) if (partial.peer === peer) this.#partial.delete(key);
  }

  expire(now: Instant): void {
    for (let oldest = this.#partial.oldest(); oldest !== undefined && oldest.until <= now; ) {
      this.#dropOldest();
      oldest = this.#partial.oldest();
    }
  }

  nextExpiry(): Instant | undefined {
    return this.#partial.oldest()?.until;
  }

  /** 4.13 with the longest body we take (RFC 7959 §2.9.3). */
  tooLarge(): Answer {
    const options = Options.empty.with(Size1, this.#maxBody);
    return { reply: reply(ResponseCode.RequestEntityTooLarge, options), fault: 'body-too-large' };
  }

  #dropOldest(): void {
    const key = this.#partial.oldestKey();
    if (key !== undefined) this.#partial.delete(key);
  }
}

/** Asks for more, or (`fault`) refuses. */
interface Answer {
  readonly reply: Reply;
  readonly fault: CoapFault | undefined;
}

interface Partial {
  readonly peer: Peer;
  readonly parts: Bytes[];
  readonly length: number;
  readonly until: Instant;
}

/** The part of a long answer that was asked for, or the whole of a short one (RFC 7959 §2.4). */
export function sliceReply(whole: Reply, asked: Block | undefined, maxBlock: BlockSize): Reply {
  // Why there is nothing to cut is worth more than that there is no such block.
  if (whole.code >>> 5 !== 2) return whole;
  const size = asked === undefined || asked.size > maxBlock ? maxBlock : asked.size;
  // A client that asks for a larger block than we send counts in its own size.
  const offset = asked === undefined ? 0 : asked.number * asked.size;
  if (whole.payload.length <= size && offset === 0) return whole;
  if (offset >= whole.payload.length) return reply(ResponseCode.BadRequest);
  const end = Math.min(offset + size, whole.payload.length);
  const block: Block = { number: offset / size, more: end < whole.payload.length, size };
  const blocked = whole.options.with(Block2, encodeBlock(block));
  // The first block alone is the notification; the rest is asked for like anything else (RFC 7959 §3.4).
  const options = offset === 0 ? blocked.with(Size2, whole.payload.length) : blocked.without(Observe);
  return { code: whole.code, options, payload: whole.payload.subarray(offset, end) };
}

/**
 * The largest block that leaves room for the rest of its message in `maxMessage` bytes: of a record whose length a peer
 * has limited (RFC 6066 §4).
 */
export function blockSizeWithin(maxMessage: number | undefined, largest: BlockSize): BlockSize {
  if (maxMessage === undefined) return largest;
  let size = largest;
  while (size > 16 && size + roomForOptions > maxMessage) size = (size / 2) as BlockSize;
  return size;
}

/** The block an option names: `undefined` without it, `'invalid'` for a reserved size. */
export function blockOf(options: Options, option: typeof Block1): Block | undefined | 'invalid' {
  const value = options.get(option);
  return value === undefined ? undefined : (decodeBlock(value) ?? 'invalid');
}

/** Header, token and options of any message of ours that has a payload, in bytes. */
export const roomForOptions = 96;

/** Requests with the same peer, code and options build one body; block and size options are no part of it. */
function bodyKey(peer: Peer, request: Request): string {
  let key = `${peer} ${request.code}`;
  for (const { number, value } of request.options.list) {
    if (number === Block1.number || number === Block2.number || number === Observe.number) continue;
    // NoCacheKey options (RFC 7252 §5.4.6) do not tell requests apart, except Request-Tag, whose purpose it is.
    if ((number & 0x1e) === 0x1c && number !== RequestTag.number) continue;
    key += ` ${number}=${toHex(value)}`;
  }
  return key;
}
