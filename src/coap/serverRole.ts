import { noBytes, sameBytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { Instant, Now } from '../base/time.ts';
import { BodyAssembly, blockOf } from './blockwise.ts';
import { encodeBlock } from './codec/block.ts';
import { isFetching, isIdempotent, ResponseCode } from './codec/code.ts';
import { encodeMessage, type Reply, type Request, reply } from './codec/message.ts';
import {
  Block1,
  Block2,
  decodeOption,
  Echo,
  isCritical,
  knownOption,
  MaxAge,
  Observe,
  Options,
  ProxyScheme,
  ProxyUri,
} from './codec/option.ts';
import type { Exchange } from './exchange.ts';
import type { CoapFault } from './fault.ts';
import type { MessageLayer, Subject } from './messageLayer.ts';
import type { CoapOut } from './out.ts';
import type { Newer } from './outbox.ts';
import { type AddressCheck, type CoapLimits, type CoapOptions, retryAfterSeconds } from './settings.ts';
import { maxTransmitWait, type TransmissionParameters } from './transmission.ts';

/**
 * An endpoint in the role of the server (RFC 7252 §5.2): requests of peers come in, whole and once, and are answered.
 * Notifications on the observations that peers have with us leave here too.
 */
export class ServerRole {
  readonly #messages: MessageLayer;
  readonly #limits: CoapLimits;
  readonly #addresses: AddressCheck | undefined;
  readonly #bodies: BodyAssembly;

  constructor(messages: MessageLayer, options: CoapOptions, limits: CoapLimits, transmission: TransmissionParameters) {
    this.#messages = messages;
    this.#limits = limits;
    this.#addresses = options.addresses;
    this.#bodies = new BodyAssembly(limits.maxBody, limits.maxBodies, maxTransmitWait(transmission), () => {
      messages.counters.bodiesDisplaced++;
    });
  }

  receive(now: Now, peer: Peer, request: Request, out: CoapOut): void {
    const confirmable = request.type === 'CON';
    if (this.#messages.isDuplicate(peer, request.messageId, confirmable, out)) return;
    const remembered = this.#messages.seen.open(now.instant, peer, request.messageId);
    const block1 = blockOf(request.options, Block1);
    const block2 = blockOf(request.options, Block2);
    const exchange: Exchange = {
      peer,
      messageId: request.messageId,
      confirmable,
      code: request.code,
      token: request.token.slice(),
      block1: block1 === 'invalid' ? undefined : block1,
      block2: block2 === 'invalid' ? undefined : block2,
      acknowledged: false,
    };
    if (!remembered && !isIdempotent(request.code)) {
      this.#messages.counters.exchangesRefused++;
      const later = reply(ResponseCode.ServiceUnavailable, Options.empty.with(MaxAge, retryAfterSeconds));
      return this.#refuse(now, exchange, later, 'exchanges-full', out);
    }
    const refused = optionFault(request);
    if (refused !== undefined) {
      this.#messages.counters.badOptions++;
      // A Non-confirmable request with an option that nobody understands is ignored (RFC 7252 §5.4.1).
      if (confirmable) return this.#refuse(now, exchange, reply(refused.code), refused.fault, out);
      // Nothing is owed for it any more: it must not keep the room of those that wait for their answers.
      this.#messages.seen.answered(peer, request.messageId, noBytes, true);
      return out.refused(peer, refused.fault, undefined);
    }
    if (block1 === 'invalid' || block2 === 'invalid') {
      this.#messages.counters.bodiesRefused++;
      return this.#refuse(now, exchange, reply(ResponseCode.BadRequest), 'block', out);
    }
    // The rest of a long answer is cut from a new one, and what changes something must not be done again for that.
    if (block2 !== undefined && block2.number > 0 && !isFetching(request.code)) {
      this.#messages.counters.bodiesRefused++;
      return this.#refuse(now, exchange, reply(ResponseCode.RequestEntityIncomplete), 'body-incomplete', out);
    }
    this.#receiveBody(now, exchange, request, out);
  }

  /**
   * Answers an exchange: piggy-backed if nothing was sent for it yet, else as a separate response (RFC 7252 §5.2).
   * `recognised`: whoever answers would notice a duplicate itself, so that this one may be forgotten early. What begins an
   * observation with a message of its own is its first notification.
   */
  respond(now: Now, exchange: Exchange, answer: Reply, out: CoapOut, recognised = false): void {
    let sliced = this.#messages.slice(exchange, answer);
    if (exchange.block1 !== undefined) {
      sliced = { ...sliced, options: sliced.options.with(Block1, encodeBlock({ ...exchange.block1, more: false })) };
    }
    const { peer } = exchange;
    // The answer is newer than whatever of its observation was not acknowledged.
    if (this.#lastOf(exchange) !== undefined) this.#messages.recall(peer, exchange.notified);
    if (exchange.confirmable && !exchange.acknowledged) {
      const message = encodeMessage({ kind: 'response', type: 'ACK', ...piggyBacked(exchange, sliced) });
      this.#messages.seen.answered(peer, exchange.messageId, message, recognised || isIdempotent(exchange.code));
      out.transmit(peer, message);
      return;
    }
    const messageId = this.#messages.outbox.nextMessageId(now.instant, peer);
    const type = exchange.confirmable ? 'CON' : 'NON';
    const message = encodeMessage({ kind: 'response', type, messageId, token: exchange.token, ...sliced });
    const observes = sliced.options.has(Observe);
    const subject: Subject = observes ? { kind: 'notification', exchange } : { kind: 'response' };
    if (observes) exchange.notified = messageId;
    if (type === 'CON') {
      this.#messages.outbox.add(now.instant, peer, messageId, message, subject);
    } else {
      if (observes) this.#messages.outbox.watch(now.instant, peer, messageId, subject);
      this.#messages.seen.answered(peer, exchange.messageId, message, recognised || isIdempotent(exchange.code));
    }
    out.transmit(peer, message);
  }

  /** Tells the client to stop retransmitting: only where the answer waits for somebody else, never for the disk. */
  acknowledge(exchange: Exchange, out: CoapOut): void {
    if (!exchange.confirmable || exchange.acknowledged) return;
    exchange.acknowledged = true;
    const message = encodeMessage({ kind: 'empty', type: 'ACK', messageId: exchange.messageId });
    this.#messages.seen.answered(exchange.peer, exchange.messageId, message, isIdempotent(exchange.code));
    out.transmit(exchange.peer, message);
  }

  /**
   * Sends a notification on an observation that a peer has with us; `out.unobserved` tells if it does not want it. While
   * it has not acknowledged an earlier one, only the newest is kept until then (RFC 7641 §4.5.2).
   */
  notify(now: Now, exchange: Exchange, notification: Reply, confirmable: boolean, out: CoapOut): void {
    const { peer, block2 } = exchange;
    // It begins at its first block (RFC 7959 §2.6), whichever the observer had asked for.
    const fromTheFirst = block2 === undefined ? exchange : { ...exchange, block2: { ...block2, number: 0 } };
    const first = this.#messages.slice(fromTheFirst, notification);
    const last = this.#lastOf(exchange);
    if (last?.confirmable === true) {
      // A copy: the rest of a long answer is not to be kept with it.
      exchange.held = { first: { ...first, payload: first.payload.slice() }, confirmable };
      return;
    }
    if (last !== undefined) this.#messages.recall(peer, exchange.notified);
    this.#sendNotification(now, exchange, first, confirmable, out);
  }

  /** The peer has acknowledged the newest notification that was sent. */
  acknowledged(now: Now, exchange: Exchange, out: CoapOut): void {
    const { held } = exchange;
    exchange.held = undefined;
    if (held !== undefined) this.#sendNotification(now, exchange, held.first, held.confirmable, out);
  }

  /** What is worth more than sending a notification again. */
  newer(now: Now, subject: Subject): Newer | undefined {
    if (subject.kind !== 'notification' || subject.exchange.held === undefined) return undefined;
    const { exchange } = subject;
    const { first } = subject.exchange.held;
    exchange.held = undefined;
    return this.#notificationOf(now, exchange, first, true);
  }

  drop(peer: Peer): void {
    this.#bodies.drop(peer);
  }

  expire(now: Now): void {
    this.#bodies.expire(now.instant);
  }

  nextExpiry(): Instant | undefined {
    return this.#bodies.nextExpiry();
  }

  /** How many bodies are half received. */
  get bodies(): number {
    return this.#bodies.size;
  }

  /** The newest notification, as long as it may be acknowledged or rejected; then its message ID may be another message's. */
  #lastOf({ peer, token, notified }: Exchange): { readonly confirmable: boolean } | undefined {
    const last = notified === undefined ? undefined : this.#messages.outbox.find(peer, notified);
    return last?.subject.kind === 'notification' && sameBytes(last.subject.exchange.token, token) ? last : undefined;
  }

  #sendNotification(now: Now, exchange: Exchange, first: Reply, confirmable: boolean, out: CoapOut): void {
    const { peer } = exchange;
    const { messageId, message } = this.#notificationOf(now, exchange, first, confirmable);
    const subject = { kind: 'notification', exchange } as const;
    if (confirmable) this.#messages.outbox.add(now.instant, peer, messageId, message, subject);
    else this.#messages.outbox.watch(now.instant, peer, messageId, subject);
    out.transmit(peer, message);
  }

  #notificationOf(now: Now, exchange: Exchange, first: Reply, confirmable: boolean): Newer {
    const { peer, token } = exchange;
    const messageId = this.#messages.outbox.nextMessageId(now.instant, peer);
    exchange.notified = messageId;
    const type = confirmable ? 'CON' : 'NON';
    return { messageId, message: encodeMessage({ kind: 'response', type, messageId, token, ...first }) };
  }

  #receiveBody(now: Now, exchange: Exchange, request: Request, out: CoapOut): void {
    const { peer, block1 } = exchange;
    // What a block is answered with carries its own Block1, so the exchange must not add another.
    const unnamed = block1 === undefined ? exchange : { ...exchange, block1: undefined };
    if (block1 === undefined && request.payload.length <= this.#limits.maxBody) return out.request(exchange, request);
    if (block1?.more === true && this.#addresses?.isProved(peer, request.options.get(Echo)) === false) {
      this.#messages.counters.bodiesRefused++;
      const echo = this.#addresses.challenge(peer);
      const options = echo === undefined ? Options.empty : Options.empty.with(Echo, echo);
      return this.#refuse(now, unnamed, reply(ResponseCode.Unauthorized, options), 'body-unproved', out);
    }
    const assembled =
      block1 === undefined ? this.#bodies.tooLarge() : this.#bodies.add(now.instant, peer, request, block1);
    if ('body' in assembled) return out.request(exchange, { ...request, payload: assembled.body });
    if (assembled.fault === undefined) return this.#answer(now, unnamed, assembled.reply, out);
    this.#messages.counters.bodiesRefused++;
    if (assembled.fault === 'body-too-large') this.#messages.counters.bodiesTooLong++;
    this.#refuse(now, unnamed, assembled.reply, assembled.fault, out);
  }

  #refuse(now: Now, exchange: Exchange, answer: Reply, fault: CoapFault, out: CoapOut): void {
    out.refused(exchange.peer, fault, answer.code);
    this.#answer(now, exchange, answer, out);
  }

  /** An answer of the protocol itself: doing the request again would end the same way. */
  #answer(now: Now, exchange: Exchange, answer: Reply, out: CoapOut): void {
    this.respond(now, exchange, answer, out, true);
  }
}

/** What is wrong with the options as such: nobody knows a critical one, or one is there twice (RFC 7252 §5.4). */
function optionFault(request: Request): { code: number; fault: CoapFault } | undefined {
  let previous = -1;
  for (const { number, value } of request.options.list) {
    const known = knownOption(number);
    const repeated = number === previous;
    previous = number;
    if (!isCritical(number)) continue;
    if (known === ProxyUri || known === ProxyScheme) {
      return { code: ResponseCode.ProxyingNotSupported, fault: 'proxying' };
    }
    const understood =
      known !== undefined && (!repeated || known.repeatable) && decodeOption(known, value) !== undefined;
    if (!understood) return { code: ResponseCode.BadOption, fault: 'critical-option' };
  }
  return undefined;
}

function piggyBacked(exchange: Exchange, answer: Reply) {
  return { messageId: exchange.messageId, token: exchange.token, ...answer };
}
