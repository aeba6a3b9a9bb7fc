import type { WallTime } from '../base/time.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { StoredEvent } from '../fleet/event.ts';
import type { CredentialId, Row } from '../fleet/names.ts';
import { type Outage, outagesAtStart } from '../fleet/outage.ts';
import { Overlay, stands, type Underway } from '../fleet/overlay.ts';
import type { SessionHead, SessionRow } from '../fleet/session.ts';
import type { Commit, CommitResult, DeviceChange, FoundPage, Selection, Store, View } from '../fleet/store.ts';
import { type TermChanges, termChanges } from '../fleet/terms.ts';
import { GroupPace } from './groupPace.ts';
import type { Keyring } from './keyring.ts';
import { type Environment, lastSequence, readMeta, transact, writeMeta } from './lmdbEnvironment.ts';
import { decodeEvent, decodeRecord, encodeEvent, encodeName, nameKey, versionOf } from './lmdbForms.ts';
import { mayModel, putRecord, rowsOf, writeModel } from './lmdbModel.ts';
import {
  maySession,
  type PreparedSession,
  prepareSession,
  readSession,
  readSessionHeads,
  sweepSessions,
  writeSession,
} from './lmdbSessions.ts';
import { findDevices, TermWrites } from './lmdbTerms.ts';
import { LmdbView, readDevices, readEvents } from './lmdbView.ts';

/**
 * The registry in LMDB. Reads are synchronous, from one snapshot for each turn, with our own changes under way laid
 * over it. Commits gather in a group: one transaction and one flush serve everything that was asked for while the last
 * one was under way. Nothing settles before the flush that made it durable.
 */
export class LmdbStore implements Store {
  readonly #environment: Environment;
  readonly #keyring: Keyring;
  readonly #onError: (error: unknown) => void;

  #queue: Pending[] = [];
  #busy = false;
  #underWay = 0;
  readonly #calm = new Set<() => void>();
  #scheduled = false;
  #closed = false;
  readonly #overlay = new Overlay();
  readonly #pace = new GroupPace();

  #snapshotAt = 0;
  #snapshotStale = true;
  #rowBlock: { next: number; end: number };
  #reserving: Promise<void> | undefined;
  /** The newest event that is ours or was reported as somebody else's. */
  #seenSequence: number;
  /** Events of ours, so that they are told from those of other processes. */
  #lastOwn: { first: number; last: number }[] = [];
  readonly #readerCheck: NodeJS.Timeout;

  private constructor(environment: Environment, keyring: Keyring, onError: (error: unknown) => void, firstRow: number) {
    this.#environment = environment;
    this.#keyring = keyring;
    this.#onError = onError;
    this.#rowBlock = { next: firstRow, end: firstRow + rowBlockLength };
    this.#seenSequence = lastSequence(environment);
    this.#readerCheck = setInterval(() => environment.root.readerCheck(), 60_000).unref();
  }

  /** `onError` hears why commits failed; the commits themselves settle as `failed`. */
  static async open(environment: Environment, keyring: Keyring, onError: (error: unknown) => void): Promise<LmdbStore> {
    return new LmdbStore(environment, keyring, onError, await reserveRows(environment, rowBlockLength));
  }

  view(): View {
    const now = performance.now();
    // What other processes commit shows in a new snapshot only; each turn need not pay for one.
    if (this.#snapshotStale || now - this.#snapshotAt > snapshotAge) {
      this.#environment.root.resetReadTxn();
      this.#snapshotStale = false;
      this.#snapshotAt = now;
    }
    return new LmdbView(this.#environment, this.#keyring, this.#overlay);
  }

  commit(commit: Commit, settled: (result: CommitResult) => void): void {
    const underway = this.#overlay.lay(commit);
    const sessions = commit.sessions?.map(change => prepareSession(change, this.#keyring)) ?? noSessions;
    this.#queue.push({ commit, underway, sessions, terms: commit.devices.map(termsAtHand), settled });
    this.#schedule();
  }

  /** `undefined` if rows went faster than the next block of them could be reserved. */
  allocateRow(): Row | undefined {
    const block = this.#rowBlock;
    if (block.end - block.next <= rowBlockLength / 2) this.#reserve();
    return block.next < block.end ? (block.next++ as Row) : undefined;
  }

  devices(from: Row, limit: number): DeviceRecord[] {
    this.#environment.root.resetReadTxn();
    return readDevices(this.#environment, from, limit);
  }

  find(selection: Selection, from: Row, limit: number): FoundPage {
    this.#environment.root.resetReadTxn();
    return findDevices(this.#environment, selection, from, limit);
  }

  events(from: number, limit: number): StoredEvent[] {
    this.#environment.root.resetReadTxn();
    return readEvents(this.#environment, from, limit);
  }

  sessionCount(): number {
    return this.#environment.sessions.getKeysCount();
  }

  sessionHeads(): Iterable<SessionHead> {
    return readSessionHeads(this.#environment);
  }

  session(credential: CredentialId): SessionRow | undefined {
    return readSession(this.#environment, this.#keyring, credential);
  }

  *rowsWithWork(): Iterable<Row> {
    yield* rowsOf(this.#environment.observations);
    yield* rowsOf(this.#environment.commands);
    yield* rowsOf(this.#environment.desired);
  }

  /** Calls `run` at once, or as soon as the group under way has settled: then our own events are told from others. */
  whenCalm(run: () => void): void {
    if (this.#busy) this.#calm.add(run);
    else run();
  }

  /** Events that other processes (the CLI) appended since the last call, oldest first. Cheap if there are none. */
  foreignEvents(): StoredEvent[] {
    if (this.#busy) return [];
    this.#environment.root.resetReadTxn();
    const last = lastSequence(this.#environment);
    const found: StoredEvent[] = [];
    while (this.#seenSequence < last) {
      const own = this.#lastOwn.find(({ first }) => first === this.#seenSequence + 1);
      if (own !== undefined) {
        this.#seenSequence = own.last;
        continue;
      }
      const bytes = this.#environment.events.get(++this.#seenSequence);
      if (bytes !== undefined) found.push(decodeEvent(this.#seenSequence, bytes));
    }
    this.#lastOwn = this.#lastOwn.filter(({ last: end }) => end > this.#seenSequence);
    return found;
  }

  /**
   * The server starts: from when to when it did not run counts as an outage. Returns the outages that matter, and the
   * first number for associations that no earlier run has used.
   */
  async started(now: WallTime): Promise<{ outages: readonly Outage[]; firstPeer: number }> {
    const alive = readMeta(this.#environment, 'alive');
    const before = readMeta(this.#environment, 'outages') ?? [];
    const outages = outagesAtStart(before, alive as WallTime | undefined, now);
    const firstPeer = readMeta(this.#environment, 'nextPeer') ?? 1;
    await transact(this.#environment, () => {
      void writeMeta(this.#environment, 'outages', outages);
      void writeMeta(this.#environment, 'alive', now);
      void writeMeta(this.#environment, 'nextPeer', firstPeer + peersAhead);
      sweepSessions(this.#environment, now);
    });
    return { outages, firstPeer };
  }

  /** Every half minute or so: the server runs, and `nextPeer` is the next association's number. */
  async alive(now: WallTime, nextPeer: number): Promise<void> {
    await transact(this.#environment, () => {
      void writeMeta(this.#environment, 'alive', now);
      void writeMeta(this.#environment, 'nextPeer', nextPeer + peersAhead);
    });
  }

  /** How many commits have not settled. */
  get commits(): number {
    return this.#queue.length + this.#underWay;
  }

  /** Waits until nothing that was asked for is under way. */
  async settled(): Promise<void> {
    while (this.#busy || this.#queue.length > 0) await new Promise(resolve => setTimeout(resolve, 1));
  }

  /** Waits for everything that was asked for, then closes. */
  async close(): Promise<void> {
    clearInterval(this.#readerCheck);
    await this.settled();
    await this.#reserving;
    this.#closed = true;
    await this.#environment.root.close();
  }

  /** Rows that are left of the block before are given up: there are four billion. */
  #reserve(): void {
    this.#reserving ??= reserveRows(this.#environment, rowBlockLength)
      .then(first => {
        this.#rowBlock = { next: first, end: first + rowBlockLength };
      })
      .catch(this.#onError)
      .finally(() => {
        this.#reserving = undefined;
      });
  }

  /** A group leaves at the end of the turn, or a little later if more commits are to be expected. */
  #schedule(): void {
    if (this.#busy || this.#scheduled) return;
    this.#scheduled = true;
    if (this.#pace.begins(performance.now(), this.#queue.length)) this.#gather();
    else setImmediate(() => this.#writeGroup());
  }

  #gather(): void {
    setTimeout(() => {
      if (this.#pace.mayGrow(performance.now(), this.#queue.length)) this.#gather();
      else this.#writeGroup();
    }, 1);
  }

  #writeGroup(): void {
    this.#scheduled = false;
    if (this.#closed || this.#busy || this.#queue.length === 0) return;
    this.#busy = true;
    const group = this.#queue;
    this.#queue = [];
    this.#underWay = group.length;
    transact(this.#environment, () => this.#write(group)).then(
      events => {
        if (events.last >= events.first) this.#noteOwn(events);
        this.#settle(
          group,
          group.map(({ underway }) => (underway.isWritten ? 'durable' : 'conflict')),
        );
      },
      (error: unknown) => {
        this.#onError(error);
        this.#settle(
          group,
          group.map(() => 'failed'),
        );
      },
    );
  }

  /** Checks each commit before it writes any of it: a throw would not undo what was written. Returns its events. */
  #write(group: readonly Pending[]): EventRange {
    const { names, events } = this.#environment;
    let sequence = lastSequence(this.#environment);
    const first = sequence + 1;
    const terms = new TermWrites();
    for (const { commit, underway, sessions, terms: changes } of group) {
      if (!stands(underway) || !this.#mayWrite(commit)) continue;
      if (!sessions.every(session => maySession(this.#environment, session))) continue;
      for (let i = 0; i < commit.devices.length; i++) {
        const { expected, record } = commit.devices[i]!;
        terms.note(record.row, changes[i] ?? termChanges(this.#stored(record.row), record));
        if (expected === 0) {
          void names.put(nameKey(record.name, record.sector), encodeName({ row: record.row, identities: [] }));
        }
        putRecord(this.#environment, record);
      }
      for (const event of commit.events) void events.put(++sequence, encodeEvent(event));
      writeModel(this.#environment, commit);
      for (const session of sessions) writeSession(this.#environment, session);
      underway.isWritten = true;
    }
    terms.write(this.#environment);
    return { first, last: sequence };
  }

  #stored(row: Row): DeviceRecord | undefined {
    const bytes = this.#environment.devices.get(row);
    return bytes === undefined ? undefined : decodeRecord(row, bytes);
  }

  #mayWrite(commit: Commit): boolean {
    const { devices, names } = this.#environment;
    for (const { expected, record } of commit.devices) {
      // A new row is ours alone; its name may have got another one meanwhile.
      if (expected === 0 && names.get(nameKey(record.name, record.sector)) !== undefined) return false;
      if (expected !== 0 && versionOf(devices.get(record.row)) !== expected) return false;
    }
    return mayModel(this.#environment, commit);
  }

  #noteOwn(events: EventRange): void {
    this.#lastOwn.push(events);
    if (this.#lastOwn.length <= maxOwnRanges) return;
    // Neighbouring ranges of ours become one.
    const merged: { first: number; last: number }[] = [];
    for (const range of this.#lastOwn) {
      const before = merged.at(-1);
      if (before !== undefined && before.last + 1 === range.first) before.last = range.last;
      else merged.push({ ...range });
    }
    this.#lastOwn = merged;
  }

  #settle(group: readonly Pending[], results: readonly CommitResult[]): void {
    this.#snapshotStale = true;
    for (let i = 0; i < group.length; i++) this.#overlay.settle(group[i]!.commit, group[i]!.underway, results[i]!);
    this.#busy = false;
    this.#underWay = 0;
    this.#pace.settled(performance.now(), group.length, this.#queue.length);
    if (this.#queue.length > 0) this.#schedule();
    for (let i = 0; i < group.length; i++) group[i]!.settled(results[i]!);
    const calm = [...this.#calm];
    this.#calm.clear();
    for (const run of calm) run();
  }
}

/** Inside a transaction: the first of `count` rows that nobody else gets. */
export function takeRows(environment: Environment, count: number): number {
  const next = readMeta(environment, 'nextRow') ?? 1;
  void writeMeta(environment, 'nextRow', next + count);
  return next;
}

function reserveRows(environment: Environment, count: number): Promise<number> {
  return transact(environment, () => takeRows(environment, count));
}

/** Sequence numbers; without any, `last` is the one before `first`. */
interface EventRange {
  readonly first: number;
  readonly last: number;
}

interface Pending {
  readonly commit: Commit;
  readonly underway: Underway;
  readonly sessions: readonly PreparedSession[];
  /** Of each device; `undefined` if that takes a look at what is stored. */
  readonly terms: readonly (TermChanges | undefined)[];
  readonly settled: (result: CommitResult) => void;
}

/** Made while what they are made of is at hand, outside the transaction. */
function termsAtHand({ expected, record, before }: DeviceChange): TermChanges | undefined {
  return expected === 0 || before !== undefined ? termChanges(before, record) : undefined;
}

const noSessions: readonly PreparedSession[] = [];

const rowBlockLength = 4096;
/** In milliseconds: how late a change of another process is seen at most. */
const snapshotAge = 5;
const maxOwnRanges = 4096;
/** More associations than anybody can open between two notes that the server is alive. */
const peersAhead = 2 ** 20;
