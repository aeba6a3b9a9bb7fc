import { type Bytes, noBytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import { earlier, type Instant, type Now } from '../base/time.ts';
import { blockSizeWithin, sliceReply } from './blockwise.ts';
import type { BlockSize } from './codec/block.ts';
import { encodeMessage, type Reply } from './codec/message.ts';
import { type CoapCounters, newCounters } from './counters.ts';
import { Deduplication } from './deduplication.ts';
import type { Exchange, RequestHandle } from './exchange.ts';
import type { CoapOut } from './out.ts';
import { type Newer, Outbox } from './outbox.ts';
import type { CoapLimits, CoapOptions } from './settings.ts';
import { exchangeLifetime, type TransmissionParameters } from './transmission.ts';

/**
 * What the two roles of an endpoint share (RFC 7252 §4): message IDs and retransmissions of what leaves, duplicates of
 * what comes.
 */
export class MessageLayer {
  readonly counters: CoapCounters = newCounters();
  readonly seen: Deduplication;
  readonly outbox: Outbox<Subject>;

  readonly #blockSize: BlockSize;
  readonly #maxMessageOf: CoapOptions['maxMessageOf'];

  constructor(
    { random, sequenceOf, maxMessageOf }: CoapOptions,
    limits: CoapLimits,
    transmission: TransmissionParameters,
  ) {
    this.#blockSize = limits.blockSize;
    this.#maxMessageOf = maxMessageOf;
    const lifetime = exchangeLifetime(transmission);
    this.seen = new Deduplication(lifetime, limits.maxExchanges, Math.floor(random.fraction() * 2 ** 32));
    // Not from 0 on with every new peer: some devices take the first messages of a new session for duplicates.
    const firstId = (peer: Peer) => {
      const sequence = sequenceOf?.(peer);
      return sequence === undefined ? Math.floor(random.fraction() * 0x1_0000) : sequence + peer * idStride;
    };
    this.outbox = new Outbox(transmission, random, lifetime, firstId);
  }

  /** Of blocks to this peer, and from it. */
  blockSizeOf(peer: Peer): BlockSize {
    return blockSizeWithin(this.#maxMessageOf?.(peer), this.#blockSize);
  }

  /** What of an answer goes into one message. */
  slice({ peer, block2 }: Exchange, answer: Reply): Reply {
    // Shorter than any block, whatever the peer has limited.
    if (block2 === undefined && answer.payload.length <= smallestBlock) return answer;
    return sliceReply(answer, block2, this.blockSizeOf(peer));
  }

  /** Whether a message came before; if so, what was sent for it is sent again. */
  isDuplicate(peer: Peer, messageId: number, confirmable: boolean, out: CoapOut): boolean {
    const seen = this.seen.look(peer, messageId);
    if (seen === 'new') return false;
    this.counters.duplicates++;
    // A duplicate while the answer is owed: it will go out once, so this one is dropped. Silence is answered with silence.
    if (seen !== 'pending' && seen.length > 0 && confirmable) out.transmit(peer, seen);
    return true;
  }

  /** A response that needs no more than this: duplicates are known for what they are, and may be forgotten early. */
  acknowledge(peer: Peer, messageId: number, confirmable: boolean, out: CoapOut): void {
    const ack = confirmable ? encodeMessage({ kind: 'empty', type: 'ACK', messageId }) : noBytes;
    this.seen.answered(peer, messageId, ack, true);
    if (confirmable) out.transmit(peer, ack);
  }

  /** Sends RST, and returns it. */
  reset(peer: Peer, messageId: number, out: CoapOut): Bytes {
    const reset = encodeMessage({ kind: 'empty', type: 'RST', messageId });
    out.transmit(peer, reset);
    return reset;
  }

  /** Asks whether a peer is there (RFC 7252 §4.3, a CoAP ping): at the address to which this goes, as its answer says. */
  ping(now: Now, peer: Peer, at: Remote, out: CoapOut): void {
    const messageId = this.outbox.nextMessageId(now.instant, peer);
    const message = encodeMessage({ kind: 'empty', type: 'CON', messageId });
    this.outbox.add(now.instant, peer, messageId, message, { kind: 'ping', at });
    out.transmit(peer, message);
  }

  /** What was sent under this message ID is not sent again. */
  recall(peer: Peer, messageId: number | undefined): void {
    if (messageId !== undefined) this.outbox.take(peer, messageId);
  }

  /** Sends again what is due, or what is newer; `gaveUp` gets the subject of what was sent often enough. */
  expire(
    now: Now,
    gaveUp: (subject: Subject) => void,
    newer: (subject: Subject) => Newer | undefined,
    out: CoapOut,
  ): void {
    this.seen.expire(now.instant);
    this.outbox.expire(
      now.instant,
      (peer, message) => {
        this.counters.retransmissions++;
        out.transmit(peer, message);
      },
      gaveUp,
      newer,
    );
  }

  nextExpiry(): Instant | undefined {
    return earlier(this.seen.nextExpiry(), this.outbox.nextExpiry());
  }
}

/** What a message that we sent belongs to. */
export type Subject =
  | { readonly kind: 'request'; readonly handle: RequestHandle }
  | { readonly kind: 'response' }
  | { readonly kind: 'ping'; readonly at: Remote }
  | { readonly kind: 'notification'; readonly exchange: Exchange };

/** Far from a divisor of the space of message IDs, so that neighbouring peers begin far from each other. */
const idStride = 0x9e37;
const smallestBlock = 16;
