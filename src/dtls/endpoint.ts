import { type Bytes, concatBytes, sameBytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import { after, type Instant, type Now, seconds } from '../base/time.ts';
import { AlertDescription, decodeAlert, encodeAlert } from './codec/alert.ts';
import { type CipherSuite, cipherSuites } from './codec/cipherSuite.ts';
import { type ClientHelloStart, decodeClientHelloStart } from './codec/clientHello.ts';
import { decodeFragments, encodeHandshake, type Fragment, HandshakeType } from './codec/handshake.ts';
import { encodeHelloVerifyRequest } from './codec/helloVerifyRequest.ts';
import {
  ContentType,
  type DtlsRecord,
  decodeRecord,
  dtls10,
  dtls12,
  encodePlainRecord,
  maxSequence,
  recordHeaderLength,
} from './codec/record.ts';
import { Cookies } from './cookie.ts';
import { Hmac } from './crypto/hmac.ts';
import type { CloseReason, HandshakeFault, HandshakeReport } from './fault.ts';
import { type HalfOpen, type HalfOpenLimits, HalfOpenTable } from './halfOpen.ts';
import { openRecord, sealRecord } from './protection.ts';
import type { Owner, PskPort } from './psk.ts';
import { type Established, type HandshakePolicy, type HandshakeStep, ServerHandshake } from './serverHandshake.ts';
import { type SessionRow, SessionTable } from './sessionTable.ts';

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
  readonly #sessions: SessionTable;
  // In the order of the handshakes: what is needed to send a last flight again, for as long as the client may ask.
  readonly #lastFlights = new Map<Peer, LastFlight>();
  #nextPeer: number;

  constructor(options: DtlsOptions) {
    const limits = { ...defaultLimits, ...options.limits };
    this.#random = options.random;
    this.#policy = {
      suites: options.suites ?? cipherSuites,
      psk: options.psk,
      fakeKeys: new Hmac('sha256', options.fakeKeySecret ?? options.random.bytes(32)),
    };
    this.#cookies = new Cookies(options.random);
    this.#halfOpen = new HalfOpenTable(limits);
    this.#sessions = new SessionTable(limits.maxAssociations, Math.floor(options.random.fraction() * 2 ** 32));
    this.#nextPeer = options.firstPeer;
  }

  /** Takes one datagram. Whatever it holds, this neither throws nor keeps a view of it. */
  receive(now: Now, remote: Remote, datagram: Bytes, out: DtlsOut): void {
    let verifyRequests = 0;
    for (let at = 0; at < datagram.length; ) {
      const record = decodeRecord(datagram, at);
      if (record === undefined) {
        this.counters.malformed++;
        return;
      }
      at += recordHeaderLength + record.fragment.length;
      if (record.epoch === 1) this.#receiveProtected(now, remote, record, out);
      else if (record.epoch !== 0) this.counters.unknownEpoch++;
      else if (record.type === ContentType.changeCipherSpec) this.#receiveChangeCipherSpec(now, remote, record, out);
      else if (record.type === ContentType.handshake) {
        // One answer a datagram, so that many hellos in one do not amplify.
        if (this.#receiveHandshake(now, remote, record, verifyRequests === 0, out)) verifyRequests++;
      } else {
        // An alert in clear is anybody's: it ends nothing. So is application data.
        this.counters.unprotected++;
      }
    }
  }

  /** Seals and sends; nothing happens if the peer's session is gone, or waits to be confirmed. */
  send(peer: Peer, plaintext: Bytes, out: DtlsOut): void {
    const row = this.#sessions.byPeer(peer);
    if (row === undefined || !this.#sessions.isConfirmed(row)) return;
    this.#sendRecord(row, ContentType.applicationData, plaintext, out);
  }

  /** The session is durable: its last flight may leave, and its traffic flow. */
  confirmed(peer: Peer, out: DtlsOut): void {
    const row = this.#sessions.byPeer(peer);
    if (row === undefined || this.#sessions.isConfirmed(row)) return;
    this.#sessions.confirm(row);
    this.#sendLastFlight(row, out);
  }

  /** Ends a session: close_notify goes out, and `out.closed` tells of it. */
  close(peer: Peer, reason: CloseReason, out: DtlsOut): void {
    const row = this.#sessions.byPeer(peer);
    if (row === undefined) return;
    if (this.#sessions.isConfirmed(row)) {
      this.#sendAlert(row, 'warning', AlertDescription.closeNotify, out);
    }
    this.#remove(row, reason, out);
  }

  /** Ends the session of this credential, if there is one: it was revoked. */
  revoke(owner: Owner, out: DtlsOut): void {
    const row = this.#sessions.byOwner(owner);
    if (row === undefined || this.#sessions.owner(row).credential !== owner.credential) return;
    this.close(this.#sessions.peer(row), 'revoked', out);
  }

  expire(now: Now, out: DtlsOut): void {
    for (let due = this.#halfOpen.takeDue(now.instant); due !== undefined; due = this.#halfOpen.takeDue(now.instant)) {
      if (due.over) {
        this.#halfOpen.remove(due.entry);
        if (!due.entry.handshake.reported) this.#report(now, due.entry, 'gave-up', flightsSent(due.entry), out);
        continue;
      }
      const again = due.entry.handshake.retransmission();
      if (again.kind === 'send') {
        due.entry.flights++;
        this.counters.retransmissions++;
        out.transmit(due.entry.remote, again.datagram);
      }
    }
    for (const [peer, flight] of this.#lastFlights) {
      if (flight.until > now.instant) break;
      this.#lastFlights.delete(peer);
    }
  }

  nextExpiry(): Instant | undefined {
    const next = this.#halfOpen.nextExpiry();
    for (const { until } of this.#lastFlights.values()) return next === undefined || until < next ? until : next;
    return next;
  }

  sizes(): { associations: number; handshakes: number; lastFlights: number } {
    return {
      associations: this.#sessions.size,
      handshakes: this.#halfOpen.size,
      lastFlights: this.#lastFlights.size,
    };
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
    const start = first.type === HandshakeType.clientHello && first.offset === 0 ? startOf(first) : undefined;
    if (start === undefined || (entry !== undefined && sameBytes(start.random, entry.handshake.clientRandom))) {
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
    const before = this.#halfOpen.find(remote);
    if (before !== undefined) this.#halfOpen.remove(before);
    if (this.#halfOpen.isPrefixFull(remote)) {
      this.counters.prefixLimit++;
      return false;
    }
    const surplus = this.#halfOpen.surplus();
    if (surplus !== undefined) {
      this.#halfOpen.remove(surplus);
      this.#report(now, surplus, 'handshakes-full', undefined, out);
    }
    const handshake = new ServerHandshake(
      address,
      this.#policy,
      this.#random,
      start.random,
      record.sequence,
      messageSequence,
    );
    const entry = this.#halfOpen.add(now.instant, remote, handshake);
    this.#apply(now, entry, handshake.receive(fragments), out);
    return false;
  }

  #receiveChangeCipherSpec(now: Now, remote: Remote, record: DtlsRecord, out: DtlsOut): void {
    const entry = this.#halfOpen.find(remote);
    if (entry === undefined || record.fragment.length !== 1 || record.fragment[0] !== 1) {
      this.counters.unexpected++;
      return;
    }
    this.#apply(now, entry, entry.handshake.receiveChangeCipherSpec(), out);
  }

  #receiveProtected(now: Now, remote: Remote, record: DtlsRecord, out: DtlsOut): void {
    const row = this.#sessions.byAddress(remote);
    // The old association first: while a new handshake is under way it is still good, and what it opens is its own.
    if (row !== undefined && this.#receiveOnSession(now, row, record, out)) return;
    const entry = this.#halfOpen.find(remote);
    if (entry !== undefined) return this.#apply(now, entry, entry.handshake.receiveProtected(record), out);
    if (row === undefined) this.counters.noAssociation++;
  }

  /** `false` if the record is not of this association, or not new. */
  #receiveOnSession(now: Now, row: SessionRow, record: DtlsRecord, out: DtlsOut): boolean {
    const sessions = this.#sessions;
    if (!sessions.isNewRead(row, record.sequence)) {
      this.counters.replayed++;
      return false;
    }
    const plaintext = openRecord(sessions.suite(row), sessions.clientKeys(row), record);
    if (plaintext === undefined) {
      this.counters.notAuthentic++;
      return false;
    }
    sessions.markRead(row, record.sequence);
    sessions.heard(row, now.instant);
    switch (record.type) {
      case ContentType.applicationData:
        if (sessions.isConfirmed(row) && plaintext.length > 0) {
          out.deliver(sessions.peer(row), plaintext, record.sequence);
        }
        break;
      case ContentType.alert:
        this.#receiveAlert(row, plaintext, out);
        break;
      case ContentType.handshake:
        this.#receiveLateHandshake(row, plaintext, out);
        break;
      default:
        this.counters.unexpected++;
    }
    return true;
  }

  #receiveAlert(row: SessionRow, plaintext: Bytes, out: DtlsOut): void {
    const alert = decodeAlert(plaintext);
    if (alert === undefined) return;
    if (alert.description === AlertDescription.closeNotify) {
      if (this.#sessions.isConfirmed(row)) this.#sendAlert(row, 'warning', AlertDescription.closeNotify, out);
      this.#remove(row, 'close-notify', out);
    } else if (alert.level === 'fatal') {
      this.#remove(row, 'peer-alert', out);
    }
  }

  /** Inside an association: the Finished again, because our last flight was lost, or a wish to renegotiate. */
  #receiveLateHandshake(row: SessionRow, plaintext: Bytes, out: DtlsOut): void {
    const first = decodeFragments(plaintext)?.[0];
    if (first?.type === HandshakeType.finished) this.#sendLastFlight(row, out);
    else if (first?.type === HandshakeType.clientHello && this.#sessions.isConfirmed(row)) {
      this.#sendAlert(row, 'warning', AlertDescription.noRenegotiation, out);
    }
  }

  #apply(now: Now, entry: HalfOpen, step: HandshakeStep, out: DtlsOut): void {
    switch (step.kind) {
      case 'nothing':
        return;
      case 'send':
        return out.transmit(entry.remote, step.datagram);
      case 'alert':
        entry.handshake.reported = true;
        out.transmit(entry.remote, step.datagram);
        return this.#report(now, entry, step.fault, undefined, out);
      case 'failed':
        this.#halfOpen.remove(entry);
        out.transmit(entry.remote, step.datagram);
        if (!entry.handshake.reported) this.#report(now, entry, step.fault, step.detail, out);
        return;
      case 'established':
        this.#halfOpen.remove(entry);
        return this.#establish(now, entry.remote, step.result, out);
    }
  }

  /** The client proved that it holds the key: what it replaces goes, and not before. */
  #establish(now: Now, remote: Remote, established: Established, out: DtlsOut): void {
    const sessions = this.#sessions;
    const atAddress = sessions.byAddress(remote);
    if (atAddress !== undefined) this.#remove(atAddress, 'replaced', out);
    const ofOwner = sessions.byOwner(established.owner);
    if (ofOwner !== undefined) this.#remove(ofOwner, 'replaced', out);
    if (sessions.size === sessions.capacity) this.#remove(sessions.leastRecentlyHeard()!, 'evicted', out);

    const peer = this.#nextPeer++ as Peer;
    const { owner, suite, keys, readSequence, identity, finished, plainSequence } = established;
    sessions.add(now.instant, { peer, remote, owner, suite, keys, readSequence });
    if (this.#lastFlights.size >= maxLastFlights) {
      for (const oldest of this.#lastFlights.keys()) {
        this.#lastFlights.delete(oldest);
        break;
      }
    }
    this.#lastFlights.set(peer, { finished, plainSequence, until: after(now.instant, lastFlightLifetime) });
    this.counters.established++;
    out.verified(peer, { remote, owner, identity, suite });
  }

  /** ChangeCipherSpec, then Finished, each in a record of its own with a new sequence number (flight 6). */
  #sendLastFlight(row: SessionRow, out: DtlsOut): void {
    const flight = this.#lastFlights.get(this.#sessions.peer(row));
    if (flight === undefined || !this.#sessions.isConfirmed(row)) return;
    const change = Uint8Array.of(1);
    out.transmit(
      this.#sessions.remote(row),
      concatBytes(
        encodePlainRecord(ContentType.changeCipherSpec, dtls12, flight.plainSequence++, change),
        this.#seal(row, ContentType.handshake, flight.finished),
      ),
    );
  }

  #sendRecord(row: SessionRow, type: number, plaintext: Bytes, out: DtlsOut): void {
    const record = this.#seal(row, type, plaintext);
    out.transmit(this.#sessions.remote(row), record);
  }

  #sendAlert(row: SessionRow, level: 'warning' | 'fatal', description: number, out: DtlsOut): void {
    this.#sendRecord(row, ContentType.alert, encodeAlert({ level, description }), out);
  }

  #seal(row: SessionRow, type: number, plaintext: Bytes): Bytes {
    const sequence = this.#sessions.takeWriteSequence(row);
    // 2^48 records: centuries at a thousand a second. One more would use a nonce twice.
    if (sequence > maxSequence) throw new RangeError('sequence numbers are used up');
    return sealRecord(this.#sessions.suite(row), this.#sessions.serverKeys(row), type, 1, sequence, plaintext);
  }

  #remove(row: SessionRow, reason: CloseReason, out: DtlsOut): void {
    const peer = this.#sessions.peer(row);
    this.#lastFlights.delete(peer);
    this.#sessions.remove(row);
    out.closed(peer, reason);
  }

  #report(now: Now, entry: HalfOpen, fault: HandshakeFault, detail: string | undefined, out: DtlsOut): void {
    this.counters.failedHandshakes++;
    out.failed({ at: now.wall, remote: entry.remote, fault, identity: entry.handshake.identity, detail });
  }
}

/** Where the endpoint writes what has to happen next. Views handed out are valid only during the call. */
export interface DtlsOut {
  transmit(remote: Remote, datagram: Bytes): void;
  /** The client proved its key. `confirmed` is owed for it. */
  verified(peer: Peer, session: Session): void;
  /** Authentic application data, once and in no particular order; `sequence` is its record's. */
  deliver(peer: Peer, plaintext: Bytes, sequence: number): void;
  closed(peer: Peer, reason: CloseReason): void;
  failed(report: HandshakeReport): void;
}

export interface Session {
  readonly remote: Remote;
  readonly owner: Owner;
  readonly identity: Bytes;
  readonly suite: CipherSuite;
}

export interface DtlsOptions {
  readonly psk: PskPort;
  readonly random: RandomSource;
  /** The number of the first peer; each association takes the next one. */
  readonly firstPeer: number;
  /** Suites to agree to, most wanted first; by default all that we speak. */
  readonly suites?: readonly CipherSuite[];
  /** 32 bytes that turn unknown identities into keys; kept over restarts, an identity stays unknown in the same way. */
  readonly fakeKeySecret?: Bytes;
  readonly limits?: Partial<DtlsLimits>;
}

export interface DtlsLimits extends HalfOpenLimits {
  /** How many established associations there may be; beyond it the least recently heard goes. */
  readonly maxAssociations: number;
}

/** What was dropped or happened, by reason. */
export interface DtlsCounters {
  malformed: number;
  unknownEpoch: number;
  unprotected: number;
  unexpected: number;
  noAssociation: number;
  replayed: number;
  notAuthentic: number;
  verifyRequests: number;
  prefixLimit: number;
  retransmissions: number;
  failedHandshakes: number;
  established: number;
}

export const defaultLimits: DtlsLimits = {
  maxAssociations: 200_000,
  maxHandshakes: 10_000,
  maxHandshakesPerPrefix: 4_000,
  firstTimeout: seconds(1),
  giveUpAfter: seconds(60),
};

interface LastFlight {
  readonly finished: Bytes;
  plainSequence: number;
  readonly until: Instant;
}

function startOf(fragment: Fragment): ClientHelloStart | undefined {
  return decodeClientHelloStart(fragment.body);
}

function flightsSent(entry: HalfOpen): string {
  return `after ${entry.flights} flights`;
}

function newCounters(): DtlsCounters {
  return {
    malformed: 0,
    unknownEpoch: 0,
    unprotected: 0,
    unexpected: 0,
    noAssociation: 0,
    replayed: 0,
    notAuthentic: 0,
    verifyRequests: 0,
    prefixLimit: 0,
    retransmissions: 0,
    failedHandshakes: 0,
    established: 0,
  };
}

/** Twice the maximum segment lifetime of TCP (RFC 6347 §4.2.4). */
const lastFlightLifetime = seconds(240);
const maxLastFlights = 20_000;
