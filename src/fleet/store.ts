import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { Path, ValuePath } from '../lwm2m/path.ts';
import type { Command, CommandChange } from './command.ts';
import type { Credential } from './credential.ts';
import type { Desired, DesiredChange } from './desired.ts';
import type { DeviceRecord } from './device.ts';
import type { FleetEvent, StoredEvent } from './event.ts';
import type { CredentialId, EndpointName, Row, Sector } from './names.ts';
import type { Observation, ObservationChange } from './observation.ts';
import type { SessionChange, SessionHead, SessionRow } from './session.ts';
import type { TermTest } from './terms.ts';
import type { LastValue, ValueChange } from './value.ts';

/**
 * The port to the durable registry: `adapters/lmdbStore` in the server, a memory store with crash semantics in tests.
 * Reads are synchronous; writes go in groups and report when they are on the disk.
 */
export interface Store {
  /** A consistent view for one turn of the loop: what is stored, with our own changes under way laid over it. */
  view(): View;
  /**
   * Asks for one change with its events, all or nothing. `settled` is called once, in a later turn. Commits settle in
   * the order in which they were asked for. An empty commit settles when everything asked for before it is durable.
   */
  commit(commit: Commit, settled: (result: CommitResult) => void): void;
  /**
   * A number for a name that has none yet; `undefined` if there is none at the moment. A row that ends up unused is not
   * handed out again by this process.
   */
  allocateRow(): Row | undefined;
  /** Up to `limit` records from row `from` on, in order of rows: pages, so that no reader stays open. */
  devices(from: Row, limit: number): DeviceRecord[];
  /**
   * Up to `limit` durable records that a selection accepts, in order of rows, from row `from` on. It looks at so much and no
   * more, to keep the loop's turn short: a page may be short, or empty, and `next` still say where to go on.
   */
  find(selection: Selection, from: Row, limit: number): FoundPage;
  /** How many sessions there are at most, those that ended and may be resumed among them; for the start. */
  sessionCount(): number;
  /** What is not secret of all sessions that did not end, in no order; for the start. */
  sessionHeads(): Iterable<SessionHead>;
  /** The session of a credential, if it has one that did not end and whose secret can be opened. */
  session(credential: CredentialId): SessionRow | undefined;
  /** The rows that have observations, commands or desired values, some several times; for the start. */
  rowsWithWork(): Iterable<Row>;
  /** Up to `limit` events from sequence `from` on. */
  events(from: number, limit: number): StoredEvent[];
}

export interface View {
  device(row: Row): DeviceRecord | undefined;
  /** The row of a name, if it was ever registered or given a device's credential. */
  row(name: EndpointName, sector: Sector | undefined): Row | undefined;
  /** Revoked credentials are returned too: the caller decides, and can say why. */
  credential(identity: Bytes): Credential | undefined;
  /** Whether a credential, revoked or not, stands for this name: then it cannot be taken without it. */
  nameHasCredential(name: EndpointName, sector: Sector | undefined): boolean;
  /** The observations of a device, in the order of their numbers. What is under way is not among them. */
  observations(row: Row): Observation[];
  observation(row: Row, id: number): Observation | undefined;
  /** The commands of a device that are not over, and the newest of those that are, in the order of their ids. */
  commands(row: Row): Command[];
  /** What a device is to have, in the order of the paths' texts; also while it is not registered. */
  desired(row: Row): Desired[];
  value(row: Row, path: ValuePath): LastValue | undefined;
  /** The last values at and below a path, in the order of the paths' texts. */
  values(row: Row, below: Path): LastValue[];
  valueCount(row: Row): number;
  /** The session whose secret stems from this association, ended or not: what is stored, nothing that is under way. */
  resumable(origin: Peer): SessionRow | undefined;
  /** Whether anything read through this view is not durable yet. A reply that rests on it must wait. */
  readonly restsOnPending: boolean;
}

export interface Commit {
  readonly devices: readonly DeviceChange[];
  readonly events: readonly FleetEvent[];
  readonly sessions?: readonly SessionChange[];
  readonly observations?: readonly ObservationChange[];
  readonly commands?: readonly CommandChange[];
  readonly values?: readonly ValueChange[];
  readonly desired?: readonly DesiredChange[];
}

/** Which devices are meant. */
export interface Selection {
  /** For the index: every device that is meant passes each of these. */
  readonly terms: readonly TermTest[];
  /** How many things each record is asked: the more, the fewer records are looked at in a turn. */
  readonly questions: number;
  /** Has the last word: asked for every record that the terms let through. */
  accepts(record: DeviceRecord): boolean;
}

export interface FoundPage {
  readonly records: readonly DeviceRecord[];
  /** Where to go on; `undefined` if there is nothing more. */
  readonly next: Row | undefined;
}

/** A lookup without an index, for stores that have none: what `find` must be equal to. */
export function findByScan(store: Pick<Store, 'devices'>, selection: Selection, from: Row, limit: number): FoundPage {
  const records: DeviceRecord[] = [];
  for (let at = from; ; ) {
    const page = store.devices(at, scanPage);
    for (const record of page) {
      if (records.length === limit) return { records, next: record.row };
      if (selection.accepts(record)) records.push(record);
    }
    if (page.length < scanPage) return { records, next: undefined };
    at = (page.at(-1)!.row + 1) as Row;
  }
}

/**
 * `record.version` must be `expected + 1`. A record of a new name (`expected` 0, and the name unknown to the view) also
 * claims the name for its row; if somebody else claimed it first, the commit is a conflict. A record without a
 * registration takes everything with it that was kept for the registration; desired values belong to the name, and stay.
 */
export interface DeviceChange {
  /** The version the decision was made on; `0` if the row was empty. */
  readonly expected: number;
  readonly record: DeviceRecord;
  /** The record of version `expected`, if it is at hand: then the index need not read it again. */
  readonly before?: DeviceRecord | undefined;
}

/**
 * `durable`: on the disk. `conflict`: another process changed what the decision rested on; nothing was written, decide
 * again; a session of a revoked credential is a conflict too. `failed`: the disk refused (full, broken); nothing was written, nothing may be acknowledged.
 */
export type CommitResult = 'durable' | 'conflict' | 'failed';

export const emptyCommit: Commit = { devices: [], events: [] };
const scanPage = 256;
