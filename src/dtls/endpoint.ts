import { type Bytes, sameBytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import { days, earlier, type Instant, type Milliseconds, type Now, seconds } from '../base/time.ts';
import { assertNever } from '../base/unreachable.ts';
import { Admission, type AdmissionLimits } from './admission.ts';
import type { AssociationOut } from './associationOut.ts';
import { lastWriteSequence } from './associationSender.ts';
import { type AssociationLimits, Associations } from './associations.ts';
import { alertName, decodeAlert } from './codec/alert.ts';
import { type CipherSuite, cipherSuites } from './codec/cipherSuite.ts';
import { type ClientHelloStart, decodeClientHelloStart } from './codec/clientHello.ts';
import { decodeFragments, encodeHandshake, type Fragment, HandshakeType } from './codec/handshake.ts';
import { encodeHelloVerifyRequest } from './codec/helloVerifyRequest.ts';
import { ContentType, type DtlsRecord, decodeRecord, dtls10, encodePlainRecord, recordLength } from './codec/record.ts';
import { type ConnectionIds, connectionIdLength } from './connectionId.ts';
import { Cookies } from './cookie.ts';
import { type DtlsCounters, newCounters } from './counters.ts';
import { Hmac } from './crypto/hmac.ts';
import type { Established } from './established.ts';
import type { CloseReason, HandshakeFault, HandshakeReport } from './fault.ts';
import { type HalfOpen, type HalfOpenLimits, HalfOpenTable } from './halfOpen.ts';
import type { KeyLog } from './keyLog.ts';
import type { Owner, PskPort } from './psk.ts';
import type { Resumption, ResumptionPort } from './resumption.ts';
import { type HandshakePolicy, type HandshakeStep, ServerHandshake } from './serverHandshake.ts';
import type { SessionState } from './sessionState.ts';
import type { SessionRow } from './sessionTable.ts';
import { noSleepers, type Sleepers } from './sleepers.ts';

/**
 * The server's side of DTLS 1.2 with pre-shared keys (RFC 6347, 5246, 4279), for all peers at once: datagrams in;
 * datagrams, plaintext and the news of sessions out. It knows no sockets, no clock and no CoAP. Until a cookie proved
 * an address nothing is kept for it and no more bytes go there than came from it; what does not parse or does not open
 * is dropped, counted, and changes nothing.
 *
 * Call `receive` for each datagram, `confirmed` for each session that `out.verified` told of, once it is as durable as
 * it has to be: only then the handshake's last flight leaves; and `expire` when `nextExpiry` has come.
 */
export class DtlsEndpoint {
  readonly counters: DtlsCounters = newCounters();

  readonly #policy: HandshakePolicy;
  readonly #random: RandomSource;
  readonly #cookies: Cookies;
  readonly #halfOpen: HalfOpenTable;
  readonly #admission: Admission;
  readonly #associations: Associations;
  readonly #sleepers: Sleepers;
  #nextPeer: number;

  constructor(options: DtlsOptions) {
    const limits = { ...defaultLimits, ...options.limits };
    this.#random = options.random;
    this.#admission = new Admission(limits);
    this.#policy = {
      suites: options.suites ?? cipherSuites,
      psk: options.psk,
      cids: options.cids,
      resumption: options.resumption,
      keyLog: options.keyLog,
      resumptionLifetime: limits.resumptionLifetime,
      mayComplete: (now, owner) => this.#admission.mayComplete(now, owner),
      fakeKeys: new Hmac('sha256', options.fakeKeySecret ?? options.random.bytes(32)),
    };
    this.#cookies = new Cookies(options.random);
    this.#halfOpen = new HalfOpenTable(limits);
    this.#associations = new Associations(limits, options.random, this.counters);
    this.#sleepers = options.sleepers ?? noSleepers;
    this.#nextPeer = options.firstPeer;
  }

  /** The number of the next handshake, which becomes its association's: kept by the owner, so that a later run does not use it again. */
  get nextPeer(): number {
    return this.#nextPeer;
  }

  /** Takes one datagram. Whatever it holds, this neither throws nor keeps a view of it. */
  receive(now: Now, remote: Remote, datagram: Bytes, out: DtlsOut): void {
    let at = 0;
    let verifyRequests = 0;
    for (let records = 0; at < datagram.length && records < maxRecords; records++) {
      const record = decodeRecord(datagram, at, this.#policy.cids === undefined ? 0 : connectionIdLength);
      if (record === undefined) break;
      at += recordLength(record);
      if (record.epoch === 1) this.#receiveProtected(now, remote, record, out);
      else if (record.epoch !== 0) this.counters.unknownEpoch++;
      else if (record.type === ContentType.changeCipherSpec) this.#receiveChangeCipherSpec(now, remote, record, out);
      else if (record.type === ContentType.handshake) {
        // One answer a datagram, so that many hellos in one do not amplify.
        if (this.#receiveHandshake(now, remote, record, verifyRequests === 0, out)) verifyRequests++;
      } else {
        this.#receiveUnprotected(remote, record);
      }
    }
    if (at < datagram.length) this.counters.malformed++;
  }

  /**
   * Seals and sends. Nothing happens if the peer's session is gone or waits to be confirmed, or if the plaintext is
   * longer than `maxPlaintext`.
   */
  send(peer: Peer, plaintext: Bytes, out: DtlsOut): void {
    this.#associations.send(peer, plaintext, out);
  }

  /** How many bytes one `send` to this peer may have: 16,384, or what the client asked for (RFC 6066 §4). */
  maxPlaintext(peer: Peer): number | undefined {
    return this.#associations.maxPlaintext(peer);
  }

  /** Whose session this is and where it is heard from; `undefined` once it is gone. */
  session(peer: Peer): { remote: Remote; owner: Owner } | undefined {
    return this.#associations.session(peer);
  }

  /** The number of the next record to this peer: it never goes back while the session lives, over restarts too. */
  writeSequence(peer: Peer): number | undefined {
    return this.#associations.writeSequence(peer);
  }

  /** The session is durable: its last flight may leave, and its traffic flow. */
  confirmed(peer: Peer, out: DtlsOut): void {
    this.#associations.confirm(peer, out);
  }

  /** The answer to `out.reserve`. */
  reserved(peer: Peer, writeMark: number, out: DtlsOut): void {
    this.#associations.reserved(peer, writeMark, out);
  }

  /** Goes on with a session of an earlier process. `false` if there is no room for it. */
  restore(now: Now, state: SessionState, out: DtlsOut): boolean {
    this.#nextPeer = Math.max(this.#nextPeer, state.peer + 1);
    return this.#associations.restore(now, state, out);
  }

  /** The peer answered what was sent to it after `out.moving`, from where that went: its address is proved. */
  proved(peer: Peer, remote: Remote, out: DtlsOut): boolean {
    return this.#associations.proved(peer, remote, out);
  }

  /** Whether the peer has a session, be it one that sleeps. */
  knows(peer: Peer): boolean {
    return this.#associations.byPeer(peer) !== undefined || this.#sleepers.has(peer);
  }

  /** Goes on with the session of a peer that sleeps, because it is to be spoken to. */
  wake(now: Now, peer: Peer, out: DtlsOut): void {
    if (this.#associations.byPeer(peer) === undefined) this.#wake(now, () => this.#sleepers.byPeer(peer), out);
  }

  /** Ends a session: close_notify goes out, and `out.closed` tells of it. */
  close(peer: Peer, reason: CloseReason, out: DtlsOut): void {
    this.#associations.close(peer, reason, out);
  }

  /** This credential opens nothing any more: ends its session, and drops a handshake that is about to prove its key. */
  revoke(owner: Owner, out: DtlsOut): void {
    this.#halfOpen.removeOwner(owner);
    const peer = this.#associations.peerOf(owner);
    if (peer !== undefined) this.close(peer, 'revoked', out);
  }

  expire(now: Now, out: DtlsOut): void {
    for (let due = this.#halfOpen.takeDue(now.instant); due !== undefined; due = this.#halfOpen.takeDue(now.instant)) {
      const { entry, over } = due;
      if (over) {
        this.#halfOpen.remove(entry);
        this.#report(now, entry, 'gave-up', howItWent(entry), out);
        continue;
      }
      const again = entry.handshake.retransmission();
      if (again.kind !== 'send') continue;
      entry.flights++;
      this.counters.retransmissions++;
      out.transmit(entry.remote, again.datagram);
    }
    this.#admission.expire(now.instant);
    this.#associations.expire(now.instant, out);
  }

  nextExpiry(): Instant | undefined {
    return earlier(this.#halfOpen.nextExpiry(), this.#associations.nextExpiry());
  }

  sizes(): { associations: number; handshakes: number } {
    return { associations: this.#associations.size, handshakes: this.#halfOpen.size };
  }

  /** How many networks and owners have something charged to them. */
  get throttled(): number {
    return this.#admission.size;
  }

  /** `true` if it was answered with a HelloVerifyRequest. */
  #receiveHandshake(now: Now, remote: Remote, record: DtlsRecord, mayVerify: boolean, out: DtlsOut): boolean {
    const fragments = decodeFragments(record.fragment);
    if (fragments === undefined) {
      this.counters.malformed++;
      return false;
    }
    const entry = this.#halfOpen.find(remote);
    const first = fragments[0]!;
    const start = startOf(first);
    if (start === undefined || (entry !== undefined && sameBytes(start.random, entry.handshake.clientRandom))) {
      // A fragment that is not the first of a hello, from nobody we know, waits for nothing: it is not kept.
      if (entry === undefined) this.counters.unexpected++;
      else this.#apply(now, entry, entry.handshake.receive(fragments), out);
      return false;
    }
    return this.#receiveHello(now, remote, record, fragments, start, mayVerify, out);
  }

  /** A hello of a handshake that we know nothing of. Without a good cookie nothing is kept. */
  #receiveHello(
    now: Now,
    remote: Remote,
    record: DtlsRecord,
    fragments: readonly Fragment[],
    start: ClientHelloStart,
    mayVerify: boolean,
    out: DtlsOut,
  ): boolean {
    const { messageSequence } = fragments[0]!;
    const address = this.#cookies.check(now.instant, remote, start);
    if (address === undefined) {
      if (!mayVerify) return false;
      const cookie = this.#cookies.make(now.instant, remote, start);
      const body = encodeHelloVerifyRequest({ cookie });
      const message = encodeHandshake(HandshakeType.helloVerifyRequest, messageSequence, body);
      this.counters.verifyRequests++;
      out.transmit(remote, encodePlainRecord(ContentType.handshake, dtls10, record.sequence, message));
      return true;
    }
    if (this.#associations.isLateHello(now, remote, start.random)) {
      this.counters.unexpected++;
      return false;
    }
    const before = this.#halfOpen.find(remote);
    if (before !== undefined) {
      this.#halfOpen.remove(before);
      this.#report(now, before, 'replaced', howItWent(before), out);
    }
    if (!this.#admit(now, remote, out)) return false;
    const handshake = new ServerHandshake(address, this.#nextPeer++ as Peer, this.#policy, this.#random, {
      at: now,
      clientRandom: start.random,
      recordSequence: record.sequence,
      messageSequence,
    });
    const entry = this.#halfOpen.add(now.instant, remote, handshake);
    this.#apply(now, entry, handshake.receive(fragments), out);
    return false;
  }

  /** Whether a client that proved its address may begin a handshake. If not it hears nothing, and will ask again. */
  #admit(now: Now, remote: Remote, out: DtlsOut): boolean {
    const limit = this.#halfOpen.isNetworkFull(remote)
      ? 'networkFull'
      : this.#admission.refusesToBegin(now.instant, remote);
    if (limit === 'handshakeRate') this.counters.handshakeRate++;
    else if (limit !== undefined) this.#refuse(now, remote, limit, undefined, out);
    if (limit !== undefined) return false;
    if (this.#halfOpen.isFull) {
      const stale = this.#halfOpen.stale(now.instant);
      this.counters.handshakesFull++;
      if (stale === undefined) return false;
      this.#halfOpen.remove(stale);
      this.#report(now, stale, 'handshakes-full', howItWent(stale), out);
    }
    this.#admission.begun(now.instant);
    return true;
  }

  #receiveChangeCipherSpec(now: Now, remote: Remote, record: DtlsRecord, out: DtlsOut): void {
    const entry = this.#halfOpen.find(remote);
    if (entry === undefined || record.fragment.length !== 1 || record.fragment[0] !== 1) {
      this.counters.unexpected++;
      return;
    }
    this.#apply(now, entry, entry.handshake.receiveChangeCipherSpec(), out);
  }

  /** In clear it is anybody's word: it ends nothing. */
  #receiveUnprotected(remote: Remote, record: DtlsRecord): void {
    this.counters.unprotected++;
    const alert = record.type === ContentType.alert ? decodeAlert(record.fragment) : undefined;
    const entry = this.#halfOpen.find(remote);
    if (alert !== undefined && entry !== undefined) entry.handshake.alertInClear = alert.description;
  }

  #receiveProtected(now: Now, remote: Remote, record: DtlsRecord, out: DtlsOut): void {
    const row = record.cid.length === 0 ? this.#rowAt(now, remote, out) : this.#rowOf(now, record.cid, out);
    // The old association first: while a new handshake is under way it is still good, and what it opens is its own.
    if (row !== undefined && this.#associations.receive(now, row, remote, record, out)) return;
    const entry = this.#halfOpen.find(remote);
    if (entry !== undefined) this.#apply(now, entry, entry.handshake.receiveProtected(record), out);
    else if (row === undefined) this.counters.noAssociation++;
  }

  #rowAt(now: Now, remote: Remote, out: DtlsOut): SessionRow | undefined {
    return this.#associations.byAddress(remote) ?? this.#wake(now, () => this.#sleepers.byAddress(remote), out);
  }

  #rowOf(now: Now, cid: Bytes, out: DtlsOut): SessionRow | undefined {
    const peer = this.#policy.cids?.peer(cid);
    if (peer === undefined) return undefined;
    return this.#associations.byPeer(peer) ?? this.#wake(now, () => this.#sleepers.byPeer(peer), out);
  }

  /** Not without room for it: whoever is awake has shown more than that somebody sends a record in his name. */
  #wake(now: Now, sleeper: () => SessionState | undefined, out: DtlsOut): SessionRow | undefined {
    if (this.#associations.isFull) return undefined;
    const state = sleeper();
    return state !== undefined && this.restore(now, state, out) ? this.#associations.byPeer(state.peer) : undefined;
  }

  #apply(now: Now, entry: HalfOpen, step: HandshakeStep, out: DtlsOut): void {
    switch (step.kind) {
      case 'nothing':
        return;
      case 'send':
        this.#halfOpen.restartTimer(now.instant, entry);
        return out.transmit(entry.remote, step.datagram);
      case 'alert':
        out.transmit(entry.remote, step.datagram);
        return this.#report(now, entry, step.fault, undefined, out);
      case 'failed':
        this.#halfOpen.remove(entry);
        out.transmit(entry.remote, step.datagram);
        return this.#report(now, entry, step.fault, step.detail, out);
      case 'established':
        this.#halfOpen.remove(entry);
        if (this.#admission.mayComplete(now.instant, step.result.owner)) {
          return this.#establish(now, entry, step.result, out);
        }
        return this.#refuse(now, entry.remote, 'identityRate', step.result.identity, out);
      case 'held-off':
        this.#halfOpen.remove(entry);
        return this.#refuse(now, entry.remote, 'identityRate', step.identity, out);
      default:
        assertNever(step);
    }
  }

  #establish(now: Now, { remote, handshake: { peer } }: HalfOpen, established: Established, out: DtlsOut): void {
    const state = this.#associations.establish(now, peer, remote, established, out);
    this.counters.established++;
    this.#admission.completed(now.instant, established.owner);
    const { identity, resumption } = established;
    out.verified(peer, { ...state, identity, resumption });
  }

  /** Once for each handshake: what becomes of it afterwards has the same reason. */
  #report(
    now: Now,
    { remote, handshake }: HalfOpen,
    fault: HandshakeFault,
    detail: string | undefined,
    out: DtlsOut,
  ): void {
    if (handshake.reported) return;
    handshake.reported = true;
    this.counters.failedHandshakes++;
    // To be crowded out was not its fault.
    if (fault !== 'handshakes-full') this.#admission.failed(now.instant, remote);
    const { identity } = handshake;
    const revoked = fault === 'unknown-identity' && identity !== undefined && this.#policy.psk.isRevoked?.(identity);
    out.failed({ at: now.wall, remote, fault: revoked ? 'revoked' : fault, identity, detail });
  }

  #refuse(now: Now, remote: Remote, limit: RateLimit, identity: Bytes | undefined, out: DtlsOut): void {
    this.counters[limit]++;
    out.failed({ at: now.wall, remote, fault: 'rate-limited', identity, detail: rateLimits[limit] });
  }
}

/** Where the endpoint writes what has to happen next. Views handed out are valid only during the call. */
export interface DtlsOut extends AssociationOut {
  /** The client proved its key. `confirmed` is owed for it. */
  verified(peer: Peer, session: Session): void;
  failed(report: HandshakeReport): void;
}

/** A session that just began. It holds secrets: for the one who makes it durable, and nobody else. */
export interface Session extends SessionState {
  readonly identity: Bytes;
  /** What it may be resumed with later, if it may. */
  readonly resumption: Resumption | undefined;
}

export interface DtlsOptions {
  readonly psk: PskPort;
  readonly random: RandomSource;
  /** The number of the first peer; each handshake takes the next one. */
  readonly firstPeer: number;
  /** Suites to agree to, most wanted first; by default all that we speak. */
  readonly suites?: readonly CipherSuite[];
  /** 32 bytes that turn unknown identities into keys; kept over restarts, an identity stays unknown in the same way. */
  readonly fakeKeySecret?: Bytes;
  /** Sessions of an earlier process; all of them have lower numbers than `firstPeer`. */
  readonly sleepers?: Sleepers;
  /** Without them a device whose address changes has to begin anew. */
  readonly cids?: ConnectionIds | undefined;
  /** Without it every handshake is a full one. */
  readonly resumption?: ResumptionPort | undefined;
  /** Without it, as it should be, the secrets of sessions go nowhere. */
  readonly keyLog?: KeyLog | undefined;
  readonly limits?: Partial<DtlsLimits>;
}

export interface DtlsLimits extends HalfOpenLimits, AdmissionLimits, AssociationLimits {
  /** How long after its full handshake a session may be resumed: a day at most is advised (RFC 5246 §F.1.4). */
  readonly resumptionLifetime: Milliseconds;
}

export const defaultLimits: DtlsLimits = {
  maxAssociations: 200_000,
  idleTimeout: days(7),
  maxAge: days(30),
  writeMarkStep: 1000,
  lastWriteSequence,
  maxHandshakes: 10_000,
  maxHandshakesPerNetwork: 4_000,
  firstTimeout: seconds(1),
  giveUpAfter: seconds(60),
  handshakeRate: { burst: Number.POSITIVE_INFINITY, perSecond: Number.POSITIVE_INFINITY },
  failuresPerNetwork: { burst: 2000, perSecond: 50 },
  handshakesPerIdentity: { burst: 10, perSecond: 0.1 },
  resumptionLifetime: days(1),
};

/** What leaves a client unanswered for what it or its network did, by counter, and what the operator reads of it. */
const rateLimits = {
  networkFull: 'its network has as many handshakes under way as it may',
  failureRate: 'too many handshakes from its network failed of late',
  identityRate: 'it completed too many handshakes of late',
} as const;
type RateLimit = keyof typeof rateLimits;

function startOf(fragment: Fragment): ClientHelloStart | undefined {
  if (fragment.type !== HandshakeType.clientHello || fragment.offset !== 0) return undefined;
  return decodeClientHelloStart(fragment.body);
}

function howItWent({ flights, handshake }: HalfOpen): string {
  const alert = handshake.alertInClear;
  return `${flights} flights sent${alert === undefined ? '' : `, an alert ${alertName(alert)} came in clear`}`;
}

/** A flight has at most a handful of records. The rest of a datagram that goes on and on is not worth its time. */
const maxRecords = 32;
