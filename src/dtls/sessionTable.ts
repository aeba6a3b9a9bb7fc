import { AddressTable } from '../base/addressTable.ts';
import { type Bytes, concatBytes, noBytes } from '../base/bytes.ts';
import type { Peer, Remote } from '../base/peer.ts';
import type { Instant, WallTime } from '../base/time.ts';
import { allCipherSuites, type CipherSuite } from './codec/cipherSuite.ts';
import { type DirectionKeys, verifyDataLength } from './crypto/keySchedule.ts';
import type { LastFlight } from './established.ts';
import type { Owner } from './psk.ts';
import { isNew, mark, markAllUpTo, newReplayWindow } from './replayWindow.ts';
import { hashOf, RowIndex } from './rowIndex.ts';
import { helloStartOf, type SessionState } from './sessionState.ts';

/** A row of the table. Free rows are used again; what was in them is overwritten with zeros. */
export type SessionRow = number;

/**
 * The established associations, as rows in typed arrays: a device that is silent costs its row and nothing else, and a
 * full garbage collection does not have to visit it. Found by address, by peer and by owner; kept in the order in which
 * they were last heard, so that the least recently heard is at hand when room is needed.
 */
export class SessionTable {
  readonly capacity: number;

  readonly #addresses: AddressTable;
  readonly #byPeer: RowIndex;
  readonly #byOwner: RowIndex;

  readonly #secrets: Uint8Array;
  readonly #suites: Uint8Array;
  readonly #confirmed: Uint8Array;
  readonly #maxPlaintexts: Uint16Array;
  readonly #cidFlags: Uint8Array;
  /** Few have one: a device has one server, and knows from where its records come. */
  readonly #clientCids = new Map<SessionRow, Bytes>();
  /** In CBC suites only, which are off by default: the client's, then the server's. */
  readonly #macKeys = new Map<SessionRow, Bytes>();
  readonly #peers: Float64Array;
  readonly #ownerRows: Float64Array;
  readonly #ownerCredentials: Float64Array;
  readonly #writeSequences: Float64Array;
  readonly #writeMarks: Float64Array;
  readonly #reserving: Uint8Array;
  readonly #forged: Uint32Array;
  readonly #readHighest: Float64Array;
  readonly #readRecent: Int32Array;
  readonly #readOlder: Int32Array;
  readonly #heard: Float64Array;
  readonly #created: Float64Array;
  // What the last flight of the handshake is made of again; 0 if it was not ours.
  readonly #finishedSequences: Uint16Array;
  readonly #helloStarts: Uint32Array;
  readonly #plainSequences: Float64Array;
  // A ring through all occupied rows; row `capacity` is its anchor: behind it the least recently heard.
  readonly #before: Int32Array;
  readonly #behind: Int32Array;
  readonly #free: Int32Array;
  #freeCount: number;

  constructor(capacity: number, seed: number) {
    this.capacity = capacity;
    this.#addresses = new AddressTable(capacity, seed);
    this.#secrets = new Uint8Array(capacity * secretLength);
    this.#suites = new Uint8Array(capacity);
    this.#confirmed = new Uint8Array(capacity);
    this.#maxPlaintexts = new Uint16Array(capacity);
    this.#cidFlags = new Uint8Array(capacity);
    this.#peers = new Float64Array(capacity);
    this.#ownerRows = new Float64Array(capacity);
    this.#ownerCredentials = new Float64Array(capacity);
    this.#writeSequences = new Float64Array(capacity);
    this.#writeMarks = new Float64Array(capacity);
    this.#reserving = new Uint8Array(capacity);
    this.#forged = new Uint32Array(capacity);
    this.#readHighest = new Float64Array(capacity);
    this.#readRecent = new Int32Array(capacity);
    this.#readOlder = new Int32Array(capacity);
    this.#heard = new Float64Array(capacity);
    this.#created = new Float64Array(capacity);
    this.#finishedSequences = new Uint16Array(capacity);
    this.#helloStarts = new Uint32Array(capacity);
    this.#plainSequences = new Float64Array(capacity);
    this.#byPeer = new RowIndex(capacity, row => hashOf(this.#peers[row]!));
    this.#byOwner = new RowIndex(capacity, row => hashOf(this.#ownerRows[row]!, this.#ownerCredentials[row]!));
    this.#before = new Int32Array(capacity + 1).fill(capacity);
    this.#behind = new Int32Array(capacity + 1).fill(capacity);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#freeCount = capacity;
  }

  get size(): number {
    return this.capacity - this.#freeCount;
  }

  byAddress(remote: Remote): SessionRow | undefined {
    const row = this.#addresses.find(remote);
    return row < 0 ? undefined : row;
  }

  byPeer(peer: Peer): SessionRow | undefined {
    const row = this.#byPeer.find(hashOf(peer), row => this.#peers[row] === peer);
    return row < 0 ? undefined : row;
  }

  byOwner(owner: Owner): SessionRow | undefined {
    const row = this.#byOwner.find(
      hashOf(owner.row, owner.credential),
      row => this.#ownerRows[row] === owner.row && this.#ownerCredentials[row] === owner.credential,
    );
    return row < 0 ? undefined : row;
  }

  leastRecentlyHeard(): SessionRow | undefined {
    const row = this.#behind[this.capacity]!;
    return row === this.capacity ? undefined : row;
  }

  /** Takes a free row, which the caller has made sure there is; address and owner must not have another row. */
  add(now: Instant, session: SessionState): SessionRow {
    const row = this.#free[--this.#freeCount]!;
    const { client, server } = session.keys;
    const at = row * secretLength;
    this.#secrets.set(client.key, at);
    this.#secrets.set(server.key, at + maxKeyLength);
    this.#secrets.set(client.iv, at + 2 * maxKeyLength);
    this.#secrets.set(server.iv, at + 2 * maxKeyLength + ivLength);
    if (session.suite.macKeyLength > 0) this.#macKeys.set(row, concatBytes(client.mac, server.mac));
    this.#suites[row] = allCipherSuites.indexOf(session.suite);
    this.#maxPlaintexts[row] = session.maxPlaintext;
    if (session.cids !== undefined) {
      this.#cidFlags[row] = hasCid | (session.cids.returnRoutability ? checksReturnRoutability : 0);
      if (session.cids.client.length > 0) this.#clientCids.set(row, session.cids.client);
    }
    this.#peers[row] = session.peer;
    this.#ownerRows[row] = session.owner.row;
    this.#ownerCredentials[row] = session.owner.credential;
    this.#created[row] = session.createdAt;
    this.#writeSequences[row] = session.writeSequence;
    this.#writeMarks[row] = session.writeMark;
    this.#helloStarts[row] = session.helloStart;
    if (session.lastFlight !== undefined) this.#keepLastFlight(row, session.lastFlight);
    this.raiseReadMark(row, session.readMark);
    this.#addresses.set(row, session.remote);
    this.#byPeer.add(row);
    this.#byOwner.add(row);
    this.#link(row, now);
    return row;
  }

  remove(row: SessionRow): void {
    this.#unlink(row);
    this.#addresses.delete(row);
    this.#clientCids.delete(row);
    this.#macKeys.get(row)?.fill(0);
    this.#macKeys.delete(row);
    this.#byPeer.delete(row);
    this.#byOwner.delete(row);
    this.#secrets.fill(0, row * secretLength, (row + 1) * secretLength);
    for (const column of this.#numbers()) column[row] = 0;
    this.#free[this.#freeCount++] = row;
  }

  peer(row: SessionRow): Peer {
    return this.#peers[row] as Peer;
  }

  remote(row: SessionRow): Remote {
    return this.#addresses.remote(row);
  }

  isAt(row: SessionRow, remote: Remote): boolean {
    return this.#addresses.is(row, remote);
  }

  /** The address must not have another row. */
  moveTo(row: SessionRow, remote: Remote): void {
    this.#addresses.delete(row);
    this.#addresses.set(row, remote);
  }

  /** Leaves its address to another row. Only for a row that is found by its connection ID. */
  releaseAddress(row: SessionRow): void {
    this.#addresses.release(row);
  }

  /** Whether the client puts a connection ID into its records. */
  hasCid(row: SessionRow): boolean {
    return (this.#cidFlags[row]! & hasCid) !== 0;
  }

  /** Whether the client answers path challenges (RFC 9853). */
  checksReturnRoutability(row: SessionRow): boolean {
    return (this.#cidFlags[row]! & checksReturnRoutability) !== 0;
  }

  /** What goes into records to the client; often empty. */
  clientCid(row: SessionRow): Bytes {
    return this.#clientCids.get(row) ?? noBytes;
  }

  owner(row: SessionRow): Owner {
    return { row: this.#ownerRows[row]!, credential: this.#ownerCredentials[row]! };
  }

  suite(row: SessionRow): CipherSuite {
    return allCipherSuites[this.#suites[row]!]!;
  }

  /** How many bytes of plaintext a record may hold. */
  maxPlaintext(row: SessionRow): number {
    return this.#maxPlaintexts[row]!;
  }

  clientKeys(row: SessionRow): DirectionKeys {
    return this.#keys(row, 0);
  }

  serverKeys(row: SessionRow): DirectionKeys {
    return this.#keys(row, 1);
  }

  /** Whether our Finished may have left: the session is as durable as it has to be. */
  isConfirmed(row: SessionRow): boolean {
    return this.#confirmed[row] === 1;
  }

  confirm(row: SessionRow): void {
    this.#confirmed[row] = 1;
  }

  /** The sequence number of our next record. */
  writeSequence(row: SessionRow): number {
    return this.#writeSequences[row]!;
  }

  /** Each is handed out once. */
  takeWriteSequence(row: SessionRow): number {
    return this.#writeSequences[row]!++;
  }

  /** In epoch 0, which lives on for ChangeCipherSpec. Each is handed out once. */
  takePlainSequence(row: SessionRow): number {
    return this.#plainSequences[row]!++;
  }

  /** What our Finished says, and its message_seq; `undefined` if the last flight of the handshake was not ours. */
  finished(row: SessionRow): { verifyData: Bytes; messageSequence: number } | undefined {
    const messageSequence = this.#finishedSequences[row]!;
    if (messageSequence === 0) return undefined;
    const end = (row + 1) * secretLength;
    return { verifyData: this.#secrets.subarray(end - verifyDataLength, end), messageSequence };
  }

  /** Whether its handshake began with a hello of this random; wrong once in four thousand million times. */
  beganWith(row: SessionRow, clientRandom: Bytes): boolean {
    return this.#helloStarts[row] === helloStartOf(clientRandom);
  }

  createdAt(row: SessionRow): WallTime {
    return this.#created[row] as WallTime;
  }

  heardAt(row: SessionRow): Instant {
    return this.#heard[row] as Instant;
  }

  /** Sequence numbers from here on must not be used yet. */
  writeMark(row: SessionRow): number {
    return this.#writeMarks[row]!;
  }

  /** Whether a higher mark was asked for and has not come. */
  isReserving(row: SessionRow): boolean {
    return this.#reserving[row] === 1;
  }

  reserving(row: SessionRow): void {
    this.#reserving[row] = 1;
  }

  /** The higher mark is durable; or did not become so, and the old one stays. */
  reserved(row: SessionRow, writeMark: number): void {
    this.#reserving[row] = 0;
    this.#writeMarks[row] = Math.max(this.#writeMarks[row]!, writeMark);
  }

  /** A restored session goes on where no number was used before. */
  skipToWriteMark(row: SessionRow): void {
    this.#writeSequences[row] = this.#writeMarks[row]!;
  }

  /** One more record that did not open; how many it were. */
  countForged(row: SessionRow): number {
    return ++this.#forged[row]!;
  }

  /** Whether no record that opened had a number as high as this one. */
  isNewestRead(row: SessionRow, sequence: number): boolean {
    return sequence > this.#readHighest[row]!;
  }

  isNewRead(row: SessionRow, sequence: number): boolean {
    return isNew(this.#loadWindow(row), sequence);
  }

  /** Only after the record opened. */
  markRead(row: SessionRow, sequence: number): void {
    mark(this.#loadWindow(row), sequence);
    this.#storeWindow(row);
  }

  /** Whatever came up to this number has taken effect: none of it is new any more. */
  raiseReadMark(row: SessionRow, sequence: number): void {
    const window = this.#loadWindow(row);
    markAllUpTo(window, sequence);
    this.#storeWindow(row);
  }

  /** An authentic record came from this peer. */
  heard(row: SessionRow, now: Instant): void {
    this.#unlink(row);
    this.#link(row, now);
  }

  #keepLastFlight(row: SessionRow, { verifyData, messageSequence, plainSequence }: LastFlight): void {
    this.#secrets.set(verifyData, (row + 1) * secretLength - verifyDataLength);
    this.#finishedSequences[row] = messageSequence;
    this.#plainSequences[row] = plainSequence;
  }

  #keys(row: SessionRow, side: 0 | 1): DirectionKeys {
    const { keyLength, macKeyLength, implicitIvLength } = this.suite(row);
    const at = row * secretLength + side * maxKeyLength;
    const iv = row * secretLength + 2 * maxKeyLength + side * ivLength;
    return {
      key: this.#secrets.subarray(at, at + keyLength),
      iv: this.#secrets.subarray(iv, iv + implicitIvLength),
      mac: this.#macKeys.get(row)?.subarray(side * macKeyLength, (side + 1) * macKeyLength) ?? noBytes,
    };
  }

  #loadWindow(row: SessionRow) {
    scratch.highest = this.#readHighest[row]!;
    scratch.recent = this.#readRecent[row]!;
    scratch.older = this.#readOlder[row]!;
    return scratch;
  }

  #storeWindow(row: SessionRow): void {
    this.#readHighest[row] = scratch.highest;
    this.#readRecent[row] = scratch.recent;
    this.#readOlder[row] = scratch.older;
  }

  #link(row: SessionRow, now: Instant): void {
    this.#heard[row] = now;
    const newest = this.#before[this.capacity]!;
    this.#behind[newest] = row;
    this.#before[row] = newest;
    this.#behind[row] = this.capacity;
    this.#before[this.capacity] = row;
  }

  #unlink(row: SessionRow): void {
    const before = this.#before[row]!;
    const behind = this.#behind[row]!;
    this.#behind[before] = behind;
    this.#before[behind] = before;
  }

  #numbers() {
    return [
      this.#suites,
      this.#confirmed,
      this.#maxPlaintexts,
      this.#cidFlags,
      this.#peers,
      this.#ownerRows,
      this.#ownerCredentials,
      this.#writeSequences,
      this.#writeMarks,
      this.#reserving,
      this.#forged,
      this.#readHighest,
      this.#readRecent,
      this.#readOlder,
      this.#heard,
      this.#created,
      this.#finishedSequences,
      this.#helloStarts,
      this.#plainSequences,
    ];
  }
}

const scratch = newReplayWindow();
const hasCid = 1;
const checksReturnRoutability = 2;
const maxKeyLength = 32;
const ivLength = 4;
const secretLength = 2 * maxKeyLength + 2 * ivLength + verifyDataLength;
