import { type Bytes, concatBytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import { after, type Instant, type Now, seconds } from '../base/time.ts';
import { AlertDescription, decodeAlert, encodeAlert } from './codec/alert.ts';
import { decodeFragments, encodeHandshake, HandshakeType } from './codec/handshake.ts';
import { ContentType, type DtlsRecord, dtls12, encodePlainRecord, maxSequence } from './codec/record.ts';
import type { DtlsCounters } from './counters.ts';
import type { CloseReason } from './fault.ts';
import { openRecord, sealRecord } from './protection.ts';
import type { Owner } from './psk.ts';
import type { Established } from './serverHandshake.ts';
import { type SessionRow, SessionTable } from './sessionTable.ts';

/**
 * The established associations: what protected records do to them, and what they send. A record that is not new or does
 * not open is counted and changes nothing; nothing in clear ever comes here.
 */
export class Associations {
  readonly #sessions: SessionTable;
  readonly #counters: DtlsCounters;
  readonly #lastSequence: number;

  /** `lastSequence`: the number of the last record that a session may send. */
  constructor(capacity: number, seed: number, counters: DtlsCounters, lastSequence = lastWriteSequence) {
    this.#sessions = new SessionTable(capacity, seed);
    this.#counters = counters;
    this.#lastSequence = lastSequence;
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
  isLateHello(now: Instant, remote: Remote, clientRandom: Bytes): boolean {
    const row = this.#sessions.byAddress(remote);
    if (row === undefined || !this.#sessions.beganWith(row, clientRandom)) return false;
    return now < after(this.#sessions.establishedAt(row), lateHelloLifetime);
  }

  /** The client proved that it holds the key: what it replaces goes, and not before (RFC 6347 §4.2.8). */
  establish(now: Instant, peer: Peer, remote: Remote, established: Established, out: AssociationOut): void {
    const sessions = this.#sessions;
    const atAddress = sessions.byAddress(remote);
    if (atAddress !== undefined) this.#remove(atAddress, 'replaced', out);
    const ofOwner = sessions.byOwner(established.owner);
    if (ofOwner !== undefined) this.#remove(ofOwner, 'replaced', out);
    if (sessions.size === sessions.capacity) this.#remove(sessions.leastRecentlyHeard()!, 'evicted', out);
    sessions.add(now, { ...established, peer, remote });
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
    this.#send(row, ContentType.applicationData, plaintext, out);
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
      return false;
    }
    sessions.markRead(row, record.sequence);
    sessions.heard(row, now.instant);
    if (plaintext.length > sessions.maxPlaintext(row)) this.#counters.tooLong++;
    else if (record.type === ContentType.applicationData) this.#receiveData(row, plaintext, record.sequence, out);
    else if (record.type === ContentType.alert) this.#receiveAlert(row, plaintext, out);
    else if (record.type === ContentType.handshake) this.#receiveHandshake(now.instant, row, plaintext, out);
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
  #receiveHandshake(now: Instant, row: SessionRow, plaintext: Bytes, out: AssociationOut): void {
    const type = decodeFragments(plaintext)?.[0]?.type;
    if (type === HandshakeType.finished && now < after(this.#sessions.establishedAt(row), lastFlightLifetime)) {
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
    const finished = this.#seal(
      row,
      ContentType.handshake,
      encodeHandshake(HandshakeType.finished, messageSequence, verifyData),
    );
    out.transmit(sessions.remote(row), concatBytes(change, finished));
  }

  #sendAlert(row: SessionRow, description: number, out: AssociationOut): void {
    if (!this.#sessions.isConfirmed(row)) return;
    this.#send(row, ContentType.alert, encodeAlert({ level: 'warning', description }), out);
  }

  #send(row: SessionRow, type: number, plaintext: Bytes, out: AssociationOut): void {
    out.transmit(this.#sessions.remote(row), this.#seal(row, type, plaintext));
    // 2^48 records: centuries at a thousand a second. A session that gets there ends, since one more would use a nonce
    // twice (RFC 6347 §4.1: sequence numbers must not wrap).
    if (this.#sessions.writeSequence(row) > this.#lastSequence) this.#remove(row, 'exhausted', out);
  }

  #seal(row: SessionRow, type: number, plaintext: Bytes): Bytes {
    const sessions = this.#sessions;
    return sealRecord(
      sessions.suite(row),
      sessions.serverKeys(row),
      type,
      epoch,
      sessions.takeWriteSequence(row),
      plaintext,
    );
  }

  #remove(row: SessionRow, reason: CloseReason, out: AssociationOut): void {
    const peer = this.#sessions.peer(row);
    this.#sessions.remove(row);
    out.closed(peer, reason);
  }
}

/** The part of `DtlsOut` that concerns established associations. */
export interface AssociationOut {
  transmit(remote: Remote, datagram: Bytes): void;
  /** Authentic application data, once and in no particular order; `sequence` is its record's. A view, valid during the call. */
  deliver(peer: Peer, plaintext: Bytes, sequence: number): void;
  closed(peer: Peer, reason: CloseReason): void;
}

const changeCipherSpec: Bytes = Uint8Array.of(1);
/** There is no renegotiation, so this is the only epoch with keys. */
const epoch = 1;
/** A margin below 2^48: repeated last flights take numbers too. */
const lastWriteSequence = maxSequence - 1024;
/** As long as a client retransmits. */
const lateHelloLifetime = seconds(60);
/** Twice the maximum segment lifetime of TCP (RFC 6347 §4.2.4). */
const lastFlightLifetime = seconds(240);
