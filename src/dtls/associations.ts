import { type Bytes, concatBytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import { after, type Instant, type Milliseconds, type Now, seconds } from '../base/time.ts';
import { AlertDescription, decodeAlert, encodeAlert } from './codec/alert.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import { decodeFragments, encodeHandshake, HandshakeType } from './codec/handshake.ts';
import { ContentType, type DtlsRecord, dtls12, encodePlainRecord, maxSequence } from './codec/record.ts';
import type { DtlsCounters } from './counters.ts';
import type { CloseReason } from './fault.ts';
import { openRecord, sealRecord } from './protection.ts';
import type { Owner } from './psk.ts';
import type { Established } from './serverHandshake.ts';
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
  /** Application data that waits for a sequence number: little, and not for long, since a mark is under way. */
  readonly #held = new Map<Peer, Bytes[]>();

  constructor(limits: AssociationLimits, seed: number, counters: DtlsCounters) {
    this.#sessions = new SessionTable(limits.maxAssociations, seed);
    this.#counters = counters;
    this.#limits = limits;
  }

  get size(): number {
    return this.#sessions.size;
  }

  byAddress(remote: Remote): SessionRow | undefined {
    return this.#sessions.byAddress(remote);
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
   * used; it counts as heard just now, since it could not be heard before. `false` if there is no room for it.
   */
  restore(now: Now, state: SessionState, out: AssociationOut): boolean {
    const sessions = this.#sessions;
    if (sessions.size === sessions.capacity) return false;
    const before = sessions.byOwner(state.owner) ?? sessions.byAddress(state.remote);
    // Two at one address: the newer one, by the number of the association, is the one that is there.
    if (before !== undefined && sessions.peer(before) > state.peer) return false;
    this.#makeRoom(state, out);
    const row = sessions.add(now.instant, state);
    sessions.skipToWriteMark(row);
    sessions.confirm(row);
    return true;
  }

  /** The owner's records up to `sequence` have taken effect, as the registry knows better than the session's own mark. */
  raiseReadMark(peer: Peer, sequence: number): void {
    const row = this.#sessions.byPeer(peer);
    if (row !== undefined) this.#sessions.raiseReadMark(row, sequence);
  }

  /** The answer to `out.reserve`: the mark is durable; or, if it is no higher than the one before, did not become so. */
  reserved(peer: Peer, writeMark: number, out: AssociationOut): void {
    const row = this.#sessions.byPeer(peer);
    if (row === undefined) return;
    this.#sessions.reserved(row, writeMark);
    const held = this.#held.get(peer) ?? [];
    this.#held.delete(peer);
    // If the mark failed, the next message asks again: at the pace of the traffic, not of the failing disk.
    if (this.#sessions.writeSequence(row) >= this.#sessions.writeMark(row)) this.#counters.starved += held.length;
    else for (const plaintext of held) this.send(peer, plaintext, out);
  }

  /** The session is durable: its last flight may leave, and its traffic flow. */
  confirm(peer: Peer, out: AssociationOut): void {
    const row = this.#sessions.byPeer(peer);
    if (row === undefined || this.#sessions.isConfirmed(row)) return;
    this.#sessions.confirm(row);
    this.#sendLastFlight(row, out);
  }

  send(peer: Peer, plaintext: Bytes, out: AssociationOut): void {
    const row = this.#sessions.byPeer(peer);
    if (row === undefined || !this.#sessions.isConfirmed(row)) return;
    if (plaintext.length > this.#sessions.maxPlaintext(row)) {
      this.#counters.tooLong++;
      return;
    }
    if (this.#send(row, ContentType.applicationData, plaintext, out)) return;
    const held = this.#held.get(peer) ?? [];
    if (held.length === maxHeld || (held.length === 0 && this.#held.size === maxHolding)) {
      this.#counters.starved++;
      return;
    }
    held.push(plaintext.slice());
    this.#held.set(peer, held);
  }

  /** Whose session this is and where it is heard from; `undefined` once it is gone. */
  session(peer: Peer): { remote: Remote; owner: Owner } | undefined {
    const row = this.#sessions.byPeer(peer);
    return row === undefined ? undefined : { remote: this.#sessions.remote(row), owner: this.#sessions.owner(row) };
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

  /** Ends the sessions of which nothing was heard for too long. */
  expire(now: Instant, out: AssociationOut): void {
    for (let next = this.nextExpiry(); next !== undefined && next <= now; next = this.nextExpiry()) {
      this.close(this.#sessions.peer(this.#sessions.leastRecentlyHeard()!), 'idle', out);
    }
  }

  nextExpiry(): Instant | undefined {
    const row = this.#sessions.leastRecentlyHeard();
    return row === undefined ? undefined : after(this.#sessions.heardAt(row), this.#limits.idleTimeout);
  }

  /** `false` if the record is not of this association, or not new. */
  receive(now: Now, row: SessionRow, record: DtlsRecord, out: AssociationOut): boolean {
    const sessions = this.#sessions;
    if (!sessions.isNewRead(row, record.sequence)) {
      this.#counters.replayed++;
      return false;
    }
    const plaintext = openRecord(sessions.suite(row), sessions.clientKeys(row), record);
    if (plaintext === undefined) {
      this.#counters.notAuthentic++;
      if (sessions.countForged(row) >= integrityLimit(sessions.suite(row))) this.#remove(row, 'forged', out);
      return false;
    }
    sessions.markRead(row, record.sequence);
    sessions.heard(row, now.instant);
    if (this.#age(now, row) > this.#limits.maxAge) {
      this.close(sessions.peer(row), 'too-old', out);
      return true;
    }
    // A restored session has no number left: it gets some before its answer has to be sealed.
    this.#reserve(row, out);
    if (plaintext.length > sessions.maxPlaintext(row)) this.#counters.tooLong++;
    else if (record.type === ContentType.applicationData) this.#receiveData(row, plaintext, record.sequence, out);
    else if (record.type === ContentType.alert) this.#receiveAlert(row, plaintext, out);
    else if (record.type === ContentType.handshake) this.#receiveHandshake(now, row, plaintext, out);
    else this.#counters.unexpected++;
    return true;
  }

  #receiveData(row: SessionRow, plaintext: Bytes, sequence: number, out: AssociationOut): void {
    // Before our Finished left the client knows no session: what it sends all the same is not for us to keep.
    if (!this.#sessions.isConfirmed(row)) this.#counters.unexpected++;
    else if (plaintext.length > 0) out.deliver(this.#sessions.peer(row), plaintext, sequence);
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
      this.#sendLastFlight(row, out);
    } else if (type === HandshakeType.clientHello) {
      this.#sendAlert(row, AlertDescription.noRenegotiation, out);
    } else {
      this.#counters.unexpected++;
    }
  }

  /** ChangeCipherSpec, then Finished, each in a record of its own with a new sequence number (flight 6). */
  #sendLastFlight(row: SessionRow, out: AssociationOut): void {
    const sessions = this.#sessions;
    if (!sessions.isConfirmed(row)) return;
    const { verifyData, messageSequence } = sessions.finished(row);
    const change = encodePlainRecord(
      ContentType.changeCipherSpec,
      dtls12,
      sessions.takePlainSequence(row),
      changeCipherSpec,
    );
    const finished = encodeHandshake(HandshakeType.finished, messageSequence, verifyData);
    const sealed = this.#seal(row, ContentType.handshake, finished, out);
    if (sealed !== undefined) out.transmit(sessions.remote(row), concatBytes(change, sealed));
  }

  #sendAlert(row: SessionRow, description: number, out: AssociationOut): void {
    if (!this.#sessions.isConfirmed(row)) return;
    this.#send(row, ContentType.alert, encodeAlert({ level: 'warning', description }), out);
  }

  /** `false` if there is no sequence number for it at the moment. */
  #send(row: SessionRow, type: number, plaintext: Bytes, out: AssociationOut): boolean {
    const record = this.#seal(row, type, plaintext, out);
    if (record === undefined) return false;
    out.transmit(this.#sessions.remote(row), record);
    // 2^48 records: centuries at a thousand a second. A session that gets there ends, since one more would use a nonce
    // twice (RFC 6347 §4.1: sequence numbers must not wrap).
    if (this.#sessions.writeSequence(row) > this.#limits.lastWriteSequence) this.#remove(row, 'exhausted', out);
    return true;
  }

  /** `undefined` if there is no number that may be used: the next mark is not durable yet. */
  #seal(row: SessionRow, type: number, plaintext: Bytes, out: AssociationOut): Bytes | undefined {
    const sessions = this.#sessions;
    this.#reserve(row, out);
    if (sessions.writeSequence(row) >= sessions.writeMark(row)) return undefined;
    return sealRecord(
      sessions.suite(row),
      sessions.serverKeys(row),
      type,
      epoch,
      sessions.takeWriteSequence(row),
      plaintext,
    );
  }

  /** Asks for a higher write mark once half of the numbers below the present one are used. */
  #reserve(row: SessionRow, out: AssociationOut): void {
    const sessions = this.#sessions;
    const { writeMarkStep } = this.#limits;
    const mark = sessions.writeMark(row);
    if (sessions.writeSequence(row) < mark - writeMarkStep / 2 || sessions.isReserving(row)) return;
    sessions.reserving(row);
    out.reserve(sessions.peer(row), sessions.owner(row), mark + writeMarkStep);
  }

  /** Address and owner of a new session get free, and a row for it. */
  #makeRoom({ owner, remote }: SessionState, out: AssociationOut): void {
    const sessions = this.#sessions;
    const ofOwner = sessions.byOwner(owner);
    if (ofOwner !== undefined) this.#remove(ofOwner, 'replaced', out);
    const atAddress = sessions.byAddress(remote);
    if (atAddress !== undefined) this.#remove(atAddress, 'displaced', out);
    if (sessions.size === sessions.capacity) this.#remove(sessions.leastRecentlyHeard()!, 'evicted', out);
  }

  /** On the wall's clock, which goes on over restarts. */
  #age(now: Now, row: SessionRow): Milliseconds {
    return now.wall - this.#sessions.createdAt(row);
  }

  #remove(row: SessionRow, reason: CloseReason, out: AssociationOut): void {
    const peer = this.#sessions.peer(row);
    const owner = this.#sessions.owner(row);
    this.#held.delete(peer);
    this.#sessions.remove(row);
    out.closed(peer, owner, reason);
  }
}

/** The part of `DtlsOut` that concerns established associations. */
export interface AssociationOut {
  transmit(remote: Remote, datagram: Bytes): void;
  /** Authentic application data, once and in no particular order; `sequence` is its record's. A view, valid during the call. */
  deliver(peer: Peer, plaintext: Bytes, sequence: number): void;
  /**
   * Numbers run out: `reserved` is owed, with this mark once it is durable, with a lower one if that failed. Until then
   * the session goes on with what is left, which is half a step, or nothing after a restart.
   */
  reserve(peer: Peer, owner: Owner, writeMark: number): void;
  closed(peer: Peer, owner: Owner, reason: CloseReason): void;
}

export interface AssociationLimits {
  /** How many established associations there may be; beyond it the least recently heard goes. */
  readonly maxAssociations: number;
  /** A session of which nothing was heard for so long ends. */
  readonly idleTimeout: Milliseconds;
  /** A session older than this ends with the next record that comes. */
  readonly maxAge: Milliseconds;
  /** How many of our records one durable mark is good for. */
  readonly writeMarkStep: number;
  /** The number of the last record that a session may send. */
  readonly lastWriteSequence: number;
}

/**
 * After how many records that do not open a session ends. Far beyond what a stranger can send by chance, and below what
 * it would take to forge one: 2^23 for CCM, 2^36 for GCM (RFC 9147 §4.5.3), of which a counter of ours has 32 bits.
 */
function integrityLimit({ cipher }: CipherSuite): number {
  return cipher.endsWith('gcm') ? 2 ** 32 - 1 : 2 ** 23;
}

/** How many messages wait for a sequence number, for one peer, and for how many peers. */
const maxHeld = 8;
const maxHolding = 4096;
const changeCipherSpec: Bytes = Uint8Array.of(1);
/** There is no renegotiation, so this is the only epoch with keys. */
const epoch = 1;
/** A margin below 2^48: repeated last flights take numbers too. */
export const lastWriteSequence = maxSequence - 1024;
/** As long as a client retransmits. */
const lateHelloLifetime = seconds(60);
/** Twice the maximum segment lifetime of TCP (RFC 6347 §4.2.4). */
const lastFlightLifetime = seconds(240);
