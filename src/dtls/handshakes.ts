import { type Bytes, sameBytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import type { Instant, Now } from '../base/time.ts';
import { assertNever } from '../base/unreachable.ts';
import { Admission } from './admission.ts';
import { alertName, decodeAlert } from './codec/alert.ts';
import { cipherSuites } from './codec/cipherSuite.ts';
import { type ClientHelloStart, decodeClientHelloStart } from './codec/clientHello.ts';
import { decodeFragments, encodeHandshake, type Fragment, HandshakeType } from './codec/handshake.ts';
import { encodeHelloVerifyRequest } from './codec/helloVerifyRequest.ts';
import { ContentType, type DtlsRecord, dtls10, encodePlainRecord } from './codec/record.ts';
import { Cookies } from './cookie.ts';
import type { DtlsCounters } from './counters.ts';
import { Hmac } from './crypto/hmac.ts';
import type { Established } from './established.ts';
import type { HandshakeFault } from './fault.ts';
import { type HalfOpen, HalfOpenTable } from './halfOpen.ts';
import type { HandshakePolicy, HandshakeStep } from './handshakeStep.ts';
import type { DtlsOut } from './out.ts';
import type { Owner } from './psk.ts';
import { ServerHandshake } from './serverHandshake.ts';
import type { DtlsLimits, DtlsOptions } from './settings.ts';

/**
 * The handshakes under way, of all clients: from a hello that nobody asked for, over the cookie that proves its address,
 * to the session. Until that proof nothing is kept, and no more bytes go out than came in. Who may begin and who may
 * complete one `Admission` says; what is said in one is the business of `ServerHandshake`.
 */
export class Handshakes {
  readonly #policy: HandshakePolicy;
  readonly #random: RandomSource;
  readonly #counters: DtlsCounters;
  readonly #associations: EstablishedAssociations;
  readonly #cookies: Cookies;
  readonly #halfOpen: HalfOpenTable;
  readonly #admission: Admission;
  #nextPeer: number;

  constructor(options: DtlsOptions, limits: DtlsLimits, counters: DtlsCounters, associations: EstablishedAssociations) {
    this.#random = options.random;
    this.#counters = counters;
    this.#associations = associations;
    this.#admission = new Admission(limits);
    this.#policy = {
      suites: options.suites ?? cipherSuites,
      psk: options.psk,
      cids: options.cids,
      resumption: options.resumption,
      keyLog: options.keyLog,
      resumptionLifetime: limits.resumptionLifetime,
      mayComplete: (now, owner) => this.#admission.mayComplete(now, owner),
      isResuming: owner => this.#halfOpen.isResuming(owner),
      fakeKeys: new Hmac('sha256', options.fakeKeySecret ?? options.random.bytes(32)),
    };
    this.#cookies = new Cookies(options.random);
    this.#halfOpen = new HalfOpenTable(limits);
    this.#nextPeer = options.firstPeer;
  }

  get size(): number {
    return this.#halfOpen.size;
  }

  get throttled(): number {
    return this.#admission.size;
  }

  /** The number of the next one, which becomes its association's. */
  get nextPeer(): number {
    return this.#nextPeer;
  }

  /** Association `peer` is there from an earlier process: the next ones have higher numbers. */
  passOver(peer: Peer): void {
    this.#nextPeer = Math.max(this.#nextPeer, peer + 1);
  }

  /** Drops one that this owner's key would complete. */
  removeOwner(owner: Owner): void {
    this.#halfOpen.removeOwner(owner);
  }

  /** Takes a handshake record in clear. `true` if it was answered with a HelloVerifyRequest. */
  receive(now: Now, remote: Remote, record: DtlsRecord, mayVerify: boolean, out: DtlsOut): boolean {
    const fragments = decodeFragments(record.fragment);
    if (fragments === undefined) {
      this.#counters.malformed++;
      return false;
    }
    const entry = this.#halfOpen.find(remote);
    const first = fragments[0]!;
    const start = startOf(first);
    if (start === undefined || (entry !== undefined && sameBytes(start.random, entry.handshake.clientRandom))) {
      // A fragment that is not the first of a hello, from nobody we know, waits for nothing: it is not kept.
      if (entry === undefined) this.#counters.unexpected++;
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
      this.#counters.verifyRequests++;
      out.transmit(remote, encodePlainRecord(ContentType.handshake, dtls10, record.sequence, message));
      return true;
    }
    if (this.#associations.isLateHello(now, remote, start.random)) {
      this.#counters.unexpected++;
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

  receiveChangeCipherSpec(now: Now, remote: Remote, record: DtlsRecord, out: DtlsOut): void {
    const entry = this.#halfOpen.find(remote);
    if (entry === undefined || record.fragment.length !== 1 || record.fragment[0] !== 1) {
      this.#counters.unexpected++;
      return;
    }
    this.#apply(now, entry, entry.handshake.receiveChangeCipherSpec(), out);
  }

  /** Takes an alert, or whatever else came in clear: it is anybody's word, and ends nothing. */
  receiveUnprotected(remote: Remote, record: DtlsRecord): void {
    this.#counters.unprotected++;
    const alert = record.type === ContentType.alert ? decodeAlert(record.fragment) : undefined;
    const entry = this.#halfOpen.find(remote);
    if (alert !== undefined && entry !== undefined) entry.handshake.alertInClear = alert.description;
  }

  /** Takes a record of epoch 1. `false` if no handshake is under way with this address. */
  receiveProtected(now: Now, remote: Remote, record: DtlsRecord, out: DtlsOut): boolean {
    const entry = this.#halfOpen.find(remote);
    if (entry === undefined) return false;
    this.#apply(now, entry, entry.handshake.receiveProtected(record), out);
    return true;
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
      this.#counters.retransmissions++;
      out.transmit(entry.remote, again.datagram);
    }
    this.#admission.expire(now.instant);
  }

  nextExpiry(): Instant | undefined {
    return this.#halfOpen.nextExpiry();
  }

  /** Whether a client that proved its address may begin a handshake. If not it hears nothing, and will ask again. */
  #admit(now: Now, remote: Remote, out: DtlsOut): boolean {
    const limit = this.#halfOpen.isNetworkFull(remote)
      ? 'networkFull'
      : this.#admission.refusesToBegin(now.instant, remote);
    if (limit === 'handshakeRate') this.#counters.handshakeRate++;
    else if (limit !== undefined) this.#refuse(now, remote, limit, undefined, out);
    if (limit !== undefined) return false;
    if (this.#halfOpen.isFull) {
      const stale = this.#halfOpen.stale(now.instant);
      this.#counters.handshakesFull++;
      if (stale === undefined) return false;
      this.#halfOpen.remove(stale);
      this.#report(now, stale, 'handshakes-full', howItWent(stale), out);
    }
    this.#admission.begun(now.instant);
    return true;
  }

  #apply(now: Now, entry: HalfOpen, step: HandshakeStep, out: DtlsOut): void {
    switch (step.kind) {
      case 'nothing':
        return;
      case 'send':
        this.#halfOpen.restartTimer(now.instant, entry);
        if (entry.handshake.resuming !== undefined) this.#halfOpen.resumes(entry, entry.handshake.resuming);
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
        // Its client has begun anew since, from elsewhere, and come to an end with that: this Finished was late.
        if ((this.#associations.peerOf(step.result.owner) ?? 0) > entry.handshake.peer) {
          return this.#report(now, entry, 'replaced', howItWent(entry), out);
        }
        // Who resumes was asked about before our Finished left, and believes in its session since.
        if (step.result.lastFlight === undefined || this.#admission.mayComplete(now.instant, step.result.owner)) {
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
    this.#counters.established++;
    this.#admission.completed(now.instant, established.owner);
    this.#associations.establish(now, peer, remote, established, out);
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
    this.#counters.failedHandshakes++;
    // To be crowded out was not its fault.
    if (fault !== 'handshakes-full') this.#admission.failed(now.instant, remote);
    const { identity } = handshake;
    const revoked = fault === 'unknown-identity' && identity !== undefined && this.#policy.psk.isRevoked?.(identity);
    out.failed({ at: now.wall, remote, fault: revoked ? 'revoked' : fault, identity, detail });
  }

  #refuse(now: Now, remote: Remote, limit: RateLimit, identity: Bytes | undefined, out: DtlsOut): void {
    this.#counters[limit]++;
    out.failed({ at: now.wall, remote, fault: 'rate-limited', identity, detail: rateLimits[limit] });
  }
}

/** What handshakes have to know of associations, and where they hand on what they come to. */
export interface EstablishedAssociations {
  isLateHello(now: Now, remote: Remote, clientRandom: Bytes): boolean;
  /** The session that an owner has: of two, the one that began later. */
  peerOf(owner: Owner): Peer | undefined;
  establish(now: Now, peer: Peer, remote: Remote, established: Established, out: DtlsOut): void;
}

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
