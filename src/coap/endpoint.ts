import { type Bytes, noBytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import type { Instant, Milliseconds, Now } from '../base/time.ts';
import { Writer } from '../base/writer.ts';
import { BodyAssembly, blockOf, sliceReply } from './blockwise.ts';
import { type BlockSize, encodeBlock } from './codec/block.ts';
import { isFetching, isIdempotent, ResponseCode } from './codec/code.ts';
import {
  decodeMessage,
  type Empty,
  encodeMessage,
  type Reply,
  type Request,
  type Response,
  reply,
} from './codec/message.ts';
import {
  Block1,
  Block2,
  decodeOption,
  isCritical,
  knownOption,
  Observe,
  ProxyScheme,
  ProxyUri,
} from './codec/option.ts';
import { Deduplication } from './deduplication.ts';
import type { Exchange, Notification, RequestDraft, RequestFault, RequestHandle } from './exchange.ts';
import type { CoapFault } from './fault.ts';
import { type ObservationId, Observations, observationTokenLength } from './observations.ts';
import { Outbox } from './outbox.ts';
import { type PendingRequest, Requests, type Step } from './requests.ts';
import { defaultTransmission, exchangeLifetime, maxTransmitWait, type TransmissionParameters } from './transmission.ts';

/**
 * CoAP over datagrams (RFC 7252, 7641, 7959): messages in, messages and requests out, for all peers of one server or
 * for the one peer of a device. It knows no sockets, no clock and no DTLS, and it never answers a request by itself
 * unless the protocol does: whoever is handed a request owes the answer, and as long as it is owed duplicates are
 * dropped in silence. An empty ACK would end the client's retransmission, and with it the safety net under a crash, so
 * none is sent unless `acknowledge` asks for it.
 *
 * Call `receive` for each datagram, `expire` when `nextExpiry` has come; `respond`, once, for each exchange handed out.
 */
export class CoapEndpoint {
  readonly counters: CoapCounters = newCounters();

  readonly #random: RandomSource;
  readonly #sequenceOf: (peer: Peer) => number | undefined;
  readonly #mayHoldBody: (peer: Peer) => boolean;
  readonly #limits: CoapLimits;
  readonly #patience: Milliseconds;
  readonly #seen: Deduplication;
  readonly #bodies: BodyAssembly;
  readonly #outbox: Outbox<Subject>;
  readonly #requests: Requests;
  readonly #observations: Observations;
  #tokens = 0;

  constructor(options: CoapOptions) {
    const transmission = options.transmission ?? defaultTransmission;
    this.#random = options.random;
    this.#sequenceOf = options.sequenceOf ?? (() => undefined);
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#patience = maxTransmitWait(transmission);
    const lifetime = exchangeLifetime(transmission);
    this.#seen = new Deduplication(
      lifetime,
      this.#limits.maxExchanges,
      Math.floor(options.random.fraction() * 2 ** 32),
    );
    this.#bodies = new BodyAssembly(this.#limits.maxBody, this.#limits.maxBodies, this.#patience, () => {
      this.counters.bodiesDisplaced++;
    });
    // Not from 0 on with every new peer: some devices take the first messages of a new session for duplicates.
    const firstId = (peer: Peer) => {
      const sequence = this.#sequenceOf(peer);
      return sequence === undefined ? Math.floor(options.random.fraction() * 0x1_0000) : sequence + peer * idStride;
    };
    this.#outbox = new Outbox(transmission, options.random, lifetime, firstId);
    const limits = { ...this.#limits, nstart: transmission.nstart };
    this.#requests = new Requests(limits, peer => this.#newToken(peer));
    this.#observations = new Observations(this.#limits.maxObservations);
    this.#mayHoldBody = options.mayHoldBody ?? (() => true);
  }

  /** Takes one datagram. Whatever it holds, this neither throws nor keeps a view of it. */
  receive(now: Now, peer: Peer, datagram: Bytes, out: CoapOut): void {
    const message = decodeMessage(datagram);
    switch (message.kind) {
      case 'request':
        return this.#receiveRequest(now, peer, message, out);
      case 'response':
        return this.#receiveResponse(now, peer, message, out);
      case 'empty':
        return this.#receiveEmpty(now, peer, message, out);
      case 'fault':
        this.counters.malformed++;
        out.refused(peer, message.reason, undefined);
        // A Confirmable message is rejected, the others are ignored (RFC 7252 §4.2, §4.3).
        if (message.reject !== undefined) this.#reject(peer, message.reject, out);
    }
  }

  /**
   * Answers an exchange: piggy-backed if nothing was sent for it yet, else as a separate response (RFC 7252 §5.2).
   * `recognised`: whoever answers would notice a duplicate itself, so that this one may be forgotten early.
   */
  respond(now: Now, exchange: Exchange, answer: Reply, out: CoapOut, recognised = false): void {
    let sliced = sliceReply(answer, exchange.block2, this.#limits.blockSize);
    if (exchange.block1 !== undefined) {
      sliced = { ...sliced, options: sliced.options.with(Block1, encodeBlock({ ...exchange.block1, more: false })) };
    }
    const { peer } = exchange;
    if (exchange.confirmable && !exchange.acknowledged) {
      const message = encodeMessage({ kind: 'response', type: 'ACK', ...piggyBacked(exchange, sliced) });
      this.#seen.answered(peer, exchange.messageId, message, recognised || isIdempotent(exchange.code));
      out.transmit(peer, message);
      return;
    }
    const messageId = this.#outbox.nextMessageId(now.instant, peer);
    const type = exchange.confirmable ? 'CON' : 'NON';
    const message = encodeMessage({ kind: 'response', type, messageId, token: exchange.token, ...sliced });
    if (type === 'CON') this.#outbox.add(now.instant, peer, messageId, message, { kind: 'response' });
    else this.#seen.answered(peer, exchange.messageId, message, recognised || isIdempotent(exchange.code));
    out.transmit(peer, message);
  }

  /** Tells the client to stop retransmitting: only where the answer waits for somebody else, never for the disk. */
  acknowledge(exchange: Exchange, out: CoapOut): void {
    if (!exchange.confirmable || exchange.acknowledged) return;
    exchange.acknowledged = true;
    const message = encodeMessage({ kind: 'empty', type: 'ACK', messageId: exchange.messageId });
    this.#seen.answered(exchange.peer, exchange.messageId, message, isIdempotent(exchange.code));
    out.transmit(exchange.peer, message);
  }

  /** Sends a notification on an observation that a peer has with us; `out.unobserved` tells if it does not want it. */
  notify(now: Now, exchange: Exchange, notification: Reply, confirmable: boolean, out: CoapOut): void {
    const { peer, token, notified } = exchange;
    const messageId = this.#outbox.nextMessageId(now.instant, peer);
    const { code, options, payload } = sliceReply(notification, exchange.block2, this.#limits.blockSize);
    const type = confirmable ? 'CON' : 'NON';
    const message = encodeMessage({ kind: 'response', type, messageId, token, code, options, payload });
    exchange.notified = messageId;
    // Only the newest state is worth sending again, so that at most one notification is kept for an observation.
    const superseded =
      confirmable && notified !== undefined && this.#outbox.supersede(peer, notified, messageId, message);
    if (!superseded) {
      this.#recall(peer, notified);
      const subject = { kind: 'notification', exchange } as const;
      if (confirmable) this.#outbox.add(now.instant, peer, messageId, message, subject);
      else this.#outbox.watch(now.instant, peer, messageId, subject);
    }
    out.transmit(peer, message);
  }

  /** Asks a peer. The answer, or the fault, comes with the same handle; `undefined` if there is no room for it. */
  request(now: Now, peer: Peer, draft: RequestDraft, out: CoapOut): RequestHandle | undefined {
    const request = this.#requests.add(peer, draft);
    if (request === undefined) {
      this.counters.requestsRefused++;
      return undefined;
    }
    this.#sendOrWait(now, request, out);
    return request.handle;
  }

  /** Forgets a request or an observation. A notification that comes later is rejected, which ends it at the peer too. */
  cancel(now: Now, handle: RequestHandle, out: CoapOut): void {
    const request = this.#requests.get(handle);
    if (request === undefined) return;
    this.#recall(request.peer, request.messageId);
    this.#finish(now, request, out);
  }

  /** Asks whether a peer is there (RFC 7252 §4.3, a CoAP ping): `out.ponged` if it is, silence if it is not. */
  ping(now: Now, peer: Peer, out: CoapOut): void {
    const messageId = this.#outbox.nextMessageId(now.instant, peer);
    const message = encodeMessage({ kind: 'empty', type: 'CON', messageId });
    this.#outbox.add(now.instant, peer, messageId, message, { kind: 'ping' });
    out.transmit(peer, message);
  }

  /** Ends an observation of ours with Observe 1 (RFC 7641 §3.6): the answer, or the fault, is the last of its handle. */
  unobserve(now: Now, handle: RequestHandle, out: CoapOut): void {
    const request = this.#requests.get(handle);
    if (request === undefined || request.leaving) return;
    this.#recall(request.peer, request.messageId);
    this.#requests.leave(request);
    this.#sendOrWait(now, request, out);
  }

  /**
   * A token for a standing observation: like that of a request, and never one that a request has, since it may come
   * back for as long as the observation lasts.
   */
  newObservationToken(peer: Peer): Bytes {
    const token = this.#newToken(peer);
    token[0]! |= ofObservations;
    return token;
  }

  /** Goes on with a standing observation that an earlier process made with this peer. */
  restoreStanding(peer: Peer, token: Bytes, id: ObservationId): void {
    this.#observations.add(peer, token, id, undefined);
  }

  /** Forgets a standing observation. A notification that comes later is rejected, which ends it at the peer too. */
  forgetStanding(peer: Peer, token: Bytes): void {
    this.#observations.delete(peer, token);
  }

  /** What a notification said is stored: a Confirmable one is acknowledged. */
  confirm({ peer, messageId, confirmable }: Notification, out: CoapOut): void {
    this.#acknowledged(peer, messageId, confirmable, out);
  }

  /** Nobody wants a notification any more: RST ends its observation at the peer too (RFC 7641 §3.6). */
  reject({ peer, messageId, token }: Notification, out: CoapOut): void {
    this.#observations.delete(peer, token);
    const reset = encodeMessage({ kind: 'empty', type: 'RST', messageId });
    this.#seen.answered(peer, messageId, reset, true);
    out.transmit(peer, reset);
  }

  /** A notification could not be stored: it is as if it had not come, so that its retransmission is taken. */
  forget({ peer, messageId, token }: Notification): void {
    this.#seen.forget(peer, messageId);
    this.#observations.forgetNewest(peer, token);
  }

  /** Forgets a peer: its session ended. What was asked of it fails as `peer-gone`. */
  drop(peer: Peer, out: CoapOut): void {
    this.#bodies.drop(peer);
    this.#observations.drop(peer);
    for (const request of this.#requests.of(peer)) {
      this.#recall(peer, request.messageId);
      this.#requests.remove(request);
      out.failed(request.handle, 'peer-gone');
    }
  }

  expire(now: Now, out: CoapOut): void {
    this.#seen.expire(now.instant);
    this.#bodies.expire(now.instant);
    this.#outbox.expire(
      now.instant,
      (peer, message) => {
        this.counters.retransmissions++;
        out.transmit(peer, message);
      },
      subject => this.#gaveUp(now, subject, out),
    );
    for (let due = this.#requests.takeDue(now.instant); due !== undefined; due = this.#requests.takeDue(now.instant)) {
      this.#recall(due.peer, due.messageId);
      this.#fail(now, due, 'timeout', out);
    }
  }

  /** When `expire` has something to do; `undefined` while nothing is under way. */
  nextExpiry(): Instant | undefined {
    let next: Instant | undefined;
    for (const at of [
      this.#seen.nextExpiry(),
      this.#bodies.nextExpiry(),
      this.#outbox.nextExpiry(),
      this.#requests.nextExpiry(),
    ]) {
      if (at !== undefined && (next === undefined || at < next)) next = at;
    }
    return next;
  }

  /** How much is kept at the moment, for metrics and for the test that nothing is left over. */
  sizes(): { exchanges: number; bodies: number; transmissions: number; requests: number; observations: number } {
    return {
      exchanges: this.#seen.size,
      bodies: this.#bodies.size,
      transmissions: this.#outbox.size,
      requests: this.#requests.size,
      observations: this.#observations.size,
    };
  }

  #receiveRequest(now: Now, peer: Peer, request: Request, out: CoapOut): void {
    const confirmable = request.type === 'CON';
    const seen = this.#seen.look(peer, request.messageId);
    if (seen !== 'new') {
      this.counters.duplicates++;
      // A duplicate while the answer is owed: it will go out once, so this one is dropped.
      if (seen !== 'pending' && confirmable) out.transmit(peer, seen);
      return;
    }
    const remembered = this.#seen.open(now.instant, peer, request.messageId);
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
      this.counters.exchangesRefused++;
      return this.#refuse(now, exchange, reply(ResponseCode.ServiceUnavailable), 'exchanges-full', out);
    }
    const refused = optionFault(request);
    if (refused !== undefined) {
      this.counters.badOptions++;
      // A Non-confirmable request with an option that nobody understands is ignored (RFC 7252 §5.4.1).
      if (confirmable) return this.#refuse(now, exchange, reply(refused.code), refused.fault, out);
      return out.refused(peer, refused.fault, undefined);
    }
    if (block1 === 'invalid' || block2 === 'invalid') {
      this.counters.bodiesRefused++;
      return this.#refuse(now, exchange, reply(ResponseCode.BadRequest), 'block', out);
    }
    // The rest of a long answer is cut from a new one, and what changes something must not be done again for that.
    if (block2 !== undefined && block2.number > 0 && !isFetching(request.code)) {
      this.counters.bodiesRefused++;
      return this.#refuse(now, exchange, reply(ResponseCode.RequestEntityIncomplete), 'body-incomplete', out);
    }
    this.#receiveBody(now, exchange, request, out);
  }

  #receiveBody(now: Now, exchange: Exchange, request: Request, out: CoapOut): void {
    const { peer, block1 } = exchange;
    // What a block is answered with carries its own Block1, so the exchange must not add another.
    const unnamed = block1 === undefined ? exchange : { ...exchange, block1: undefined };
    if (block1 === undefined && request.payload.length <= this.#limits.maxBody) return out.request(exchange, request);
    if (block1?.more === true && !this.#mayHoldBody(peer)) {
      this.counters.bodiesRefused++;
      return this.#refuse(now, unnamed, reply(ResponseCode.Unauthorized), 'body-unproved', out);
    }
    const assembled =
      block1 === undefined ? this.#bodies.tooLarge() : this.#bodies.add(now.instant, peer, request, block1);
    if ('body' in assembled) return out.request(exchange, { ...request, payload: assembled.body });
    if (assembled.fault === undefined) return this.#answer(now, unnamed, assembled.reply, out);
    this.counters.bodiesRefused++;
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

  #receiveResponse(now: Now, peer: Peer, response: Response, out: CoapOut): void {
    const request = this.#requests.find(peer, response.token);
    if (response.type === 'ACK') {
      // A piggy-backed response must match by message ID too (RFC 7252 §5.3.2).
      if (request === undefined || request.messageId !== response.messageId) return;
      if (this.#outbox.take(peer, response.messageId) === undefined) return;
      return this.#follow(now, request, this.#requests.answered(now.instant, request, response), out);
    }
    if (request === undefined) {
      const observation = this.#observations.id(peer, response.token);
      if (observation !== undefined) return this.#receiveNotification(now, peer, response, observation, out);
      this.counters.unmatched++;
      // Nobody waits for it: RST also ends an observation that we forgot (RFC 7641 §3.6).
      this.#reject(peer, response.messageId, out);
      return;
    }
    const seen = this.#seen.look(peer, response.messageId);
    if (seen !== 'new') {
      this.counters.duplicates++;
      if (seen !== 'pending' && response.type === 'CON') out.transmit(peer, seen);
      return;
    }
    this.#seen.open(now.instant, peer, response.messageId);
    this.#acknowledged(peer, response.messageId, response.type === 'CON', out);
    const step = this.#requests.answered(now.instant, request, response);
    // A separate response acknowledges the request, even if it overtook the empty ACK (RFC 7252 §5.2.2).
    if (step.kind !== 'stale') this.#recall(peer, request.messageId);
    this.#follow(now, request, step, out);
  }

  /** What is new is handed on, and acknowledged by whoever stores it; what is old is not. */
  #receiveNotification(now: Now, peer: Peer, response: Response, observation: ObservationId, out: CoapOut): void {
    const { messageId } = response;
    const token = response.token.slice();
    const confirmable = response.type === 'CON';
    const seen = this.#seen.look(peer, messageId);
    if (seen !== 'new') {
      this.counters.duplicates++;
      if (seen !== 'pending' && confirmable) out.transmit(peer, seen);
      return;
    }
    // Without room to remember it, it is not taken: a Confirmable one comes again.
    if (!this.#seen.open(now.instant, peer, messageId)) {
      this.counters.exchangesRefused++;
      return;
    }
    const sequence = response.options.get(Observe);
    if (sequence !== undefined && !this.#observations.isFresh(now.instant, peer, token, sequence)) {
      this.counters.stale++;
      return this.#acknowledged(peer, messageId, confirmable, out);
    }
    const lasts = sequence !== undefined && response.code >>> 5 === 2;
    if (!lasts) this.#observations.delete(peer, token);
    const block2 = blockOf(response.options, Block2);
    const partial = block2 !== undefined && (block2 === 'invalid' || block2.more);
    out.notified({ peer, messageId, confirmable, observation, token, response, lasts, partial });
  }

  /** A response that needs no more than this: duplicates are known for what they are, and may be forgotten early. */
  #acknowledged(peer: Peer, messageId: number, confirmable: boolean, out: CoapOut): void {
    const ack = confirmable ? encodeMessage({ kind: 'empty', type: 'ACK', messageId }) : noBytes;
    this.#seen.answered(peer, messageId, ack, true);
    if (confirmable) out.transmit(peer, ack);
  }

  #receiveEmpty(now: Now, peer: Peer, message: Empty, out: CoapOut): void {
    // A ping (RFC 7252 §4.3).
    if (message.type === 'CON') return this.#reject(peer, message.messageId, out);
    const subject = this.#outbox.take(peer, message.messageId);
    // RST is the answer to a ping; from some stacks it is an ACK.
    if (subject?.kind === 'ping') return out.ponged(peer);
    if (subject === undefined || message.type === 'ACK') return;
    if (subject.kind === 'notification') out.unobserved(subject.exchange);
    if (subject.kind === 'request') {
      const request = this.#requests.get(subject.handle);
      if (request !== undefined) this.#fail(now, request, 'reset', out);
    }
  }

  #follow(now: Now, request: PendingRequest, step: Step, out: CoapOut): void {
    switch (step.kind) {
      case 'send':
        return this.#sendOrWait(now, request, out);
      case 'stale':
        return;
      case 'failed':
        return this.#fail(now, request, step.fault, out);
      case 'done': {
        const { peer, draft, newest } = request;
        const { standing } = draft;
        if (step.lasts && standing === undefined) this.#sendNext(now, request, out);
        else this.#finish(now, request, out);
        const lasts =
          step.lasts && (standing === undefined || this.#observations.add(peer, standing.token, standing.id, newest));
        out.response(request.handle, step.response, lasts);
      }
    }
  }

  #sendOrWait(now: Now, request: PendingRequest, out: CoapOut): void {
    if (this.#requests.claim(request)) this.#send(now, request, out);
  }

  #send(now: Now, request: PendingRequest, out: CoapOut): void {
    const { peer } = request;
    const message = this.#requests.messageFor(request, this.#outbox.nextMessageId(now.instant, peer));
    const bytes = encodeMessage(message);
    const subject = { kind: 'request', handle: request.handle } as const;
    if (message.type === 'CON') this.#outbox.add(now.instant, peer, message.messageId, bytes, subject);
    else this.#outbox.watch(now.instant, peer, message.messageId, subject);
    this.#requests.waitFor(now.instant, request, this.#patience);
    out.transmit(peer, bytes);
  }

  #gaveUp(now: Now, subject: Subject, out: CoapOut): void {
    if (subject.kind === 'notification') return out.unobserved(subject.exchange);
    if (subject.kind !== 'request') return;
    const request = this.#requests.get(subject.handle);
    if (request !== undefined) this.#fail(now, request, 'timeout', out);
  }

  #fail(now: Now, request: PendingRequest, fault: RequestFault, out: CoapOut): void {
    this.#finish(now, request, out);
    out.failed(request.handle, fault);
  }

  #finish(now: Now, request: PendingRequest, out: CoapOut): void {
    this.#sendNext(now, request, out);
    this.#requests.remove(request);
  }

  #sendNext(now: Now, request: PendingRequest, out: CoapOut): void {
    const next = this.#requests.release(request);
    if (next !== undefined) this.#send(now, next, out);
  }

  /**
   * One that was never used with this peer, not before a restart either, so that no late answer matches a request that
   * it does not belong to (RFC 9175 §4.2): the number that does not go back tells the runs apart, the counter what is
   * asked at one number. Who has no such number gets one that nobody off the path guesses (RFC 7252 §5.3.1).
   */
  #newToken(peer: Peer): Bytes {
    const sequence = this.#sequenceOf(peer);
    if (sequence === undefined) {
      const token = this.#random.bytes(tokenLength);
      token[0]! &= ~ofObservations;
      return token;
    }
    this.#tokens = (this.#tokens + 1) & 0xffff;
    return new Writer(tokenLength).u48(sequence).u16(this.#tokens).finish();
  }

  /** What was sent under this message ID is not sent again. */
  #recall(peer: Peer, messageId: number | undefined): void {
    if (messageId !== undefined) this.#outbox.take(peer, messageId);
  }

  #reject(peer: Peer, messageId: number, out: CoapOut): void {
    out.transmit(peer, encodeMessage({ kind: 'empty', type: 'RST', messageId }));
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

/** Where the endpoint writes what has to happen next. Views handed out are valid only during the call. */
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
  /** The peer answered a ping. */
  ponged(peer: Peer): void;
  /** CoAP itself refused something: with `code`, or with RST or silence. For log and counters. */
  refused(peer: Peer, fault: CoapFault, code: number | undefined): void;
}

export interface CoapOptions {
  readonly random: RandomSource;
  /**
   * A number that goes up with each message to this peer and never goes back, over restarts too: message IDs and tokens
   * begin there, so that those from before a restart do not come again. `undefined` for peers that have none.
   */
  readonly sequenceOf?: (peer: Peer) => number | undefined;
  readonly transmission?: TransmissionParameters;
  readonly limits?: Partial<CoapLimits>;
  /** Whether a body may be held half received for this peer: not if nobody proved its address. By default it may. */
  readonly mayHoldBody?: (peer: Peer) => boolean;
}

export interface CoapLimits {
  /** How many messages are remembered for their duplicates. */
  readonly maxExchanges: number;
  /** How long a request's or an answer's body may be, in bytes. */
  readonly maxBody: number;
  /** How many bodies may be half received. */
  readonly maxBodies: number;
  readonly blockSize: BlockSize;
  /** How many requests and observations of ours may be under way, with all peers. */
  readonly maxRequests: number;
  readonly maxQueuedForPeer: number;
  /** How many standing observations there may be, with all peers. */
  readonly maxObservations: number;
}

/** What was dropped or refused, by reason. */
export interface CoapCounters {
  malformed: number;
  duplicates: number;
  badOptions: number;
  unmatched: number;
  /** Notifications that were overtaken by a newer one. */
  stale: number;
  exchangesRefused: number;
  /** Requests whose blocks do not fit, or whose body is too long. */
  bodiesRefused: number;
  /** Half-received bodies that made room for another one. */
  bodiesDisplaced: number;
  requestsRefused: number;
  retransmissions: number;
}

type Subject =
  | { readonly kind: 'request'; readonly handle: RequestHandle }
  | { readonly kind: 'response' }
  | { readonly kind: 'ping' }
  | { readonly kind: 'notification'; readonly exchange: Exchange };

function piggyBacked(exchange: Exchange, answer: Reply) {
  return { messageId: exchange.messageId, token: exchange.token, ...answer };
}

function newCounters(): CoapCounters {
  return {
    malformed: 0,
    duplicates: 0,
    badOptions: 0,
    unmatched: 0,
    stale: 0,
    exchangesRefused: 0,
    bodiesRefused: 0,
    bodiesDisplaced: 0,
    requestsRefused: 0,
    retransmissions: 0,
  };
}

export const defaultLimits: CoapLimits = {
  maxExchanges: 65_536,
  maxBody: 4096,
  maxBodies: 1024,
  blockSize: 1024,
  maxRequests: 10_000,
  maxQueuedForPeer: 32,
  maxObservations: 1_000_000,
};

/** Far from a divisor of the space of message IDs, so that neighbouring peers begin far from each other. */
const idStride = 0x9e37;
const tokenLength = observationTokenLength;
/** A bit of the first byte that only tokens of standing observations have: sequence numbers do not come that far. */
const ofObservations = 0x80;
