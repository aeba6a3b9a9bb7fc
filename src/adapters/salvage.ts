import { readdir } from 'node:fs/promises';
import { type Bytes, toHex } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import type { CommandId } from '../fleet/command.ts';
import { noRow } from '../fleet/credential.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { Row } from '../fleet/names.ts';
import type { ValuePath } from '../lwm2m/path.ts';
import type { Progress } from './backup.ts';
import { DirectoryLock } from './directoryLock.ts';
import { type Environment, openEnvironment, readMeta, transact, writeMeta } from './lmdbEnvironment.ts';
import {
  decodeCredential,
  decodeEvent,
  decodeRecord,
  encodeCredential,
  encodeName,
  encodeRecord,
  nameKey,
  type SealedCredential,
  storeForm,
} from './lmdbForms.ts';
import { forgetRow, numberOf, rowsOf } from './lmdbModel.ts';
import { decodeCommand, decodeDesired, decodeObservation, decodeValue } from './lmdbModelForms.ts';
import { fillIndex } from './lmdbUpgrade.ts';
import { makeDirectory } from './makeDirectory.ts';
import { OperatorError } from './operatorError.ts';
import { place, wantRoom, withStage } from './staging.ts';
import { type Census, type Orphans, takeCensus } from './storeCensus.ts';
import { storePath } from './storeCheck.ts';
import { startAnew } from './storeCopy.ts';
import { type Header, StoreFile, type Tree } from './storeFile.ts';
import { type Entry, StorePages } from './storePages.ts';

/**
 * Saves what can be read of a store into a new directory; the old one stays as it is. Records and credentials are what
 * counts: names and the index are made from them anew. A record that is lost leaves its name, if that has a credential.
 * Sessions are left out: what is saved is a copy like any other, see `startAnew`.
 */
export async function salvage(
  directory: string,
  into: string,
  now: WallTime,
  progress: Progress,
): Promise<SalvageResult> {
  if (await DirectoryLock.isTaken(directory)) {
    throw new OperatorError(`a server runs on ${directory}: stop it first, so that nothing is acknowledged meanwhile`);
  }
  const present = await readdir(into).catch(() => []);
  if (present.length > 0) throw new OperatorError(`${into} is not empty: name a directory that is not there yet`);
  const file = StoreFile.open(storePath(directory));
  try {
    const { header, census } = bestHeader(file);
    await makeDirectory(into);
    await wantRoom(into, file.size);
    return await withStage(into, async stage => {
      const environment = await openEnvironment(stage, true);
      let result: SalvageResult;
      try {
        const saved = await copyAll(
          new StorePages(file, header, () => undefined),
          census.orphans,
          environment,
          progress,
        );
        if (readMeta(environment, 'keys') === undefined) {
          throw new OperatorError('the keys that seal all credentials cannot be read: restore a backup');
        }
        const names = await makeNames(environment);
        await fillIndex(environment);
        await startAnew(environment, now);
        result = { directory: into, saved, ...names };
      } finally {
        await environment.root.close();
      }
      await place(storePath(stage), storePath(into));
      return result;
    });
  } finally {
    file.close();
  }
}

export interface SalvageResult {
  readonly directory: string;
  /** By sub-database: how many entries are saved, and how many are lost. */
  readonly saved: Readonly<Record<string, { readonly kept: number; readonly lost: number }>>;
  /** Names whose records are lost, and that have nothing but their credentials now. */
  readonly emptied: number;
  /** Records that were left out because another one has their name. */
  readonly doubled: number;
}

/** The header behind which less is lost; the newer one if there is no difference. */
function bestHeader(file: StoreFile): { header: Header; census: Census } {
  const { headers, damage } = file.headers();
  const ranked = headers.map(header => ({ header, census: takeCensus(file, header, isSaved) }));
  const best = ranked.reduce<(typeof ranked)[number] | undefined>(
    (least, other) => (least === undefined || other.census.lost < least.census.lost ? other : least),
    undefined,
  );
  if (best === undefined) throw new OperatorError(`nothing can be read: ${damage.join('; ')}. Restore a backup`);
  return best;
}

async function copyAll(
  pages: StorePages,
  orphans: Orphans | undefined,
  environment: Environment,
  progress: Progress,
): Promise<SalvageResult['saved']> {
  const trees = pages.databases();
  const saved: Record<string, { kept: number; lost: number }> = {};
  for (const [name, read] of Object.entries(savedDatabases)) {
    const tree = trees.get(name);
    if (tree === undefined) continue;
    const put = putter(environment, name);
    let kept = 0;
    let batch: { key: Bytes; value: Bytes }[] = [];
    const flush = async (): Promise<void> => {
      await transact(environment, () => {
        for (const { key, value } of batch) put(key, value);
      });
      batch = [];
      progress('write', pages.pages, pages.header.lastPage);
    };
    for (const entry of entriesOf(pages, tree, name, orphans)) {
      if (!canBeRead(() => read(entry))) continue;
      kept++;
      batch.push({ key: entry.key.slice(), value: entry.value.slice() });
      if (batch.length === batchLength) await flush();
    }
    await flush();
    saved[name] = { kept, lost: Math.max(0, tree.entries - kept) };
  }
  return saved;
}

/** What its pages lead to, and then what nothing leads to any more. */
function* entriesOf(pages: StorePages, tree: Tree, name: string, orphans: Orphans | undefined): Generator<Entry, void> {
  yield* pages.entries(tree, name);
  if (orphans?.database === name) for (const leaf of orphans.leaves) yield* pages.leafEntries(leaf, name);
}

/** What is saved, and what has to be readable in it. Names and the index are made anew; sessions must not wake. */
const savedDatabases: Readonly<Record<string, (entry: Entry) => unknown>> = {
  meta: () => undefined,
  credentials: ({ value }) => decodeCredential(value),
  devices: ({ key, value }) => decodeRecord(numberKey(key) as Row, value),
  profiles: () => undefined,
  observations: ({ key, value }) => decodeObservation(numberOf(key), value),
  commands: ({ key, value }) => decodeCommand(numberOf(key) as CommandId, value),
  values: ({ value }) => decodeValue('/0/0/0' as ValuePath, value),
  desired: ({ value }) => decodeDesired('/0/0/0' as ValuePath, value),
  events: ({ value }) => decodeEvent(0, value),
  handshakes: () => undefined,
};

function isSaved(database: string): boolean {
  return database in savedDatabases;
}

/** Puts an entry into the sub-database of the same name, whatever its keys mean. */
function putter(environment: Environment, name: string): (key: Bytes, value: Bytes) => void {
  if (name === 'devices' || name === 'handshakes') {
    const database = environment[name];
    return (key, value) => void database.put(numberKey(key), value);
  }
  const database = environment.root.openDB<Bytes, Bytes>(name, { encoding: 'binary', keyEncoding: 'binary' });
  return (key, value) => void database.put(key, value);
}

/** As `uint32` keys stand in the file. */
function numberKey(key: Bytes): number {
  return new DataView(key.buffer, key.byteOffset).getUint32(0, true);
}

/** Makes names of records and credentials, and has all that points at something else point at what is there. */
async function makeNames(environment: Environment): Promise<Pick<SalvageResult, 'emptied' | 'doubled'>> {
  const { devices, credentials, names } = environment;
  const entries = new Map<string, NameDraft>();
  const doubled: Row[] = [];
  const emptied: DeviceRecord[] = [];
  const moved: { identity: Bytes; credential: SealedCredential }[] = [];
  let nextRow = readMeta(environment, 'nextRow') ?? 1;
  let nextCredential = readMeta(environment, 'nextCredential') ?? 1;
  for (const { key, value } of devices.getRange()) {
    const { row, version, name, sector } = decodeRecord(key as Row, value);
    nextRow = Math.max(nextRow, row + 1);
    const draft = { key: nameKey(name, sector), row, version, identities: [] };
    const rival = entries.get(toHex(draft.key));
    const isNewer = rival === undefined || rival.version <= version;
    if (rival !== undefined) doubled.push(isNewer ? rival.row : row);
    if (isNewer) entries.set(toHex(draft.key), draft);
  }
  for (const { key, value } of credentials.getRange()) {
    const identity = new Uint8Array(key);
    const credential = decodeCredential(value);
    const { id, row, endpoint, sector } = credential;
    nextCredential = Math.max(nextCredential, id + 1);
    nextRow = Math.max(nextRow, row + 1);
    const name = nameKey(endpoint, sector);
    let draft = entries.get(toHex(name));
    if (draft === undefined) {
      draft = { key: name, row, version: 1, identities: [] };
      entries.set(toHex(name), draft);
      // An operator has a name, and no record.
      if (row !== noRow) emptied.push(emptyRecord(credential));
    }
    draft.identities.push(identity);
    if (row !== draft.row) moved.push({ identity, credential: { ...credential, row: draft.row } });
  }
  await transact(environment, () => {
    for (const { key, row, identities } of entries.values()) void names.put(key, encodeName({ row, identities }));
    for (const row of doubled) void devices.remove(row);
    for (const record of emptied) void devices.put(record.row, encodeRecord(record));
    for (const { identity, credential } of moved) void credentials.put(identity, encodeCredential(credential));
    void writeMeta(environment, 'nextRow', nextRow);
    void writeMeta(environment, 'nextCredential', nextCredential);
    void writeMeta(environment, 'form', storeForm);
  });
  await forgetOrphans(environment);
  return { emptied: emptied.length, doubled: doubled.length };
}

interface NameDraft {
  readonly key: Bytes;
  readonly row: Row;
  /** Of the record. */
  readonly version: number;
  readonly identities: Bytes[];
}

/** What was kept for registrations that are lost; and for names that are, whose rows somebody else will have. */
async function forgetOrphans(environment: Environment): Promise<void> {
  const { devices, observations, commands, values, desired } = environment;
  await transact(environment, () => {
    for (const database of [observations, commands, values]) {
      for (const row of Array.from(rowsOf(database))) {
        const bytes = devices.get(row);
        if (bytes !== undefined && decodeRecord(row, bytes).registration !== undefined) continue;
        forgetRow(database, row);
      }
    }
    for (const row of Array.from(rowsOf(desired))) if (devices.get(row) === undefined) forgetRow(desired, row);
  });
}

function emptyRecord({ row, endpoint, sector }: SealedCredential): DeviceRecord {
  return {
    row,
    // Above any that the lost record can have had: an old location must not meet a new registration.
    generation: 2 ** 31,
    version: 1,
    name: endpoint,
    sector,
    registration: undefined,
    lastExchange: undefined,
  };
}

function canBeRead(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    return false;
  }
}

const batchLength = 1000;
