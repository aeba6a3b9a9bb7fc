import { type Bytes, toHex } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import type { Milliseconds, WallTime } from '../../src/base/time.ts';
import type { Command } from '../../src/fleet/command.ts';
import { type Credential, noRow } from '../../src/fleet/credential.ts';
import type { Desired } from '../../src/fleet/desired.ts';
import type { DeviceRecord } from '../../src/fleet/device.ts';
import type { StoredEvent } from '../../src/fleet/event.ts';
import type { CredentialId, EndpointName, Row, Sector } from '../../src/fleet/names.ts';
import type { Observation } from '../../src/fleet/observation.ts';
import { type Outage, outagesAtStart } from '../../src/fleet/outage.ts';
import { Overlay, stands, type Underway } from '../../src/fleet/overlay.ts';
import type { SessionChange, SessionHead, SessionRow } from '../../src/fleet/session.ts';
import {
  type Commit,
  type CommitResult,
  type FoundPage,
  findByScan,
  type Selection,
  type Store,
  type View,
} from '../../src/fleet/store.ts';
import type { LastValue } from '../../src/fleet/value.ts';
import { type Path, rootPath, type ValuePath } from '../../src/lwm2m/path.ts';
import { type MemoryDisk, nameKey } from './memoryDisk.ts';
import {
  keyOf,
  mayModel,
  putRecord,
  readCommands,
  readDesired,
  readObservations,
  readValues,
  writeModel,
} from './memoryModel.ts';

/**
 * The registry in memory, as one process sees it: what was asked for is written in groups, what was written becomes
 * durable, and only then it settles. Each step takes as long as `behaviour` says, fails when it says so, and what was
 * under way when the process dies (`abandon`) settles never.
 */
export class MemoryStore implements Store {
  readonly #disk: MemoryDisk;
  readonly #behaviour: StoreBehaviour;
  #queue: Pending[] = [];
  #busy = false;
  #abandoned = false;
  readonly #overlay = new Overlay();

  constructor(disk: MemoryDisk, behaviour: StoreBehaviour) {
    this.#disk = disk;
    this.#behaviour = behaviour;
  }

  view(): View {
    return new MemoryView(this.#disk, this.#overlay);
  }

  commit(commit: Commit, settled: (result: CommitResult) => void): void {
    if (this.#abandoned) return;
    this.#queue.push({ commit, underway: this.#overlay.lay(commit), settled });
    if (!this.#busy) this.#begin();
  }

  allocateRow(): Row {
    return this.#disk.nextRow++ as Row;
  }

  devices(from: Row, limit: number): DeviceRecord[] {
    const found = [...this.#disk.devices.values()].filter(({ row }) => row >= from);
    return found.sort((a, b) => a.row - b.row).slice(0, limit);
  }

  find(selection: Selection, from: Row, limit: number): FoundPage {
    return findByScan(this, selection, from, limit);
  }

  sessionCount(): number {
    return this.#disk.sessions.size;
  }

  sessionHeads(): Iterable<SessionHead> {
    return [...this.#disk.sessions.values()].filter(({ ended }) => !ended);
  }

  session(credential: CredentialId): SessionRow | undefined {
    const session = this.#disk.sessions.get(credential);
    return session?.ended === true ? undefined : session;
  }

  rowsWithWork(): Iterable<Row> {
    const { observations, commands, desired } = this.#disk;
    const keys = [...observations.entries(), ...commands.entries(), ...desired.entries()].map(([key]) => key);
    return new Set(keys.map(key => Number(key.split(' ')[0]) as Row));
  }

  events(from: number, limit: number): StoredEvent[] {
    const page: StoredEvent[] = [];
    for (let sequence = from; page.length < limit; sequence++) {
      const event = this.#disk.events.get(sequence);
      if (event === undefined) break;
      page.push(event);
    }
    return page;
  }

  /** What `LmdbStore.started` does. */
  started(now: WallTime): { outages: readonly Outage[]; firstPeer: number } {
    const disk = this.#disk;
    const {
      alive,
      outages: before,
      nextPeer,
    } = disk.meta.get('meta') ?? { alive: undefined, outages: [], nextPeer: 1 };
    const outages = outagesAtStart(before, alive as WallTime | undefined, now);
    disk.transaction(() => disk.writeMeta({ outages, alive: now, nextPeer: nextPeer + peersAhead }));
    disk.journal.flushed(disk.journal.committed);
    return { outages, firstPeer: nextPeer };
  }

  /** What `LmdbStore.alive` does: written, and durable with whatever comes next. */
  alive(now: WallTime, nextPeer: number): void {
    this.#disk.transaction(() => this.#disk.writeMeta({ alive: now, nextPeer: nextPeer + peersAhead }));
  }

  /** The process is gone: nothing settles any more. What was written stays on the disk, durable or not. */
  abandon(): void {
    this.#abandoned = true;
    this.#queue = [];
  }

  /** One group at a time: it is written, then flushed, and serves all that was asked for until it is written. */
  #begin(): void {
    this.#busy = true;
    this.#later(this.#behaviour.writeTakes(), () => {
      const group = this.#queue;
      this.#queue = [];
      const fault = this.#behaviour.fault();
      const results = fault === 'write' ? group.map(() => 'failed' as const) : this.#write(group);
      const { committed } = this.#disk.journal;
      this.#later(this.#behaviour.flushTakes(), () => {
        // If a flush fails, what was written may be there after a crash, or not: nobody may count on it.
        if (fault === undefined) this.#disk.journal.flushed(committed);
        this.#settle(
          group,
          results.map(result => (fault === undefined ? result : 'failed')),
        );
      });
    });
  }

  #write(group: readonly Pending[]): CommitResult[] {
    const disk = this.#disk;
    return disk.transaction(() =>
      group.map(({ commit, underway }) => {
        const mayWrite =
          stands(underway) && this.#mayWrite(commit) && (isEmpty(commit) || !this.#behaviour.conflicts(commit));
        if (!mayWrite) return 'conflict';
        for (const { expected, record } of commit.devices) {
          if (expected === 0) disk.names.put(nameKey(record.name, record.sector), { row: record.row, identities: [] });
          putRecord(disk, record);
        }
        let sequence = disk.lastSequence;
        for (const event of commit.events) disk.events.put(++sequence, { ...event, sequence: sequence });
        if (commit.events.length > 0) disk.writeMeta({ lastSequence: sequence });
        writeModel(disk, commit);
        for (const change of commit.sessions ?? []) this.#writeSession(change);
        this.#behaviour.written?.(commit);
        underway.isWritten = true;
        return 'durable';
      }),
    );
  }

  #mayWrite(commit: Commit): boolean {
    const { devices, sessions = [] } = commit;
    const disk = this.#disk;
    if (!mayModel(disk, commit)) return false;
    for (const { expected, record } of devices) {
      if ((disk.devices.get(record.row)?.version ?? 0) !== expected) return false;
      if (expected === 0 && disk.names.get(nameKey(record.name, record.sector)) !== undefined) return false;
    }
    return sessions.every(change => {
      if (change.kind !== 'opened') return true;
      const credential = disk.credentials.get(toHex(change.session.identity));
      return credential?.id === change.session.credential && credential.revokedAt === undefined;
    });
  }

  #writeSession(change: SessionChange): void {
    const { sessions } = this.#disk;
    if (change.kind === 'opened') return sessions.put(change.session.credential, { ...change.session, ended: false });
    const present = sessions.get(change.credential);
    if (present === undefined) return;
    if (change.kind === 'ended') {
      if (present.peer > change.peer) return;
      if (change.forget || present.resumable === undefined) sessions.delete(change.credential);
      else sessions.put(change.credential, { ...present, ended: true });
    } else if (present.peer !== change.peer) {
      return;
    } else if (change.kind === 'read') {
      sessions.put(change.credential, { ...present, readMark: Math.max(present.readMark, change.readMark) });
    } else if (change.kind === 'reserved') {
      sessions.put(change.credential, { ...present, writeMark: Math.max(present.writeMark, change.writeMark) });
    } else {
      const readMark = Math.max(present.readMark, change.readMark);
      sessions.put(change.credential, { ...present, state: change.state, readMark });
    }
  }

  #settle(group: readonly Pending[], results: readonly CommitResult[]): void {
    for (const [i, { commit, underway }] of group.entries()) this.#overlay.settle(commit, underway, results[i]!);
    this.#busy = false;
    if (this.#queue.length > 0) this.#begin();
    for (const [i, { settled }] of group.entries()) if (!this.#abandoned) settled(results[i]!);
  }

  #later(span: Milliseconds, run: () => void): void {
    this.#behaviour.later(span, () => {
      if (!this.#abandoned) run();
    });
  }
}

/** How the disk behaves: in a simulated world on its clock and from its seed. */
export interface StoreBehaviour {
  later(span: Milliseconds, run: () => void): void;
  writeTakes(): Milliseconds;
  flushTakes(): Milliseconds;
  /** Whether the group that is about to be written fails: nothing of it is written, or it is and cannot be flushed. */
  fault(): 'write' | 'flush' | undefined;
  /** Whether somebody else seems to have been faster than this commit. */
  conflicts(commit: Commit): boolean;
  /** Hears of each commit, in the transaction that writes it. */
  written?(commit: Commit): void;
}

/** A disk without faults on the real clock. */
export const promptBehaviour: StoreBehaviour = {
  later: (span, run) => void setTimeout(run, span),
  writeTakes: () => 0,
  flushTakes: () => 0,
  fault: () => undefined,
  conflicts: () => false,
};

class MemoryView implements View {
  restsOnPending = false;
  readonly #disk: MemoryDisk;
  readonly #overlay: Overlay;

  constructor(disk: MemoryDisk, overlay: Overlay) {
    this.#disk = disk;
    this.#overlay = overlay;
  }

  device(row: Row): DeviceRecord | undefined {
    return this.#pending(this.#overlay.record(row)) ?? this.#disk.devices.get(row);
  }

  row(name: EndpointName, sector: Sector | undefined): Row | undefined {
    const row = this.#pending(this.#overlay.row(name, sector)) ?? this.#disk.names.get(nameKey(name, sector))?.row;
    return row === noRow ? undefined : row;
  }

  credential(identity: Bytes): Credential | undefined {
    return this.#disk.credentials.get(toHex(identity));
  }

  observations(row: Row): Observation[] {
    return readObservations(this.#disk, row);
  }

  observation(row: Row, id: number): Observation | undefined {
    return this.#disk.observations.get(keyOf(row, id));
  }

  commands(row: Row): Command[] {
    return readCommands(this.#disk, row);
  }

  value(row: Row, path: ValuePath): LastValue | undefined {
    return this.#disk.values.get(keyOf(row, path));
  }

  values(row: Row, below: Path): LastValue[] {
    return readValues(this.#disk, row, below);
  }

  desired(row: Row): Desired[] {
    return readDesired(this.#disk, row);
  }

  valueCount(row: Row): number {
    return readValues(this.#disk, row, rootPath).length;
  }

  nameHasCredential(name: EndpointName, sector: Sector | undefined): boolean {
    return (this.#disk.names.get(nameKey(name, sector))?.identities.length ?? 0) > 0;
  }

  resumable(origin: Peer): SessionRow | undefined {
    return [...this.#disk.sessions.values()].find(({ resumable }) => resumable?.origin === origin);
  }

  #pending<Value>(value: Value | undefined): Value | undefined {
    if (value !== undefined) this.restsOnPending = true;
    return value;
  }
}

function isEmpty({ devices, events, sessions = [] }: Commit): boolean {
  return devices.length === 0 && events.length === 0 && sessions.length === 0;
}

interface Pending {
  readonly commit: Commit;
  readonly underway: Underway;
  readonly settled: (result: CommitResult) => void;
}

/** More associations than anybody can open between two notes that the server is alive. */
const peersAhead = 2 ** 20;
