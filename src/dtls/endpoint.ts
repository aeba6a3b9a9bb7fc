import type { Bytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import { earlier, type Instant, type Now } from '../base/time.ts';
import { Associations } from './associations.ts';
import { ContentType, type DtlsRecord, decodeRecord, recordLength } from './codec/record.ts';
import { type ConnectionIds, connectionIdLength } from './connectionId.ts';
import { type DtlsCounters, newCounters } from './counters.ts';
import type { CloseReason } from './fault.ts';
import { Handshakes } from './handshakes.ts';
import type { DtlsOut } from './out.ts';
import type { Owner } from './psk.ts';
import type { SessionState } from './sessionState.ts';
import type { SessionRow } from './sessionTable.ts';
import { type DtlsOptions, defaultLimits } from './settings.ts';
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

  readonly #handshakes: Handshakes;
  readonly #associations: Associations;
  readonly #sleepers: Sleepers;
  readonly #cids: ConnectionIds | undefined;

  constructor(options: DtlsOptions) {
    const limits = { ...defaultLimits, ...options.limits };
    this.#cids = options.cids;
    this.#sleepers = options.sleepers ?? noSleepers;
    this.#associations = new Associations(limits, options.random, this.counters);
    this.#handshakes = new Handshakes(options, limits, this.counters, {
      isLateHello: (now, remote, clientRandom) => this.#associations.isLateHello(now, remote, clientRandom),
      peerOf: owner => this.#associations.peerOf(owner),
      establish: (now, peer, remote, established, out) => {
        const state = this.#associations.establish(now, peer, remote, established, out);
        const { identity, resumption } = established;
        out.verified(peer, { ...state, identity, resumption });
      },
    });
  }

  /** The number of the next handshake, which becomes its association's: kept by the owner, so that a later run does not use it again. */
  get nextPeer(): number {
    return this.#handshakes.nextPeer;
  }

  /** Takes one datagram. Whatever it holds, this neither throws nor keeps a view of it. */
  receive(now: Now, remote: Remote, datagram: Bytes, out: DtlsOut): void {
    let at = 0;
    let verifyRequests = 0;
    for (let records = 0; at < datagram.length && records < maxRecords; records++) {
      const record = decodeRecord(datagram, at, this.#cids === undefined ? 0 : connectionIdLength);
      if (record === undefined) break;
      at += recordLength(record);
      if (record.epoch === 1) this.#receiveProtected(now, remote, record, out);
      else if (record.epoch !== 0) this.counters.unknownEpoch++;
      else if (record.type === ContentType.handshake) {
        // One answer a datagram, so that many hellos in one do not amplify.
        if (this.#handshakes.receive(now, remote, record, verifyRequests === 0, out)) verifyRequests++;
      } else if (record.type === ContentType.changeCipherSpec) {
        this.#handshakes.receiveChangeCipherSpec(now, remote, record, out);
      } else {
        this.#handshakes.receiveUnprotected(remote, record);
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

  /** Of a session that lives or sleeps: with which credential it was made. */
  credential(peer: Peer): number | undefined {
    return this.#associations.session(peer)?.owner.credential ?? this.#sleepers.credential(peer);
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

  /** Goes on with a session of an earlier process. `false` if there is no room for it, or it is over. */
  restore(now: Now, state: SessionState, out: DtlsOut): boolean {
    this.#handshakes.passOver(state.peer);
    return this.#associations.restore(now, state, out);
  }

  /** The peer answered what was sent to it after `out.moving`, from where that went: its address is proved. */
  proved(peer: Peer, remote: Remote, out: DtlsOut): boolean {
    return this.#associations.proved(peer, remote, out);
  }

  /** Whether the peer has a session, be it one that sleeps, if there is room to wake it. */
  knows(peer: Peer): boolean {
    if (this.#associations.byPeer(peer) !== undefined) return true;
    return !this.#associations.isFull && this.#sleepers.has(peer);
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
    this.#handshakes.removeOwner(owner);
    const peer = this.#associations.peerOf(owner);
    if (peer !== undefined) this.close(peer, 'revoked', out);
  }

  expire(now: Now, out: DtlsOut): void {
    this.#handshakes.expire(now, out);
    this.#associations.expire(now.instant, out);
  }

  nextExpiry(): Instant | undefined {
    return earlier(this.#handshakes.nextExpiry(), this.#associations.nextExpiry());
  }

  sizes(): { associations: number; handshakes: number } {
    return { associations: this.#associations.size, handshakes: this.#handshakes.size };
  }

  /** How many networks and owners have something charged to them. */
  get throttled(): number {
    return this.#handshakes.throttled;
  }

  #receiveProtected(now: Now, remote: Remote, record: DtlsRecord, out: DtlsOut): void {
    const row = record.cid.length === 0 ? this.#rowAt(now, remote, out) : this.#rowOf(now, record.cid, out);
    // The old association first: while a new handshake is under way it is still good, and what it opens is its own.
    if (row !== undefined && this.#associations.receive(now, row, remote, record, out)) return;
    if (!this.#handshakes.receiveProtected(now, remote, record, out) && row === undefined)
      this.counters.noAssociation++;
  }

  #rowAt(now: Now, remote: Remote, out: DtlsOut): SessionRow | undefined {
    const row = this.#associations.byAddress(remote);
    // Whoever is found by a connection ID was at this address before: somebody else who sleeps may have it since.
    if (row !== undefined && !this.#associations.hasCid(row)) return row;
    return this.#wake(now, () => this.#sleepers.byAddress(remote), out) ?? row;
  }

  #rowOf(now: Now, cid: Bytes, out: DtlsOut): SessionRow | undefined {
    const peer = this.#cids?.peer(cid);
    if (peer === undefined) return undefined;
    return this.#associations.byPeer(peer) ?? this.#wake(now, () => this.#sleepers.byPeer(peer), out);
  }

  /** Not without room for it: whoever is awake has shown more than that somebody sends a record in his name. */
  #wake(now: Now, sleeper: () => SessionState | undefined, out: DtlsOut): SessionRow | undefined {
    if (this.#associations.isFull) return undefined;
    const state = sleeper();
    return state !== undefined && this.restore(now, state, out) ? this.#associations.byPeer(state.peer) : undefined;
  }
}

/** A flight has at most a handful of records. The rest of a datagram that goes on and on is not worth its time. */
const maxRecords = 32;
