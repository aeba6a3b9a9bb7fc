import { chmod, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Decoder, Encoder } from 'cbor-x';
import { type Database, open, type RootDatabase } from 'lmdb';
import type { Bytes } from '../base/bytes.ts';
import type { Outage } from '../fleet/outage.ts';
import { storeForm } from './lmdbForms.ts';
import { makeDirectory } from './makeDirectory.ts';
import { OperatorError } from './operatorError.ts';
import { pauseServer } from './pauseRequests.ts';
import { checkHeaders, checkNewest } from './storeCheck.ts';
import { withDoor } from './storeDoor.ts';
import { WriteGate } from './writeGate.ts';

/** The sub-databases of a data directory; `lmdbForms` says what stands in them. */
export interface Environment {
  readonly directory: string;
  /** Whatever writes passes it, and so it does with `transact`. */
  readonly gate: WriteGate;
  readonly root: RootDatabase<Bytes, string>;
  readonly meta: Database<Bytes, string>;
  readonly names: Database<Bytes, Bytes>;
  readonly devices: Database<Bytes, number>;
  readonly credentials: Database<Bytes, Bytes>;
  readonly events: Database<Bytes, number>;
  readonly sessions: Database<Bytes, number>;
  readonly handshakes: Database<Bytes, number>;
  readonly observations: Database<Bytes, Bytes>;
  readonly commands: Database<Bytes, Bytes>;
  readonly values: Database<Bytes, Bytes>;
  readonly desired: Database<Bytes, Bytes>;
  readonly profiles: Database<Bytes, string>;
  readonly terms: Database<Bytes, Bytes>;
  readonly origins: Database<Bytes, number>;
}

/** What the `meta` database holds, by key. */
export interface Meta {
  readonly form: number;
  readonly nextRow: number;
  readonly nextCredential: number;
  /** No association has this number yet, nor a higher one. */
  readonly nextPeer: number;
  /** When the server was last known to run. */
  readonly alive: number;
  readonly outages: readonly Outage[];
  /** What secrets are sealed under, wrapped under the master key. */
  readonly keys: Bytes;
  /** Which file the store was when a server last served from it. */
  readonly home: Bytes;
  /** Of a backup: when it was taken. */
  readonly backup: { readonly at: number };
}

/** Opens a data directory, making it if `create`; only its owner can look into it. */
export async function openEnvironment(directory: string, create: boolean): Promise<Environment> {
  if (create) {
    await makeDirectory(directory).catch(error => {
      throw new OperatorError(`the directory ${directory} cannot be made: ${error.message}`);
    });
  } else if (!(await exists(join(directory, 'data.mdb')))) {
    throw new OperatorError(`no store in ${directory}: start the server there once, or name another one with --data`);
  }
  checkHeaders(directory);
  return withDoor(directory, () => openHere(directory));
}

/** With the door shut. */
async function openHere(directory: string): Promise<Environment> {
  const goOn = await pauseServer(directory);
  const root = openRoot(directory, goOn);
  const environment: Environment = {
    directory,
    gate: new WriteGate(directory),
    root,
    meta: root.openDB('meta', { encoding: 'binary' }),
    names: root.openDB('names', { encoding: 'binary', keyEncoding: 'binary' }),
    devices: root.openDB('devices', { encoding: 'binary', keyEncoding: 'uint32' }),
    credentials: root.openDB('credentials', { encoding: 'binary', keyEncoding: 'binary' }),
    events: root.openDB('events', { encoding: 'binary' }),
    sessions: root.openDB('sessions', { encoding: 'binary', keyEncoding: 'uint32' }),
    handshakes: root.openDB('handshakes', { encoding: 'binary', keyEncoding: 'uint32' }),
    observations: root.openDB('observations', { encoding: 'binary', keyEncoding: 'binary' }),
    commands: root.openDB('commands', { encoding: 'binary', keyEncoding: 'binary' }),
    values: root.openDB('values', { encoding: 'binary', keyEncoding: 'binary' }),
    desired: root.openDB('desired', { encoding: 'binary', keyEncoding: 'binary' }),
    profiles: root.openDB('profiles', { encoding: 'binary' }),
    terms: root.openDB('terms', { encoding: 'binary', keyEncoding: 'binary' }),
    origins: root.openDB('origins', { encoding: 'binary' }),
  };
  await chmod(join(directory, 'data.mdb'), 0o600);
  // A reader that was killed leaves a slot behind, and pages that nobody can use again.
  root.readerCheck();
  const form = readMeta(environment, 'form');
  if (form === undefined) await environment.meta.put('form', encoder.encode(storeForm));
  else if (form > storeForm || form < oldestForm) {
    throw new OperatorError(
      `the store in ${directory} has form ${form}, and this version knows forms ${oldestForm} to ${storeForm} only`,
    );
  }
  return environment;
}

function openRoot(directory: string, opened: () => void): RootDatabase<Bytes, string> {
  try {
    return open<Bytes, string>({
      path: directory,
      encoding: 'binary',
      maxDbs: 32,
      // Address space, not memory or disk: the file grows with what is in it.
      mapSize: 64 * 2 ** 30,
      noSubdir: false,
      // A commit is on the disk when its promise resolves.
      overlappingSync: false,
      // With it a commit that fails rejects a promise that nobody has, and so would end the process.
      eventTurnBatching: false,
    });
  } finally {
    opened();
  }
}

/**
 * Runs `write` in one transaction. Resolves when that is on the disk; rejects with the disk's error if it refuses, and
 * then nothing was written. Nor is it if the transaction would undo another one (`checkNewest`).
 */
export async function transact<Result>(
  { directory, gate, root }: Pick<Environment, 'directory' | 'gate' | 'root'>,
  write: () => Result,
): Promise<Result> {
  try {
    return await gate.pass(() =>
      root.transaction(() => {
        checkNewest(directory, root.getWriteTxnId());
        return write();
      }),
    );
  } catch (error) {
    throw await causeOf(error);
  }
}

/** The library says that a commit failed, and why by a promise that ends the process if nobody hears it. */
async function causeOf(error: unknown): Promise<unknown> {
  const { commitError } = error as { commitError?: Promise<never> };
  if (commitError === undefined) return error;
  const unknown = new Promise<unknown>(resolve => setTimeout(resolve, causeMilliseconds, error).unref());
  return Promise.race([commitError.catch((cause: unknown) => cause), unknown]);
}

export function readMeta<Key extends keyof Meta>({ meta }: Environment, key: Key): Meta[Key] | undefined {
  const bytes = meta.get(key);
  return bytes === undefined ? undefined : (decoder.decode(bytes) as Meta[Key]);
}

/** Inside a transaction, and its write is part of it. */
export function writeMeta<Key extends keyof Meta>({ meta }: Environment, key: Key, value: Meta[Key]): Promise<boolean> {
  return meta.put(key, encoder.encode(value));
}

/** The sequence number of the newest event, 0 if there is none. */
export function lastSequence({ events }: Environment): number {
  for (const key of events.getKeys({ reverse: true, limit: 1 })) return key;
  return 0;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Stores of this form and later ones are brought to the newest, see `lmdbUpgrade`. */
const oldestForm = 1;
const causeMilliseconds = 100;
const encoder = new Encoder({ useRecords: false });
const decoder = new Decoder({ useRecords: false });
