import type { Bytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import { after, type Instant, type Now, seconds } from '../base/time.ts';
import { sliceReply } from '../coap/blockwise.ts';
import { ResponseCode } from '../coap/codec/code.ts';
import { encodeMessage, type Reply, type Request, type Response } from '../coap/codec/message.ts';
import { Echo } from '../coap/codec/option.ts';
import type { CoapEndpoint } from '../coap/endpoint.ts';
import type { Exchange, Notification, RequestDraft, RequestFault, RequestHandle } from '../coap/exchange.ts';
import type { CoapFault } from '../coap/fault.ts';
import type { CoapOut } from '../coap/out.ts';
import { defaultLimits } from '../coap/settings.ts';
import type { DtlsEndpoint } from '../dtls/endpoint.ts';
import type { CloseReason, HandshakeReport } from '../dtls/fault.ts';
import type { DtlsOut, Session } from '../dtls/out.ts';
import type { Owner } from '../dtls/psk.ts';
import { mayResumeAfter } from '../dtls/resumption.ts';
import { noRow, type Principal } from '../fleet/credential.ts';
import type { EventType, FleetEvent, StoredEvent } from '../fleet/event.ts';
import type { CredentialId, Row } from '../fleet/names.ts';
import type { SessionChange } from '../fleet/session.ts';
import { type Commit, type CommitResult, emptyCommit, type Store } from '../fleet/store.ts';
import { type Refusal, type RefusalReason, refusal } from '../lwm2m/refusal.ts';
import { answerTo, unavailable } from '../service/answer.ts';
import type { DownlinkOut } from '../service/downlinkOut.ts';
import type { Asker, Outcome, Questions, RequestContext } from '../service/outcome.ts';
import { deviceEvent } from '../service/reports.ts';
import { expiryCheckInterval, type Service } from '../service/service.ts';
import { type AddressProof, amplificationLimit, provedFor } from './addressProof.ts';
import { isPlainPeer, type PlainPeers } from './plainPeers.ts';
import { sessionRow, writeState } from './sessionForm.ts';

/**
 * The loop: the only place that moves things between the machines. A datagram goes down through DTLS and CoAP to the
 * service, its decision to the store, and once that is durable the answer comes up again. Each input is one turn: the
 * clock is read once, the machines run in a fixed order, and then one timer is armed for whatever is due next.
 *
 * It knows neither sockets nor timers itself, so that a simulated world can drive it.
 */
export class Datapath implements CoapOut, DtlsOut, Questions {
  readonly #parts: DatapathParts;
  /** Who waits for the answer to each request of ours; as many at most as the CoAP endpoint has room for. */
  readonly #askers = new Map<RequestHandle, Asker>();
  readonly #downlink: DownlinkOut;
  #armedFor = Number.POSITIVE_INFINITY;
  #expiring = false;
  #lookAtLifetimes: Instant = 0 as Instant;
  /** Sessions that are over and still in the store, since the disk refused: a restart must not wake them. */
  readonly #ended = new Map<CredentialId, EndedSession>();
  #endNotBefore: Instant = 0 as Instant;
  /** The disk refused: when to ask it again to remove what is over. */
  #expireNotBefore: Instant = 0 as Instant;
  // What is known about the datagram of this turn.
  #now: Now;
  #remote: Remote | undefined;
  #sequence: number | undefined;
  /** In bytes. */
  #received = 0;
  /** Searches that take several turns, one of which goes on in each. */
  readonly #unfinished: Work[] = [];

  readonly #find: RequestContext['find'] = (selection, from, limit) => this.#parts.store.find(selection, from, limit);
  readonly #allocateRow: RequestContext['allocateRow'] = () => this.#parts.store.allocateRow();

  constructor(parts: DatapathParts) {
    this.#parts = parts;
    this.#now = parts.now();
    this.#downlink = this.#downlinkOut();
  }

  receiveDtls(remote: Remote, datagram: Bytes): void {
    this.#begin(remote);
    this.#parts.dtls?.receive(this.#now, remote, datagram, this);
    this.#end();
  }

  receivePlain(remote: Remote, datagram: Bytes): void {
    this.#begin(remote);
    this.#received = datagram.length;
    const peer = this.#parts.plain.peer(remote, displaced => {
      this.#parts.report.displaced();
      this.#displaced(displaced);
    });
    if (peer !== undefined) this.#parts.coap.receive(this.#now, peer, datagram, this);
    this.#end();
  }

  /** Goes on with what was wanted of these devices, before the first datagram. */
  restoreDevices(rows: Iterable<Row>): void {
    this.#begin(undefined);
    for (const row of rows) this.#parts.service.devices.restore(row, this.#downlink);
    this.#end();
  }

  /** The timer that `arm` asked for has come. */
  expire(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    this.#begin(undefined);
    this.#parts.dtls?.expire(this.#now, this);
    this.#parts.coap.expire(this.#now, this);
    this.#parts.service.devices.expire(this.#downlink);
    this.#expireLifetimes();
    this.#endAgain();
    this.#notify();
    const work = this.#unfinished.shift();
    if (work !== undefined) this.#decide(work);
    this.#end();
  }

  /** What another process wrote into the store: a revoked credential ends its session, a command is delivered. */
  foreign(event: StoredEvent): void {
    this.#begin(undefined);
    this.#parts.service.touched(event.row, this.#now);
    if (wishes.has(event.type)) this.#parts.service.devices.look(event.row, this.#downlink);
    const credential = event.details?.credential;
    if (event.type === 'credential-revoked' && typeof credential === 'number') {
      this.#parts.dtls?.revoke({ row: event.row, credential }, this);
    }
    this.#end();
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
    const limit = context.addressProved ? unlimited : amplificationLimit(this.#received);
    this.#decide({ exchange, context, decide, limit, searching: false, attempts: 0 });
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
    this.#parts.service.devices.notified(notification, this.#sequence, this.#downlink);
  }

  unobserved(exchange: Exchange): void {
    this.#parts.service.unobserved(exchange);
  }

  /** It answered what went to where it was heard last: if that was a new address, it is proved. */
  ponged(peer: Peer): void {
    if (this.#remote !== undefined) this.#parts.dtls?.proved(peer, this.#remote, this);
  }

  refused(peer: Peer, fault: CoapFault, code: number | undefined): void {
    const remote = isPlainPeer(peer) ? this.#remote : this.#parts.dtls?.session(peer)?.remote;
    if (remote !== undefined) this.#parts.report.refused(fault, code, remote);
  }

  // Then DTLS, and what both have.

  verified(peer: Peer, session: Session): void {
    this.#parts.report.session(peer, session);
    const opened = { kind: 'opened', session: sessionRow(session) } as const;
    this.#commitSession(opened, durable => {
      if (durable) this.#parts.dtls?.confirmed(peer, this);
      else this.#parts.dtls?.close(peer, 'not-stored', this);
    });
  }

  reserve(peer: Peer, { credential }: Owner, writeMark: number): void {
    const reserved = { kind: 'reserved', credential: credential as CredentialId, peer, writeMark } as const;
    this.#commitSession(reserved, durable => this.#parts.dtls?.reserved(peer, durable ? writeMark : 0, this));
  }

  deliver(peer: Peer, plaintext: Bytes, sequence: number): void {
    this.#sequence = sequence;
    this.#parts.coap.receive(this.#now, peer, plaintext, this);
    this.#sequence = undefined;
  }

  /** Its answers go there already, up to a limit; whether it hears them, a ping finds out. */
  moving(peer: Peer): void {
    this.#parts.coap.ping(this.#now, peer, this);
  }

  moved(peer: Peer, { row, credential }: Owner, remote: Remote): void {
    this.#parts.report.moved(peer, remote);
    const state = {
      kind: 'state',
      credential: credential as CredentialId,
      peer,
      state: writeState(remote),
      readMark: this.#sequence ?? 0,
    } as const;
    this.#commitSession(state, () => {}, this.#movedEvent(row as Row, remote));
  }

  #movedEvent(row: Row, { address, port }: Remote): FleetEvent[] {
    const record = this.#parts.store.view().device(row);
    if (record?.registration === undefined) return [];
    const { rules } = this.#parts.service;
    const registered = { ...record, registration: record.registration };
    return [deviceEvent(rules, 'address-changed', this.#now.wall, registered, { address, port })];
  }

  closed(peer: Peer, { row, credential }: Owner, reason: CloseReason): void {
    this.#forget(peer);
    this.#parts.service.devices.gone(row as Row, peer);
    this.#parts.report.closed(peer, reason);
    // The session that replaced it also replaces it in the store.
    if (reason === 'replaced') return;
    this.#endStored(credential as CredentialId, peer, !mayResumeAfter(reason));
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
    this.#parts.dtls?.wake(this.#now, peer, this);
    const handle = this.#parts.coap.request(this.#now, peer, draft, this);
    if (handle !== undefined) this.#askers.set(handle, asker);
    return handle;
  }

  cancel(handle: RequestHandle): void {
    this.#askers.delete(handle);
    this.#parts.coap.cancel(this.#now, handle, this);
  }

  #displaced(peer: Peer): void {
    this.#forget(peer);
    this.#parts.service.devices.gone(undefined, peer);
  }

  #commitSession(change: SessionChange, settled: (durable: boolean) => void, events: readonly FleetEvent[] = []): void {
    this.#parts.store.commit({ devices: [], events, sessions: [change] }, result => {
      this.#begin(undefined);
      settled(result === 'durable');
      this.#end();
    });
  }

  #endStored(credential: CredentialId, peer: Peer, forget: boolean): void {
    const ended = { kind: 'ended', credential, peer, forget } as const;
    this.#commitSession(ended, durable => {
      if (!durable) this.#ended.set(credential, ended);
    });
  }

  /** What the disk refused to end before: some at a time, at the pace at which it may have recovered. */
  #endAgain(): void {
    if (this.#ended.size === 0 || this.#now.instant < this.#endNotBefore) return;
    this.#endNotBefore = (this.#now.instant + seconds(retryAfterSeconds)) as Instant;
    const sessions: EndedSession[] = [];
    for (const ended of this.#ended.values()) if (sessions.push(ended) === endBatch) break;
    this.#parts.store.commit({ ...emptyCommit, sessions }, result => {
      if (result !== 'durable') return;
      for (const ended of sessions) {
        if (this.#ended.get(ended.credential) === ended) this.#ended.delete(ended.credential);
      }
    });
  }

  #decide(work: Work): void {
    const { store } = this.#parts;
    const view = store.view();
    const outcome = work.decide({ ...work.context, now: this.#now, view });
    if (outcome.kind === 'commit') {
      return store.commit(outcome.commit, result => this.#settled(work, outcome, result));
    }
    if (outcome.kind === 'ask') return this.#askBack(work, outcome);
    if (outcome.kind === 'unfinished') return this.#goOnLater(work, outcome.goOn);
    if (!view.restsOnPending) return this.#answer(work, outcome.reply, outcome.refusal);
    // An answer that rests on what may still vanish waits for it, and is decided again: that it was asked for before
    // does not say that it was stored.
    store.commit(emptyCommit, () => {
      this.#begin(undefined);
      this.#decideAgain(work, 'conflict');
      this.#end();
    });
  }

  /** The peer is asked before its own request is decided on; whatever comes back, or does not, decides. */
  #askBack(work: Work, { draft, answered }: Outcome & { kind: 'ask' }): void {
    const { peer } = work.exchange;
    const decide = (answer: Response | RequestFault) =>
      this.#decide({ ...work, decide: answered(answer), attempts: 0 });
    const asked = this.ask(peer, draft, { response: decide, failed: decide });
    if (asked === undefined) return this.#answer(work, unavailable(retryAfterSeconds));
    this.#parts.coap.acknowledge(work.exchange, this);
  }

  /** Others come first: a long search waits for nobody, so its request is acknowledged meanwhile. */
  #goOnLater(work: Work, decide: Work['decide']): void {
    if (!work.searching && this.#unfinished.length >= maxUnfinished) {
      return this.#answer(work, unavailable(retryAfterSeconds));
    }
    this.#unfinished.push({ ...work, decide, searching: true });
    // An answer that is no longer piggy-backed would be sent again and again to an address that nobody has proved.
    if (work.context.addressProved) this.#parts.coap.acknowledge(work.exchange, this);
  }

  #settled(work: Work, outcome: Outcome & { kind: 'commit' }, result: CommitResult): void {
    this.#begin(undefined);
    if (result === 'durable') {
      this.#parts.service.committed(outcome.commit, this.#now);
      this.#parts.report.committed(outcome.commit);
      this.#answer(work, outcome.reply, outcome.refusal);
      const { peer } = work.exchange;
      this.#parts.service.devices.changed(outcome.commit, peer, isPlainPeer(peer), this.#downlink);
      this.#parts.service.devices.reported(outcome.commit, this.#downlink);
    } else {
      this.#decideAgain(work, result);
    }
    this.#end();
  }

  /** After a conflict; what the disk refuses, or what others change again and again, is put off. */
  #decideAgain(work: Work, why: CommitResult): void {
    if (why === 'conflict' && work.attempts++ < maxAttempts) return this.#decide(work);
    this.#parts.report.unavailable(why);
    this.#answer(work, unavailable(retryAfterSeconds));
  }

  /** Every answer may be forgotten early: the record recognises its last exchange, and a refusal changes nothing. */
  #answer(work: Work, reply: Reply, why?: Refusal): void {
    const { exchange, context } = work;
    if (work.limit !== unlimited && answerLength(exchange, reply) > work.limit) {
      const long = refusal('address-not-proved');
      return this.#answer({ ...work, limit: unlimited }, answerTo(long, undefined), long);
    }
    const fresh = why !== undefined && wantsEcho.has(why.reason) ? this.#withEcho(context, reply) : reply;
    if (why !== undefined) this.#parts.report.refusal(why, reply.code, context);
    this.#parts.report.answered(reply.code);
    this.#parts.coap.respond(this.#now, exchange, fresh, this, reply.code !== ResponseCode.ServiceUnavailable);
  }

  #withEcho({ remote }: Context, reply: Reply): Reply {
    const echo = this.#parts.proof?.echo(this.#now.instant, remote);
    return echo === undefined ? reply : { ...reply, options: reply.options.with(Echo, echo) };
  }

  /** Of whom a body comes in blocks: associations had their cookie, the others send an Echo back. */
  isProved(peer: Peer, echo: Bytes | undefined): boolean {
    if (!isPlainPeer(peer)) return true;
    if (echo !== undefined) this.#tryToProve(peer, echo);
    return this.#parts.plain.isProved(peer, this.#now.instant);
  }

  /** The Echo for whoever sent the datagram that is at hand. */
  challenge(): Bytes | undefined {
    return this.#remote && this.#parts.proof?.echo(this.#now.instant, this.#remote);
  }

  #tryToProve(peer: Peer, echo: Bytes): void {
    const { proof, plain } = this.#parts;
    const { instant } = this.#now;
    if (this.#remote !== undefined && proof?.proves(instant, this.#remote, echo) === true) {
      plain.prove(peer, after(instant, provedFor));
    }
  }

  /** Whoever observes something is told of what changed. */
  #notify(): void {
    const { service, store, coap } = this.#parts;
    const due = service.nextNotification();
    if (due === undefined || due > this.#now.instant) return;
    const turn = { now: this.#now, view: store.view(), find: store.find.bind(store) };
    for (const { exchange, reply, confirmable } of service.notifications(turn)) {
      coap.notify(this.#now, exchange, reply, confirmable, this);
    }
  }

  #forget(peer: Peer): void {
    this.#parts.coap.drop(peer, this);
    this.#parts.service.forget(peer);
  }

  /** Registrations whose lifetime is over, a batch at a time, each after the other is durable. */
  #expireLifetimes(): void {
    const { service, store } = this.#parts;
    this.#lookAtLifetimes = (this.#now.instant + expiryCheckInterval) as Instant;
    if (this.#expiring || this.#now.instant < this.#expireNotBefore) return;
    const commit = service.expire(this.#now.wall, store.view());
    if (commit === undefined) return;
    this.#expiring = true;
    store.commit(commit, result => {
      this.#expiring = false;
      this.#begin(undefined);
      if (result === 'durable') {
        service.committed(commit, this.#now);
        this.#parts.report.committed(commit);
        service.devices.changed(commit, undefined, false, this.#downlink);
      } else this.#noteAgain(commit);
      if (result === 'failed') this.#expireNotBefore = (this.#now.instant + seconds(retryAfterSeconds)) as Instant;
      else this.#expireLifetimes();
      this.#end();
    });
  }

  #noteAgain(commit: Commit): void {
    const view = this.#parts.store.view();
    for (const { record } of commit.devices) {
      const current = view.device(record.row);
      if (current !== undefined) this.#parts.service.stored(current);
    }
  }

  /** What the service writes about devices. Commits settle in turns of their own. */
  #downlinkOut(): DownlinkOut {
    const { coap, dtls, plain, store, report, service } = this.#parts;
    const now = () => this.#now;
    return {
      get now() {
        return now();
      },
      view: () => store.view(),
      commit: (commit, settled) =>
        store.commit(commit, result => {
          this.#begin(undefined);
          if (result === 'durable') {
            service.committed(commit, this.#now);
            report.committed(commit);
          }
          settled(result);
          if (result === 'durable') service.devices.reported(commit, this.#downlink);
          this.#end();
        }),
      ask: (peer, draft, asker) => this.ask(peer, draft, asker),
      cancel: handle => this.cancel(handle),
      reach: ({ registration, lastExchange }) => {
        const { transport, address, port } = registration;
        if (transport === 'coap') return plain.reach(address, port, peer => this.#displaced(peer));
        const peer = lastExchange?.association;
        return peer !== undefined && dtls?.knows(peer) ? peer : undefined;
      },
      isThere: peer => !isPlainPeer(peer) && dtls?.knows(peer) === true,
      newObservationToken: peer => {
        dtls?.wake(this.#now, peer, this);
        return coap.newObservationToken(peer);
      },
      restoreStanding: (peer, token, observation) => coap.restoreStanding(peer, token, observation),
      forgetStanding: (peer, token) => coap.forgetStanding(peer, token),
      confirm: notification => coap.confirm(notification, this),
      reject: notification => coap.reject(notification, this),
      forget: notification => coap.forget(notification),
    };
  }

  #contextOf(exchange: Exchange): Context | undefined {
    const { peer, messageId } = exchange;
    const plain = isPlainPeer(peer);
    const session = plain ? undefined : this.#parts.dtls?.session(peer);
    const remote = plain ? this.#remote : session?.remote;
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
      addressProved: !plain || this.#parts.plain.isProved(peer, this.#now.instant),
      exchange,
      messageId,
      sequence: this.#sequence,
    };
  }

  #begin(remote: Remote | undefined): void {
    this.#now = this.#parts.now();
    this.#remote = remote;
    this.#sequence = undefined;
  }

  /** Arms the timer if something is due before it would come. */
  #end(): void {
    const { coap, dtls, service } = this.#parts;
    let next = Math.min(coap.nextExpiry() ?? never, dtls?.nextExpiry() ?? never, this.#lookAtLifetimes);
    next = Math.min(next, service.devices.nextExpiry() ?? never, service.nextNotification() ?? never);
    if (this.#unfinished.length > 0) next = this.#now.instant;
    const lifetimes = service.nextExpiry();
    if (lifetimes !== undefined && !this.#expiring) {
      const due = this.#now.instant + Math.max(0, lifetimes - this.#now.wall);
      next = Math.min(next, Math.max(due, this.#expireNotBefore));
    }
    if (next >= this.#armedFor) return;
    this.#armedFor = next;
    this.#parts.arm(next as Instant);
  }
}

export interface DatapathParts {
  readonly coap: CoapEndpoint;
  readonly dtls: DtlsEndpoint | undefined;
  readonly plain: PlainPeers;
  /** Without it nobody proves an address, and long answers on plain CoAP go to nobody. */
  readonly proof?: AddressProof;
  readonly service: Service;
  readonly store: Store;
  readonly report: Report;
  now(): Now;
  sendDtls(remote: Remote, datagram: Bytes): void;
  sendPlain(remote: Remote, datagram: Bytes): void;
  /** Calls `expire` at `at`, instead of whenever it was going to. */
  arm(at: Instant): void;
}

/** Who is told what happened: log and counters. */
export interface Report {
  session(peer: Peer, session: Session): void;
  moved(peer: Peer, remote: Remote): void;
  /** An address on plain CoAP made room for another. */
  displaced(): void;
  closed(peer: Peer, reason: CloseReason): void;
  handshake(report: HandshakeReport): void;
  refusal(refusal: Refusal, code: number, context: Context): void;
  /** CoAP itself refused something; `code` is undefined if the peer heard RST or nothing. */
  refused(fault: CoapFault, code: number | undefined, remote: Remote): void;
  answered(code: number): void;
  committed(commit: Commit): void;
  unavailable(why: CommitResult): void;
}

export interface Context extends Omit<RequestContext, 'now' | 'view'> {
  readonly remote: Remote;
}

type EndedSession = SessionChange & { kind: 'ended' };

interface Work {
  readonly exchange: Exchange;
  readonly context: Context;
  readonly decide: (turn: RequestContext) => Outcome;
  /** How long the answer may be, in bytes. */
  readonly limit: number;
  /** It has had a turn already. */
  readonly searching: boolean;
  attempts: number;
}

function answerLength({ token, block2 }: Exchange, reply: Reply): number {
  const { code, options, payload } = sliceReply(reply, block2, defaultLimits.blockSize);
  // Without a payload nothing that we say comes near the limit.
  if (payload.length === 0) return 0;
  return encodeMessage({ kind: 'response', type: 'ACK', messageId: 0, token, code, options, payload }).length;
}

function principalOf({ row, credential }: { row: number; credential: number }): Principal {
  if (row === noRow) return { kind: 'operator', credential: credential as CredentialId };
  return { kind: 'psk', row: row as Row, credential: credential as CredentialId };
}

/** What other processes want of a device, or want no more. */
const wishes: ReadonlySet<EventType> = new Set<EventType>([
  'command',
  'observation',
  'desired',
  'allocated',
  'forgotten',
]);
const wantsEcho: ReadonlySet<string> = new Set<RefusalReason>(['address-not-proved', 'out-of-order']);
const anonymous: Principal = { kind: 'anonymous' };
const unlimited = Number.POSITIVE_INFINITY;
const never = Number.POSITIVE_INFINITY;
const maxAttempts = 5;
const endBatch = 256;
const maxUnfinished = 16;
const retryAfterSeconds = 30;
