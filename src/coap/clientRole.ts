import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import type { Instant, Milliseconds, Now } from '../base/time.ts';
import { Writer } from '../base/writer.ts';
import { blockOf } from './blockwise.ts';
import { encodeMessage, type Response } from './codec/message.ts';
import { Block2, Observe } from './codec/option.ts';
import type { Notification, RequestDraft, RequestFault, RequestHandle } from './exchange.ts';
import type { MessageLayer } from './messageLayer.ts';
import { type ObservationId, Observations, observationTokenLength } from './observations.ts';
import type { CoapOut } from './out.ts';
import { isUnreadable, type PendingRequest, Requests, type Step } from './requests.ts';
import type { CoapLimits, CoapOptions } from './settings.ts';
import { maxTransmitWait, type TransmissionParameters } from './transmission.ts';

/** An endpoint in the role of the client (RFC 7252 §5.1): our own requests and observations, and what peers answer. */
export class ClientRole {
  readonly #messages: MessageLayer;
  readonly #random: RandomSource;
  readonly #sequenceOf: (peer: Peer) => number | undefined;
  readonly #patience: Milliseconds;
  readonly #requests: Requests;
  readonly #observations: Observations;
  #tokens = 0;

  constructor(messages: MessageLayer, options: CoapOptions, limits: CoapLimits, transmission: TransmissionParameters) {
    this.#messages = messages;
    this.#random = options.random;
    this.#sequenceOf = options.sequenceOf ?? (() => undefined);
    this.#patience = maxTransmitWait(transmission);
    this.#requests = new Requests(
      { ...limits, nstart: transmission.nstart },
      peer => this.#newToken(peer),
      peer => messages.blockSizeOf(peer),
    );
    this.#observations = new Observations(limits.maxObservations);
  }

  receive(now: Now, peer: Peer, response: Response, out: CoapOut): void {
    const request = this.#requests.find(peer, response.token);
    if (response.type === 'ACK') {
      // A piggy-backed response must match by message ID too (RFC 7252 §5.3.2).
      if (request === undefined || request.messageId !== response.messageId) return;
      if (this.#messages.outbox.take(peer, response.messageId) === undefined) return;
      return this.#follow(now, request, this.#requests.answered(now.instant, request, response), out);
    }
    if (request === undefined) {
      const observation = this.#observations.id(peer, response.token);
      if (observation !== undefined) return this.#receiveNotification(now, peer, response, observation, out);
      this.#messages.counters.unmatched++;
      // Nobody waits for it: RST also ends an observation that we forgot (RFC 7641 §3.6).
      this.#messages.reset(peer, response.messageId, out);
      return;
    }
    if (this.#messages.isDuplicate(peer, response.messageId, response.type === 'CON', out)) return;
    this.#messages.seen.open(now.instant, peer, response.messageId);
    if (isUnreadable(response)) {
      this.#reject(peer, response.messageId, out);
      this.#messages.recall(peer, request.messageId);
      return this.#fail(now, request, 'bad-response', out);
    }
    this.#messages.acknowledge(peer, response.messageId, response.type === 'CON', out);
    const step = this.#requests.answered(now.instant, request, response);
    // A separate response acknowledges the request, even if it overtook the empty ACK (RFC 7252 §5.2.2).
    if (step.kind !== 'stale') this.#messages.recall(peer, request.messageId);
    this.#follow(now, request, step, out);
  }

  /** Asks a peer. The answer, or the fault, comes with the same handle; `undefined` if there is no room for it. */
  request(now: Now, peer: Peer, draft: RequestDraft, out: CoapOut): RequestHandle | undefined {
    const request = this.#requests.add(peer, draft);
    if (request === undefined) {
      this.#messages.counters.requestsRefused++;
      return undefined;
    }
    this.#sendOrWait(now, request, out);
    return request.handle;
  }

  /** Forgets a request or an observation. A notification that comes later is rejected, which ends it at the peer too. */
  cancel(now: Now, handle: RequestHandle, out: CoapOut): void {
    const request = this.#requests.get(handle);
    if (request === undefined) return;
    this.#messages.recall(request.peer, request.messageId);
    this.#finish(now, request, out);
  }

  /** Ends an observation of ours with Observe 1 (RFC 7641 §3.6): the answer, or the fault, is the last of its handle. */
  unobserve(now: Now, handle: RequestHandle, out: CoapOut): void {
    const request = this.#requests.get(handle);
    if (request === undefined || request.leaving) return;
    this.#messages.recall(request.peer, request.messageId);
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

  /** Forgets those of a peer that are meant, by their numbers. */
  forgetObservations(peer: Peer, isMeant: (id: ObservationId) => boolean): void {
    this.#observations.forget(peer, isMeant);
  }

  /** What a notification said is stored: a Confirmable one is acknowledged. */
  confirm({ peer, messageId, confirmable }: Notification, out: CoapOut): void {
    this.#messages.acknowledge(peer, messageId, confirmable, out);
  }

  /** Nobody wants a notification any more: RST ends its observation at the peer too (RFC 7641 §3.6). */
  reject({ peer, messageId, token }: Notification, out: CoapOut): void {
    this.#observations.delete(peer, token);
    this.#reject(peer, messageId, out);
  }

  /** A notification could not be stored: it is as if it had not come, so that its retransmission is taken. */
  forget({ peer, messageId, token }: Notification): void {
    this.#messages.seen.forget(peer, messageId);
    this.#observations.forgetNewest(peer, token);
  }

  /** The message of a request was rejected, or sent to no avail. */
  failed(now: Now, handle: RequestHandle, fault: RequestFault, out: CoapOut): void {
    const request = this.#requests.get(handle);
    if (request !== undefined) this.#fail(now, request, fault, out);
  }

  /** What was asked of the peer fails as `peer-gone`. */
  drop(peer: Peer, out: CoapOut): void {
    this.#observations.drop(peer);
    for (const request of this.#requests.of(peer)) {
      this.#messages.recall(peer, request.messageId);
      this.#requests.remove(request);
      out.failed(request.handle, 'peer-gone');
    }
  }

  expire(now: Now, out: CoapOut): void {
    for (let due = this.#requests.takeDue(now.instant); due !== undefined; due = this.#requests.takeDue(now.instant)) {
      this.#messages.recall(due.peer, due.messageId);
      this.#fail(now, due, 'timeout', out);
    }
  }

  nextExpiry(): Instant | undefined {
    return this.#requests.nextExpiry();
  }

  /** How much is kept at the moment. */
  sizes(): { requests: number; observations: number } {
    return { requests: this.#requests.size, observations: this.#observations.size };
  }

  /** What is new is handed on, and acknowledged by whoever stores it; what is old is not. */
  #receiveNotification(now: Now, peer: Peer, response: Response, observation: ObservationId, out: CoapOut): void {
    const { messageId } = response;
    const token = response.token.slice();
    const confirmable = response.type === 'CON';
    if (this.#messages.isDuplicate(peer, messageId, confirmable, out)) return;
    // Without room to remember it, it is not taken: a Confirmable one comes again.
    if (!this.#messages.seen.open(now.instant, peer, messageId)) {
      this.#messages.counters.exchangesRefused++;
      return;
    }
    const sequence = response.options.get(Observe);
    if (sequence !== undefined && !this.#observations.isFresh(now.instant, peer, token, sequence)) {
      this.#messages.counters.stale++;
      return this.#messages.acknowledge(peer, messageId, confirmable, out);
    }
    const unreadable = isUnreadable(response);
    const lasts = !unreadable && sequence !== undefined && response.code >>> 5 === 2;
    if (!lasts) this.#observations.delete(peer, token);
    const block2 = blockOf(response.options, Block2);
    const partial = block2 !== undefined && (block2 === 'invalid' || block2.more);
    out.notified({ peer, messageId, confirmable, observation, token, response, lasts, partial, unreadable });
  }

  #reject(peer: Peer, messageId: number, out: CoapOut): void {
    this.#messages.seen.answered(peer, messageId, this.#messages.reset(peer, messageId, out), true);
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
    const message = this.#requests.messageFor(request, this.#messages.outbox.nextMessageId(now.instant, peer));
    const bytes = encodeMessage(message);
    const subject = { kind: 'request', handle: request.handle } as const;
    if (message.type === 'CON') this.#messages.outbox.add(now.instant, peer, message.messageId, bytes, subject);
    else this.#messages.outbox.watch(now.instant, peer, message.messageId, subject);
    this.#requests.waitFor(now.instant, request, this.#patience);
    out.transmit(peer, bytes);
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
    // A copy of its own, for an observation keeps it.
    return new Writer(tokenLength).u48(sequence).u16(this.#tokens).finish().slice();
  }
}

const tokenLength = observationTokenLength;
/** A bit of the first byte that only tokens of standing observations have: sequence numbers do not come that far. */
const ofObservations = 0x80;
