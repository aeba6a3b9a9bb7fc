import type { Bytes } from '../base/bytes.ts';
import { type Peer, type Remote, sameRemote } from '../base/peer.ts';
import { after, type Instant } from '../base/time.ts';
import type { Request, Response } from '../coap/codec/message.ts';
import { Echo } from '../coap/codec/option.ts';
import type { Exchange, Notification, RequestDraft, RequestFault, RequestHandle } from '../coap/exchange.ts';
import type { CoapFault } from '../coap/fault.ts';
import type { CloseReason, HandshakeReport } from '../dtls/fault.ts';
import type { Session } from '../dtls/out.ts';
import type { Owner } from '../dtls/psk.ts';
import { mayResumeAfter } from '../dtls/resumption.ts';
import { noRow, type Principal } from '../fleet/credential.ts';
import type { EventType, FleetEvent, StoredEvent } from '../fleet/event.ts';
import type { CredentialId, Row } from '../fleet/names.ts';
import type { DownlinkOut } from '../service/downlinkOut.ts';
import type { Asker, RequestContext } from '../service/outcome.ts';
import { deviceEvent } from '../service/reports.ts';
import { amplificationLimit, provedFor } from './addressProof.ts';
import type { Context, DatapathParts } from './datapathParts.ts';
import { Decisions, isGone, unlimited } from './decisions.ts';
import { downlinkOf, type Road } from './downlinkOf.ts';
import { Lifetimes } from './lifetimes.ts';
import { isPlainPeer } from './plainPeers.ts';
import { sessionRow, writeState } from './sessionForm.ts';
import { SessionKeeper } from './sessionKeeper.ts';
import { Share } from './share.ts';
import type { EndedSession } from './storedSessions.ts';
import { Turn } from './turn.ts';

/**
 * The loop: the only place that moves things between the machines. A datagram goes down through DTLS and CoAP to the
 * service, its decision to the store, and once that is durable the answer comes up again. Each input is one turn: the
 * clock is read once, the machines run in a fixed order, and then one timer is armed for whatever is due next.
 *
 * It knows neither sockets nor timers itself, so that a simulated world can drive it.
 */
export class Datapath implements Road {
  readonly #parts: DatapathParts;
  /** Who waits for the answer to each request of ours; as many at most as the CoAP endpoint has room for. */
  readonly #askers = new Map<RequestHandle, Asker>();
  readonly #turn: Turn;
  readonly #downlink: DownlinkOut;
  readonly #share: Share;
  readonly #decisions: Decisions;
  readonly #sessions: SessionKeeper;
  readonly #lifetimes: Lifetimes;
  #armedFor = Number.POSITIVE_INFINITY;

  readonly #find: RequestContext['find'] = (selection, from, limit) => this.#parts.store.find(selection, from, limit);
  readonly #allocateRow: RequestContext['allocateRow'] = () => this.#parts.store.allocateRow();

  constructor(parts: DatapathParts) {
    this.#parts = parts;
    this.#turn = new Turn(
      () => parts.now(),
      () => this.#arm(),
    );
    this.#downlink = downlinkOf(parts, this.#turn, this);
    this.#sessions = new SessionKeeper(parts.store, this.#turn);
    this.#lifetimes = new Lifetimes(parts, this.#turn, this.#downlink);
    this.#share = new Share(() => parts.now().instant);
    this.#decisions = new Decisions(parts, this.#turn, this.#share, {
      coap: this,
      downlink: this.#downlink,
      ask: (peer, draft, asker) => this.ask(peer, draft, asker),
    });
  }

  receiveDtls(remote: Remote, datagram: Bytes): void {
    this.#turn.begin(remote);
    this.#parts.dtls?.receive(this.#turn.now, remote, datagram, this);
    this.#turn.end();
  }

  receivePlain(remote: Remote, datagram: Bytes): void {
    this.#turn.begin(remote);
    this.#turn.received = datagram.length;
    const peer = this.#parts.plain.peer(remote, displaced => {
      this.#parts.report.displaced();
      this.displaced(displaced);
    });
    if (peer !== undefined) this.#parts.coap.receive(this.#turn.now, peer, datagram, this);
    this.#turn.end();
  }

  /** Goes on with what was wanted of these devices, before the first datagram. */
  restoreDevices(rows: Iterable<Row>): void {
    this.#turn.begin(undefined);
    for (const row of rows) this.#parts.service.devices.restore(row, this.#downlink);
    this.#turn.end();
  }

  /** The timer that `arm` asked for has come. */
  expire(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    this.#turn.begin(undefined);
    this.#parts.dtls?.expire(this.#turn.now, this);
    this.#parts.coap.expire(this.#turn.now, this);
    this.#parts.service.devices.expire(this.#downlink);
    this.#lifetimes.expire();
    this.#sessions.endAgain();
    this.#notify();
    this.#decisions.goOn();
    this.#turn.end();
  }

  /** What another process wrote into the store: a revoked credential ends its session, a command is delivered. */
  foreign(event: StoredEvent): void {
    this.#turn.begin(undefined);
    if (recordChanges.has(event.type)) this.#parts.service.touched(event.row, this.#turn.now);
    if (wishes.has(event.type)) this.#parts.service.devices.look(event.row, this.#downlink);
    const credential = event.details?.credential;
    if (event.type === 'credential-revoked' && typeof credential === 'number') {
      this.#parts.dtls?.revoke({ row: event.row, credential }, this);
    }
    this.#turn.end();
  }

  // What the machines write: CoAP first.

  /** Of both machines: a CoAP message for a peer, or a datagram for an address. */
  transmit(to: Peer | Remote, bytes: Bytes): void {
    if (typeof to === 'object') return this.#parts.sendDtls(to, bytes);
    if (!isPlainPeer(to)) return this.#parts.dtls?.send(to, bytes, this);
    const remote = this.#parts.plain.remote(to);
    if (remote !== undefined) this.#parts.sendPlain(remote, bytes);
  }

  request(exchange: Exchange, request: Request): void {
    const echo = request.options.get(Echo);
    if (echo !== undefined && isPlainPeer(exchange.peer)) this.#tryToProve(exchange.peer, echo);
    const context = this.#contextOf(exchange);
    if (context === undefined) return;
    const decide = (turn: RequestContext) => this.#parts.service.route(request, turn);
    const limit = context.addressProved ? unlimited : amplificationLimit(this.#turn.received);
    this.#decisions.decide({ exchange, context, decide, limit, searching: false, attempts: 0 });
    const { principal } = context;
    this.#parts.service.devices.heard(
      principal.kind === 'psk' ? principal.row : undefined,
      exchange.peer,
      this.#downlink,
    );
  }

  response(handle: RequestHandle, response: Response, lasts: boolean): void {
    const asker = this.#askers.get(handle);
    if (!lasts || asker?.hearsOnce === true) this.#askers.delete(handle);
    asker?.response(response, lasts);
  }

  notified(notification: Notification): void {
    this.#parts.service.devices.notified(notification, this.#turn.sequence, this.#downlink);
  }

  unobserved(exchange: Exchange): void {
    this.#parts.service.unobserved(exchange);
  }

  /** It answered, from where it was asked: if that is a new address, it is proved. It may have gone on since then. */
  ponged(peer: Peer, at: Remote): void {
    const { remote } = this.#turn;
    if (remote !== undefined && sameRemote(remote, at)) this.#parts.dtls?.proved(peer, at, this);
  }

  refused(peer: Peer, fault: CoapFault, code: number | undefined): void {
    const remote = isPlainPeer(peer) ? this.#turn.remote : this.#parts.dtls?.session(peer)?.remote;
    if (remote !== undefined) this.#parts.report.refused(fault, code, remote);
  }

  // Then DTLS, and what both have.

  verified(peer: Peer, session: Session): void {
    this.#parts.report.session(peer, session);
    const opened = { kind: 'opened', session: sessionRow(session) } as const;
    this.#sessions.commit(opened, durable => {
      if (durable) this.#parts.dtls?.confirmed(peer, this);
      else this.#parts.dtls?.close(peer, 'not-stored', this);
    });
  }

  reserve(peer: Peer, { credential }: Owner, writeMark: number): void {
    const reserved = { kind: 'reserved', credential: credential as CredentialId, peer, writeMark } as const;
    this.#sessions.commit(reserved, durable => this.#parts.dtls?.reserved(peer, durable ? writeMark : 0, this));
  }

  deliver(peer: Peer, plaintext: Bytes, sequence: number): void {
    this.#turn.sequence = sequence;
    this.#parts.coap.receive(this.#turn.now, peer, plaintext, this);
    this.#turn.sequence = undefined;
  }

  /** Its answers go there already, up to a limit; whether it hears them, a ping finds out. */
  moving(peer: Peer, remote: Remote): void {
    this.#parts.coap.ping(this.#turn.now, peer, remote, this);
  }

  moved(peer: Peer, { row, credential }: Owner, remote: Remote): void {
    this.#parts.report.moved(peer, remote);
    const state = {
      kind: 'state',
      credential: credential as CredentialId,
      peer,
      state: writeState(remote),
      readMark: this.#turn.sequence ?? 0,
    } as const;
    this.#sessions.commit(state, () => {}, this.#movedEvent(row as Row, remote));
  }

  #movedEvent(row: Row, { address, port }: Remote): FleetEvent[] {
    const record = this.#parts.store.view().device(row);
    if (record?.registration === undefined) return [];
    const { rules } = this.#parts.service;
    const registered = { ...record, registration: record.registration };
    return [deviceEvent(rules, 'address-changed', this.#turn.now.wall, registered, { address, port })];
  }

  closed(peer: Peer, { row, credential }: Owner, reason: CloseReason): void {
    this.#forget(peer);
    this.#parts.service.devices.gone(row as Row, peer);
    this.#parts.report.closed(peer, reason);
    // The session that replaced it also replaces it in the store.
    if (reason === 'replaced') return;
    this.#sessions.end(credential as CredentialId, peer, !mayResumeAfter(reason));
  }

  /** A session of an earlier process is over: it is to leave the store, however often the disk refuses. */
  ended({ credential, peer }: EndedSession): void {
    this.#sessions.end(credential, peer, false);
  }

  /** A session of an earlier process is over, of which this one has not heard: what waited for its device goes. */
  overslept(peer: Peer): void {
    this.#forget(peer);
  }

  /** Of both machines: a handshake that failed, or a request of ours. */
  failed(report: HandshakeReport): void;
  failed(handle: RequestHandle, fault: RequestFault): void;
  failed(what: HandshakeReport | RequestHandle, fault?: RequestFault): void {
    if (typeof what === 'object') return this.#parts.report.handshake(what);
    const asker = this.#askers.get(what);
    this.#askers.delete(what);
    asker?.failed(fault!);
  }

  // What the service asks of peers.

  ask(peer: Peer, draft: RequestDraft, asker: Asker): RequestHandle | undefined {
    this.#parts.dtls?.wake(this.#turn.now, peer, this);
    // Whoever left while it was written that he is to be asked is not asked: what goes nowhere must not count as sent.
    if (isGone(this.#parts, peer)) return undefined;
    const handle = this.#parts.coap.request(this.#turn.now, peer, draft, this);
    if (handle !== undefined) this.#askers.set(handle, asker);
    return handle;
  }

  cancel(handle: RequestHandle): void {
    this.#askers.delete(handle);
    this.#parts.coap.cancel(this.#turn.now, handle, this);
  }

  /** A peer on plain CoAP made room for another. */
  displaced(peer: Peer): void {
    this.#forget(peer);
    this.#parts.service.devices.gone(undefined, peer);
  }

  /** Of whom a body comes in blocks: associations had their cookie, the others send an Echo back. */
  isProved(peer: Peer, echo: Bytes | undefined): boolean {
    if (!isPlainPeer(peer)) return true;
    if (echo !== undefined) this.#tryToProve(peer, echo);
    return this.#parts.plain.isProved(peer, this.#turn.now.instant);
  }

  /** The Echo for whoever sent the datagram that is at hand. */
  challenge(): Bytes | undefined {
    return this.#turn.remote && this.#parts.proof?.echo(this.#turn.now.instant, this.#turn.remote);
  }

  #tryToProve(peer: Peer, echo: Bytes): void {
    const { proof, plain } = this.#parts;
    const { instant } = this.#turn.now;
    if (this.#turn.remote !== undefined && proof?.proves(instant, this.#turn.remote, echo) === true) {
      plain.prove(peer, after(instant, provedFor));
    }
  }

  /** Whoever observes something is told of what changed. */
  #notify(): void {
    const { service, store, coap } = this.#parts;
    const due = service.nextNotification();
    if (due === undefined || due > this.#turn.now.instant || !this.#share.isFree(this.#turn.now.instant)) return;
    const turn = { now: this.#turn.now, view: store.view(), find: store.find.bind(store) };
    for (const { exchange, reply, confirmable } of this.#share.take(() => service.notifications(turn))) {
      coap.notify(this.#turn.now, exchange, reply, confirmable, this);
    }
  }

  #forget(peer: Peer): void {
    this.#parts.coap.drop(peer, this);
    this.#parts.service.forget(peer);
  }

  #contextOf(exchange: Exchange): Context | undefined {
    const { peer, messageId } = exchange;
    const plain = isPlainPeer(peer);
    const session = plain ? undefined : this.#parts.dtls?.session(peer);
    const remote = plain ? this.#turn.remote : session?.remote;
    if (remote === undefined) return undefined;
    return {
      find: this.#find,
      allocateRow: this.#allocateRow,
      principal: session === undefined ? anonymous : principalOf(session.owner),
      transport: plain ? 'coap' : 'coaps',
      address: remote.address,
      port: remote.port,
      remote,
      peer,
      addressProved: !plain || this.#parts.plain.isProved(peer, this.#turn.now.instant),
      exchange,
      messageId,
      sequence: this.#turn.sequence,
    };
  }

  /** Arms the timer if something is due before it would come. */
  #arm(): void {
    const { coap, dtls, service } = this.#parts;
    let next = Math.min(coap.nextExpiry() ?? never, dtls?.nextExpiry() ?? never, this.#lifetimes.nextExpiry());
    next = Math.min(next, service.devices.nextExpiry() ?? never, this.#decisions.nextTurn() ?? never);
    next = Math.min(next, Math.max(service.nextNotification() ?? never, this.#share.next));
    if (next >= this.#armedFor) return;
    this.#armedFor = next;
    this.#parts.arm(next as Instant);
  }
}

function principalOf({ row, credential }: { row: number; credential: number }): Principal {
  if (row === noRow) return { kind: 'operator', credential: credential as CredentialId };
  return { kind: 'psk', row: row as Row, credential: credential as CredentialId };
}

/** What of it shows in lookups and last values: an import of a million credentials does not. */
const recordChanges: ReadonlySet<EventType> = new Set<EventType>(['allocated', 'forgotten']);
/** What other processes want of a device, or want no more. */
const wishes: ReadonlySet<EventType> = new Set<EventType>([
  'command',
  'observation',
  'desired',
  'allocated',
  'forgotten',
]);
const anonymous: Principal = { kind: 'anonymous' };
const never = Number.POSITIVE_INFINITY;
