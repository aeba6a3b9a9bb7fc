import { type Bytes, sameBytes } from '../base/bytes.ts';
import { type Peer, type Remote, sameRemote } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import { after, type Instant, type Milliseconds, type Now, seconds } from '../base/time.ts';
import type { AssociationOut } from './associationOut.ts';
import { AssociationSender, type SenderLimits } from './associationSender.ts';
import { AlertDescription, decodeAlert, encodeAlert } from './codec/alert.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import { decodeFragments, HandshakeType } from './codec/handshake.ts';
import { ContentType, type DtlsRecord, recordLength } from './codec/record.ts';
import { decodePathMessage, encodePathMessage, PathMessage, pathCookieLength } from './codec/returnRoutability.ts';
import type { DtlsCounters } from './counters.ts';
import { EarlyData } from './earlyData.ts';
import type { Established } from './established.ts';
import type { CloseReason } from './fault.ts';
import { Moves } from './moves.ts';
import { openRecord } from './protection.ts';
import type { Owner } from './psk.ts';
import { type SessionState, sessionState } from './sessionState.ts';
import { type SessionRow, SessionTable } from './sessionTable.ts';

/**
 * The established associations: what protected records do to them, and what they send. A record that is not new or does
 * not open is counted and changes nothing; nothing in clear ever comes here.
 */
export class Associations {
  readonly #sessions: SessionTable;
  readonly #counters: DtlsCounters;
  readonly #limits: AssociationLimits;
  readonly #sender: AssociationSender;

  readonly #moves: Moves;
  readonly #early = new EarlyData();
  readonly #random: RandomSource;

  constructor(limits: AssociationLimits, random: RandomSource, counters: DtlsCounters) {
    this.#sessions = new SessionTable(limits.maxAssociations, Math.floor(random.fraction() * 2 ** 32));
    this.#random = random;
    this.#counters = counters;
    this.#limits = limits;
    this.#moves = new Moves(counters);
    this.#sender = new AssociationSender(this.#sessions, this.#moves, limits, counters);
  }

  get size(): number {
    return this.#sessions.size;
  }

  get isFull(): boolean {
    return this.#sessions.size === this.#sessions.capacity;
  }

  byAddress(remote: Remote): SessionRow | undefined {
    return this.#sessions.byAddress(remote);
  }

  byPeer(peer: Peer): SessionRow | undefined {
    return this.#sessions.byPeer(peer);
  }

  /** Whether it is found by a connection ID, wherever its peer is. */
  hasCid(row: SessionRow): boolean {
    return this.#sessions.hasCid(row);
  }

  /**
   * Whether this hello is a late copy of the one that this address' session began with. To begin anew on it would take
   * the client's next retransmission for part of a handshake that the client knows nothing of. Not for long: a device
   * whose random numbers repeat after a restart must not be kept out.
   */
  isLateHello(now: Now, remote: Remote, clientRandom: Bytes): boolean {
    const row = this.#sessions.byAddress(remote);
    if (row === undefined || !this.#sessions.beganWith(row, clientRandom)) return false;
    return this.#age(now, row) < lateHelloLifetime;
  }

  /**
   * The client proved that it holds the key: what it replaces goes, and not before (RFC 6347 §4.2.8). Returns what has
   * to be durable before `confirm`.
   */
  establish(now: Now, peer: Peer, remote: Remote, established: Established, out: AssociationOut): SessionState {
    const state = sessionState(peer, remote, now.wall, established, this.#limits.writeMarkStep);
    this.#makeRoom(state, out);
    this.#sessions.add(now.instant, state);
    return state;
  }

  /**
   * Goes on with a session of an earlier process. Its numbers begin at the write mark, since those below may have been
   * used; it counts as heard just now, since it could not be heard before. `false` if there is no room for it, and if
   * somebody newer has its place: then it is over.
   */
  restore(now: Now, state: SessionState, out: AssociationOut): boolean {
    const sessions = this.#sessions;
    if (this.isFull) return false;
    const atAddress = sessions.byAddress(state.remote);
    const inTheWay = atAddress !== undefined && !sessions.hasCid(atAddress) ? atAddress : undefined;
    const ofOwner = sessions.byOwner(state.owner);
    // Two at one address: the newer one, by the number of the association, is the one that is there.
    const isNewer = (other: SessionRow | undefined) => other !== undefined && sessions.peer(other) > state.peer;
    const isReplaced = isNewer(ofOwner);
    if (isReplaced || (isNewer(inTheWay) && state.cids === undefined)) {
      out.closed(state.peer, state.owner, isReplaced ? 'replaced' : 'displaced');
      return false;
    }
    // The other one is found by its connection ID, if it has one: it is elsewhere by now.
    const isElsewhere = inTheWay !== undefined && isNewer(inTheWay);
    if (isElsewhere) sessions.releaseAddress(inTheWay);
    this.#makeRoom(state, out);
    const row = sessions.add(now.instant, state);
    if (isElsewhere) {
      sessions.releaseAddress(row);
      sessions.moveTo(inTheWay, state.remote);
    }
    sessions.skipToWriteMark(row);
    sessions.confirm(row);
    return true;
  }

  /** The answer to `out.reserve`: the mark is durable; or, if it is no higher than the one before, did not become so. */
  reserved(peer: Peer, writeMark: number, out: AssociationOut): void {
    const row = this.#sessions.byPeer(peer);
    if (row === undefined) return;
    this.#sender.reserved(row, writeMark, out);
    this.#endIfExhausted(row, out);
  }

  /** The session is durable: its last flight may leave, and its traffic flow, with what came too early. */
  confirm(peer: Peer, out: AssociationOut): void {
    const row = this.#sessions.byPeer(peer);
    if (row === undefined || this.#sessions.isConfirmed(row)) return;
    this.#sessions.confirm(row);
    this.#sender.sendLastFlight(row, out);
    for (const { plaintext, sequence } of this.#early.take(row)) out.deliver(peer, plaintext, sequence);
  }

  send(peer: Peer, plaintext: Bytes, out: AssociationOut): void {
    const row = this.#sessions.byPeer(peer);
    if (row === undefined || !this.#sessions.isConfirmed(row)) return;
    if (plaintext.length > this.#sessions.maxPlaintext(row)) {
      this.#counters.tooLong++;
      return;
    }
    this.#sender.sendData(row, plaintext, out);
    this.#endIfExhausted(row, out);
  }

  /** Whose session this is and where it is heard from; `undefined` once it is gone. */
  session(peer: Peer): { remote: Remote; owner: Owner } | undefined {
    const row = this.#sessions.byPeer(peer);
    return row === undefined ? undefined : { remote: this.#sessions.remote(row), owner: this.#sessions.owner(row) };
  }

  writeSequence(peer: Peer): number | undefined {
    const row = this.#sessions.byPeer(peer);
    return row === undefined ? undefined : this.#sessions.writeSequence(row);
  }

  maxPlaintext(peer: Peer): number | undefined {
    const row = this.#sessions.byPeer(peer);
    return row === undefined ? undefined : this.#sessions.maxPlaintext(row);
  }

  close(peer: Peer, reason: CloseReason, out: AssociationOut): void {
    const row = this.#sessions.byPeer(peer);
    if (row === undefined) return;
    this.#sendAlert(row, AlertDescription.closeNotify, out);
    // Sealing the alert may have used up the last sequence number, and that has closed it.
    if (this.#sessions.byPeer(peer) === row) this.#remove(row, reason, out);
  }

  /** The peer of this owner, if there is one. */
  peerOf(owner: Owner): Peer | undefined {
    const row = this.#sessions.byOwner(owner);
    return row === undefined ? undefined : this.#sessions.peer(row);
  }

  /** The peer answered what was sent to this address: from now on it is the one. `false` if it is not where it was last. */
  proved(peer: Peer, remote: Remote, out: AssociationOut): boolean {
    const sessions = this.#sessions;
    const row = sessions.byPeer(peer);
    const move = row === undefined ? undefined : this.#moves.get(row);
    if (row === undefined || move === undefined || !sameRemote(move.remote, remote)) return false;
    this.#moves.end(row);
    this.#freeAddress(remote, out);
    sessions.moveTo(row, remote);
    this.#counters.moved++;
    out.moved(peer, sessions.owner(row), remote);
    return true;
  }

  /** Ends the sessions of which nothing was heard for too long. */
  expire(now: Instant, out: AssociationOut): void {
    this.#moves.expire(now);
    for (let next = this.#nextIdle(); next !== undefined && next <= now; next = this.#nextIdle()) {
      this.close(this.#sessions.peer(this.#sessions.leastRecentlyHeard()!), 'idle', out);
    }
  }

  nextExpiry(): Instant | undefined {
    const move = this.#moves.nextExpiry();
    const idle = this.#nextIdle();
    return move === undefined || idle === undefined ? (move ?? idle) : (Math.min(move, idle) as Instant);
  }

  #nextIdle(): Instant | undefined {
    const row = this.#sessions.leastRecentlyHeard();
    return row === undefined ? undefined : after(this.#sessions.heardAt(row), this.#limits.idleTimeout);
  }

  /** `false` if the record is not of this association, or not new. */
  receive(now: Now, row: SessionRow, remote: Remote, record: DtlsRecord, out: AssociationOut): boolean {
    const sessions = this.#sessions;
    // Agreed to, a connection ID has to be there (RFC 9146 §3).
    if (record.cid.length > 0 !== sessions.hasCid(row)) {
      this.#counters.wrongCid++;
      return false;
    }
    if (!sessions.isNewRead(row, record.sequence)) {
      this.#counters.replayed++;
      return false;
    }
    const opened = openRecord(sessions.suite(row), sessions.clientKeys(row), record);
    if (opened === undefined) {
      this.#counters.notAuthentic++;
      if (sessions.countForged(row) >= integrityLimit(sessions.suite(row))) this.#remove(row, 'forged', out);
      return false;
    }
    const newest = sessions.isNewestRead(row, record.sequence);
    sessions.markRead(row, record.sequence);
    sessions.heard(row, now.instant);
    if (this.#age(now, row) > this.#limits.maxAge) {
      this.close(sessions.peer(row), 'too-old', out);
      return true;
    }
    // A restored session has no number left: it gets some before its answer has to be sealed.
    this.#sender.reserve(row, out);
    // An older record says where the peer was, and not where it is.
    if (newest && sessions.hasCid(row) && sessions.isConfirmed(row))
      this.#heardFrom(now, row, remote, record, opened.type, out);
    const { type, plaintext } = opened;
    if (plaintext.length > sessions.maxPlaintext(row)) this.#counters.tooLong++;
    else if (type === ContentType.applicationData) this.#receiveData(row, plaintext, record.sequence, out);
    else if (type === ContentType.alert) this.#receiveAlert(row, plaintext, out);
    else if (type === ContentType.handshake) this.#receiveHandshake(now, row, plaintext, out);
    else if (type === ContentType.returnRoutabilityCheck) this.#receivePathMessage(row, remote, plaintext, out);
    else this.#counters.unexpected++;
    return true;
  }

  #heardFrom(now: Now, row: SessionRow, remote: Remote, record: DtlsRecord, type: number, out: AssociationOut): void {
    const sessions = this.#sessions;
    if (sessions.isAt(row, remote)) {
      this.#moves.end(row);
      return;
    }
    const isNews = this.#moves.note(now.instant, row, remote, recordLength(record));
    // The response to a challenge is not challenged: it is about to end the matter.
    if (type === ContentType.returnRoutabilityCheck) return;
    if (sessions.checksReturnRoutability(row)) this.#challenge(row, out);
    else if (isNews) out.moving(sessions.peer(row), remote);
  }

  /** Once for each record that comes from there: lost ones are made good by the next. */
  #challenge(row: SessionRow, out: AssociationOut): void {
    const cookie = this.#random.bytes(pathCookieLength);
    this.#moves.get(row)!.cookie = cookie;
    this.#send(row, ContentType.returnRoutabilityCheck, encodePathMessage(PathMessage.challenge, cookie), out);
  }

  #receivePathMessage(row: SessionRow, remote: Remote, plaintext: Bytes, out: AssociationOut): void {
    const message = decodePathMessage(plaintext);
    const cookie = this.#moves.get(row)?.cookie;
    if (message === undefined) this.#counters.malformed++;
    // The server has one address and challenges nobody to prove it; a response proves only what was asked.
    else if (message.type !== PathMessage.response || cookie === undefined || !sameBytes(cookie, message.cookie)) {
      this.#counters.unexpected++;
    } else this.proved(this.#sessions.peer(row), remote, out);
  }

  #receiveData(row: SessionRow, plaintext: Bytes, sequence: number, out: AssociationOut): void {
    if (plaintext.length === 0) return;
    if (this.#sessions.isConfirmed(row)) return out.deliver(this.#sessions.peer(row), plaintext, sequence);
    // Before our Finished left, a client that made a full handshake knows no session: it can have nothing to say.
    if (this.#sessions.finished(row) !== undefined) this.#counters.unexpected++;
    else if (!this.#early.hold(row, plaintext, sequence)) this.#counters.earlyFull++;
  }

  #receiveAlert(row: SessionRow, plaintext: Bytes, out: AssociationOut): void {
    const alert = decodeAlert(plaintext);
    if (alert === undefined) {
      this.#counters.malformed++;
    } else if (alert.description === AlertDescription.closeNotify) {
      // Answered in kind (RFC 5246 §7.2.1).
      this.close(this.#sessions.peer(row), 'close-notify', out);
    } else if (alert.level === 'fatal') {
      this.#remove(row, 'peer-alert', out);
    }
  }

  /** Inside an association: the Finished again, because our last flight was lost, or a wish to renegotiate. */
  #receiveHandshake(now: Now, row: SessionRow, plaintext: Bytes, out: AssociationOut): void {
    const type = decodeFragments(plaintext)?.[0]?.type;
    if (type === HandshakeType.finished && this.#age(now, row) < lastFlightLifetime) {
      if (this.#sessions.isConfirmed(row)) this.#sender.sendLastFlight(row, out);
    } else if (type === HandshakeType.clientHello) {
      this.#sendAlert(row, AlertDescription.noRenegotiation, out);
    } else {
      this.#counters.unexpected++;
    }
  }

  #sendAlert(row: SessionRow, description: number, out: AssociationOut): void {
    if (!this.#sessions.isConfirmed(row)) return;
    this.#send(row, ContentType.alert, encodeAlert({ level: 'warning', description }), out);
  }

  #send(row: SessionRow, type: number, plaintext: Bytes, out: AssociationOut): void {
    this.#sender.send(row, type, plaintext, out);
    this.#endIfExhausted(row, out);
  }

  /**
   * 2^48 records: centuries at a thousand a second. A session that gets there ends, since one more would use a nonce
   * twice (RFC 6347 §4.1: sequence numbers must not wrap).
   */
  #endIfExhausted(row: SessionRow, out: AssociationOut): void {
    if (this.#sessions.writeSequence(row) > this.#limits.lastWriteSequence) this.#remove(row, 'exhausted', out);
  }

  /** Address and owner of a new session get free, and a row for it. */
  #makeRoom({ owner, remote }: SessionState, out: AssociationOut): void {
    const sessions = this.#sessions;
    const ofOwner = sessions.byOwner(owner);
    if (ofOwner !== undefined) this.#remove(ofOwner, 'replaced', out);
    this.#freeAddress(remote, out);
    // Whoever hears that a session is over may go on with one that sleeps, which takes the room.
    while (this.isFull) {
      this.#counters.evicted++;
      this.#remove(sessions.leastRecentlyHeard()!, 'evicted', out);
    }
  }

  /** Whoever was at this address before is found by its connection ID, or not at all. */
  #freeAddress(remote: Remote, out: AssociationOut): void {
    const row = this.#sessions.byAddress(remote);
    if (row === undefined) return;
    if (this.#sessions.hasCid(row)) this.#sessions.releaseAddress(row);
    else this.#remove(row, 'displaced', out);
  }

  /** On the wall's clock, which goes on over restarts. */
  #age(now: Now, row: SessionRow): Milliseconds {
    return now.wall - this.#sessions.createdAt(row);
  }

  #remove(row: SessionRow, reason: CloseReason, out: AssociationOut): void {
    const peer = this.#sessions.peer(row);
    const owner = this.#sessions.owner(row);
    this.#sender.forget(row);
    this.#early.take(row);
    this.#moves.end(row);
    this.#sessions.remove(row);
    out.closed(peer, owner, reason);
  }
}

export interface AssociationLimits extends SenderLimits {
  /** How many established associations there may be; beyond it the least recently heard goes. */
  readonly maxAssociations: number;
  /** A session of which nothing was heard for so long ends. */
  readonly idleTimeout: Milliseconds;
  /** A session older than this ends with the next record that comes. */
  readonly maxAge: Milliseconds;
  /** The number of the last record that a session may send. */
  readonly lastWriteSequence: number;
}

/**
 * After how many records that do not open a session ends. Far beyond what a stranger can send by chance, and below what
 * it would take to forge one: 2^23 for CCM, 2^36 for GCM (RFC 9147 §4.5.3), more for an HMAC of 256 bits; a counter of
 * ours has 32 bits.
 */
function integrityLimit({ cipher }: CipherSuite): number {
  return cipher.endsWith('ccm') ? 2 ** 23 : 2 ** 32 - 1;
}

/** As long as a client retransmits. */
const lateHelloLifetime = seconds(60);
/** Twice the maximum segment lifetime of TCP (RFC 6347 §4.2.4). */
const lastFlightLifetime = seconds(240);
