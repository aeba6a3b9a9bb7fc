import { FifoMap } from '../base/fifoMap.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, seconds } from '../base/time.ts';
import type { Reply } from '../coap/codec/message.ts';
import type { Exchange } from '../coap/exchange.ts';

/**
 * Answers of which a client has the first block only, so that the rest of it belongs to the same representation (RFC 7959
 * §2.4). Bounded by count and bytes, the oldest goes first: then the rest is cut from what is there by then, and its ETag
 * tells the client.
 */
export class KeptAnswers {
  readonly #answers = new FifoMap<string, { readonly answer: Reply; readonly until: Instant }>();
  #bytes = 0;

  /** `key` says what was asked. Whatever was kept of an earlier answer goes, so that no block of it follows this one. */
  keep({ peer, block2 }: Asked, key: string, answer: Reply, now: Instant): void {
    const { length } = answer.payload;
    this.#drop(`${peer} ${key}`);
    if (length <= Math.min(block2?.size ?? firstBlock, firstBlock) || length > maxBytes) return;
    while (this.#answers.size >= maxAnswers || this.#bytes + length > maxBytes) this.#drop(this.#answers.oldestKey()!);
    this.#answers.set(`${peer} ${key}`, { answer, until: after(now, lifetime) });
    this.#bytes += length;
  }

  get(peer: Peer, key: string, now: Instant): Reply | undefined {
    const kept = this.#answers.get(`${peer} ${key}`);
    return kept !== undefined && now < kept.until ? kept.answer : undefined;
  }

  #drop(key: string): void {
    const kept = this.#answers.get(key);
    if (kept === undefined) return;
    this.#answers.delete(key);
    this.#bytes -= kept.answer.payload.length;
  }
}

/** By whom, and in blocks of which size. */
type Asked = Pick<Exchange, 'peer' | 'block2'>;

const firstBlock = 1024;
const maxAnswers = 64;
const maxBytes = 4 * 2 ** 20;
const lifetime = seconds(60);
