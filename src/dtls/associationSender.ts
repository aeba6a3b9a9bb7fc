import { type Bytes, concatBytes } from '../base/bytes.ts';
import type { AssociationOut } from './associationOut.ts';
import { encodeHandshake, HandshakeType } from './codec/handshake.ts';
import { ContentType, changeCipherSpec, dtls12, encodePlainRecord, maxSequence } from './codec/record.ts';
import type { DtlsCounters } from './counters.ts';
import type { Moves } from './moves.ts';
import { sealRecord } from './protection.ts';
import type { SessionRow, SessionTable } from './sessionTable.ts';

/**
 * What established associations send. No number is used that is not below a durable mark, so that a process after this
 * one, which begins at the mark, never uses one again; and nothing goes in quantity to an address that is not proved.
 */
export class AssociationSender {
  readonly #sessions: SessionTable;
  readonly #moves: Moves;
  readonly #counters: DtlsCounters;
  readonly #limits: SenderLimits;
  /** Application data that waits for a sequence number: little, and not for long, since a mark is under way. */
  readonly #held = new Map<SessionRow, Bytes[]>();

  constructor(sessions: SessionTable, moves: Moves, limits: SenderLimits, counters: DtlsCounters) {
    this.#sessions = sessions;
    this.#moves = moves;
    this.#limits = limits;
    this.#counters = counters;
  }

  /** Application data; if there is no sequence number for it at the moment it waits, as long as not too much does. */
  sendData(row: SessionRow, plaintext: Bytes, out: AssociationOut): void {
    if (this.send(row, ContentType.applicationData, plaintext, out)) return;
    const held = this.#held.get(row) ?? [];
    if (held.length === maxHeld || (held.length === 0 && this.#held.size === maxHolding)) {
      this.#counters.starved++;
      return;
    }
    held.push(plaintext.slice());
    this.#held.set(row, held);
  }

  /** `false` if there is no sequence number for it at the moment. */
  send(row: SessionRow, type: number, plaintext: Bytes, out: AssociationOut): boolean {
    const record = this.#seal(row, type, plaintext, out);
    if (record === undefined) return false;
    this.#transmit(row, record, out);
    return true;
  }

  /** ChangeCipherSpec, then Finished, each in a record of its own with a new sequence number (flight 6); if it is ours. */
  sendLastFlight(row: SessionRow, out: AssociationOut): void {
    const sessions = this.#sessions;
    const said = sessions.finished(row);
    if (said === undefined) return;
    const plainSequence = sessions.takePlainSequence(row);
    const change = encodePlainRecord(ContentType.changeCipherSpec, dtls12, plainSequence, changeCipherSpec);
    const finished = encodeHandshake(HandshakeType.finished, said.messageSequence, said.verifyData);
    const sealed = this.#seal(row, ContentType.handshake, finished, out);
    if (sealed !== undefined) this.#transmit(row, concatBytes(change, sealed), out);
  }

  /** Asks for a higher write mark once half of the numbers below the present one are used. */
  reserve(row: SessionRow, out: AssociationOut): void {
    const sessions = this.#sessions;
    const { writeMarkStep } = this.#limits;
    const mark = sessions.writeMark(row);
    if (sessions.writeSequence(row) < mark - writeMarkStep / 2 || sessions.isReserving(row)) return;
    sessions.reserving(row);
    out.reserve(sessions.peer(row), sessions.owner(row), mark + writeMarkStep);
  }

  /** The mark is durable; or, if it is no higher than the one before, did not become so. */
  reserved(row: SessionRow, writeMark: number, out: AssociationOut): void {
    this.#sessions.reserved(row, writeMark);
    const held = this.#held.get(row) ?? [];
    this.#held.delete(row);
    // If the mark failed, the next message asks again: at the pace of the traffic, not of the failing disk.
    if (this.#sessions.writeSequence(row) >= this.#sessions.writeMark(row)) this.#counters.starved += held.length;
    else for (const plaintext of held) this.sendData(row, plaintext, out);
  }

  /** The session is gone. */
  forget(row: SessionRow): void {
    this.#held.delete(row);
  }

  /** `undefined` if there is no number that may be used: the next mark is not durable yet. */
  #seal(row: SessionRow, type: number, plaintext: Bytes, out: AssociationOut): Bytes | undefined {
    const sessions = this.#sessions;
    this.reserve(row, out);
    if (sessions.writeSequence(row) >= sessions.writeMark(row)) return undefined;
    const sequence = sessions.takeWriteSequence(row);
    const cid = sessions.clientCid(row);
    return sealRecord(sessions.suite(row), sessions.serverKeys(row), type, epoch, sequence, plaintext, cid);
  }

  /** To where the peer is; while that is not proved, no more than the limit. */
  #transmit(row: SessionRow, datagram: Bytes, out: AssociationOut): void {
    const move = this.#moves.get(row);
    if (move === undefined) return out.transmit(this.#sessions.remote(row), datagram);
    if (move.budget < datagram.length) {
      this.#counters.unprovedAddress++;
      return;
    }
    move.budget -= datagram.length;
    out.transmit(move.remote, datagram);
  }
}

export interface SenderLimits {
  /** How many of our records one durable mark is good for. */
  readonly writeMarkStep: number;
}

/** There is no renegotiation, so this is the only epoch with keys. */
const epoch = 1;
/** A margin below 2^48: repeated last flights take numbers too. */
export const lastWriteSequence = maxSequence - 1024;
/** How many messages wait for a sequence number, for one peer, and for how many peers. */
export const maxHeld = 8;
export const maxHolding = 4096;
