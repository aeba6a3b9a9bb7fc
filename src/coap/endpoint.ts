import type { Bytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import { earlier, type Instant, type Now } from '../base/time.ts';
import { ClientRole } from './clientRole.ts';
import { decodeMessage, type Empty, type Reply } from './codec/message.ts';
import type { CoapCounters } from './counters.ts';
import type { Exchange, Notification, RequestDraft, RequestHandle } from './exchange.ts';
import { MessageLayer, type Subject } from './messageLayer.ts';
import type { ObservationId } from './observations.ts';
import type { CoapOut } from './out.ts';
import { ServerRole } from './serverRole.ts';
import { type CoapOptions, defaultLimits } from './settings.ts';
import { defaultTransmission } from './transmission.ts';

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
  readonly counters: CoapCounters;

  readonly #messages: MessageLayer;
  readonly #server: ServerRole;
  readonly #client: ClientRole;

  constructor(options: CoapOptions) {
    const transmission = options.transmission ?? defaultTransmission;
    const limits = { ...defaultLimits, ...options.limits };
    this.#messages = new MessageLayer(options, limits, transmission);
    this.#server = new ServerRole(this.#messages, options, limits, transmission);
    this.#client = new ClientRole(this.#messages, options, limits, transmission);
    this.counters = this.#messages.counters;
  }

  /**
   * Takes one datagram. Whatever it holds, this neither throws nor keeps a view of it; but whoever was handed a request
   * may, until it is answered, so its bytes are given away.
   */
  receive(now: Now, peer: Peer, datagram: Bytes, out: CoapOut): void {
    const message = decodeMessage(datagram);
    switch (message.kind) {
      case 'request':
        return this.#server.receive(now, peer, message, out);
      case 'response':
        return this.#client.receive(now, peer, message, out);
      case 'empty':
        return this.#receiveEmpty(now, peer, message, out);
      case 'fault':
        this.counters.malformed++;
        out.refused(peer, message.reason, undefined);
        // A Confirmable message is rejected, the others are ignored (RFC 7252 §4.2, §4.3).
        if (message.reject !== undefined) this.#messages.reset(peer, message.reject, out);
    }
  }

  /**
   * Answers an exchange: piggy-backed if nothing was sent for it yet, else as a separate response (RFC 7252 §5.2).
   * `recognised`: whoever answers would notice a duplicate itself, so that this one may be forgotten early.
   */
  respond(now: Now, exchange: Exchange, answer: Reply, out: CoapOut, recognised = false): void {
    this.#server.respond(now, exchange, answer, out, recognised);
  }

  /** Tells the client to stop retransmitting: only where the answer waits for somebody else, never for the disk. */
  acknowledge(exchange: Exchange, out: CoapOut): void {
    this.#server.acknowledge(exchange, out);
  }

  /** Sends a notification on an observation that a peer has with us; `out.unobserved` tells if it does not want it. */
  notify(now: Now, exchange: Exchange, notification: Reply, confirmable: boolean, out: CoapOut): void {
    this.#server.notify(now, exchange, notification, confirmable, out);
  }

  /** Asks a peer. The answer, or the fault, comes with the same handle; `undefined` if there is no room for it. */
  request(now: Now, peer: Peer, draft: RequestDraft, out: CoapOut): RequestHandle | undefined {
    return this.#client.request(now, peer, draft, out);
  }

  /** Forgets a request or an observation. A notification that comes later is rejected, which ends it at the peer too. */
  cancel(now: Now, handle: RequestHandle, out: CoapOut): void {
    this.#client.cancel(now, handle, out);
  }

  /** Asks whether a peer is there (RFC 7252 §4.3, a CoAP ping): `out.ponged` if it is, silence if it is not. */
  ping(now: Now, peer: Peer, at: Remote, out: CoapOut): void {
    this.#messages.ping(now, peer, at, out);
  }

  /** Ends an observation of ours with Observe 1 (RFC 7641 §3.6): the answer, or the fault, is the last of its handle. */
  unobserve(now: Now, handle: RequestHandle, out: CoapOut): void {
    this.#client.unobserve(now, handle, out);
  }

  /**
   * A token for a standing observation: like that of a request, and never one that a request has, since it may come
   * back for as long as the observation lasts.
   */
  newObservationToken(peer: Peer): Bytes {
    return this.#client.newObservationToken(peer);
  }

  /** Goes on with a standing observation that an earlier process made with this peer. */
  restoreStanding(peer: Peer, token: Bytes, id: ObservationId): void {
    this.#client.restoreStanding(peer, token, id);
  }

  /** Forgets a standing observation. A notification that comes later is rejected, which ends it at the peer too. */
  forgetStanding(peer: Peer, token: Bytes): void {
    this.#client.forgetStanding(peer, token);
  }

  /** Forgets those of a peer that are meant, by their numbers. */
  forgetObservations(peer: Peer, isMeant: (id: ObservationId) => boolean): void {
    this.#client.forgetObservations(peer, isMeant);
  }

  /** What a notification said is stored: a Confirmable one is acknowledged. */
  confirm(notification: Notification, out: CoapOut): void {
    this.#client.confirm(notification, out);
  }

  /** Nobody wants a notification any more: RST ends its observation at the peer too (RFC 7641 §3.6). */
  reject(notification: Notification, out: CoapOut): void {
    this.#client.reject(notification, out);
  }

  /** A notification could not be stored: it is as if it had not come, so that its retransmission is taken. */
  forget(notification: Notification): void {
    this.#client.forget(notification);
  }

  /** Forgets a peer: its session ended. What was asked of it fails as `peer-gone`. */
  drop(peer: Peer, out: CoapOut): void {
    this.#server.drop(peer);
    this.#client.drop(peer, out);
  }

  expire(now: Now, out: CoapOut): void {
    this.#server.expire(now);
    const newer = (subject: Subject) => this.#server.newer(now, subject);
    this.#messages.expire(now, subject => this.#gaveUp(now, subject, out), newer, out);
    this.#client.expire(now, out);
  }

  /** When `expire` has something to do; `undefined` while nothing is under way. */
  nextExpiry(): Instant | undefined {
    return earlier(this.#messages.nextExpiry(), earlier(this.#server.nextExpiry(), this.#client.nextExpiry()));
  }

  /** How much is kept at the moment, for metrics and for the test that nothing is left over. */
  sizes(): { exchanges: number; bodies: number; transmissions: number; requests: number; observations: number } {
    const { seen, outbox } = this.#messages;
    return {
      exchanges: seen.size,
      bodies: this.#server.bodies,
      transmissions: outbox.size,
      ...this.#client.sizes(),
    };
  }

  #receiveEmpty(now: Now, peer: Peer, message: Empty, out: CoapOut): void {
    // A ping (RFC 7252 §4.3).
    if (message.type === 'CON') return void this.#messages.reset(peer, message.messageId, out);
    const subject = this.#messages.outbox.take(peer, message.messageId);
    // RST is the answer to a ping; from some stacks it is an ACK.
    if (subject?.kind === 'ping') return out.ponged(peer, subject.at);
    if (message.type === 'ACK') {
      if (subject?.kind === 'notification') this.#server.acknowledged(now, subject.exchange, out);
      return;
    }
    if (subject?.kind === 'notification') out.unobserved(subject.exchange);
    if (subject?.kind === 'request') this.#client.failed(now, subject.handle, 'reset', out);
  }

  #gaveUp(now: Now, subject: Subject, out: CoapOut): void {
    if (subject.kind === 'notification') out.unobserved(subject.exchange);
    if (subject.kind === 'request') this.#client.failed(now, subject.handle, 'timeout', out);
  }
}
