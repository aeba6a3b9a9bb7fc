import { sameBytes, toHex } from '../base/bytes.ts';
import type { CommandId } from '../fleet/command.ts';
import { noRow } from '../fleet/credential.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { CredentialId, Row } from '../fleet/names.ts';
import type { ValuePath } from '../lwm2m/path.ts';
import { ExpectedChunk, indexedChunks } from './indexCheck.ts';
import type { Keyring } from './keyring.ts';
import { type Environment, readMeta } from './lmdbEnvironment.ts';
import { decodeCredential, decodeEvent, decodeName, decodeRecord, nameKey } from './lmdbForms.ts';
import { numberOf, rowOf } from './lmdbModel.ts';
import { decodeCommand, decodeDesired, decodeObservation, decodeValue } from './lmdbModelForms.ts';
import { decodeProfile } from './lmdbProfiles.ts';
import { isSoundSession } from './lmdbSessions.ts';
import { parseProfile } from './profiles.ts';
import { rowsPerChunk } from './rowSet.ts';

/**
 * Whether everything in a store agrees: each record with its name, its credentials and the index, and the other way
 * round. In one turn, so that it is one snapshot, whoever else writes. Without a keyring nothing is unsealed.
 */
export function checkRecords(
  environment: Environment,
  keyring: Keyring | undefined,
  progress: (done: number, of: number) => void,
): RecordReport {
  environment.root.resetReadTxn();
  const { devices, names, credentials, events } = environment;
  const complaints = new Complaints();
  const counts = {
    devices: devices.getKeysCount(),
    names: names.getKeysCount(),
    credentials: credentials.getKeysCount(),
    events: events.getKeysCount(),
  };
  const total = counts.devices + counts.names + counts.credentials + counts.events;
  let done = 0;
  const step = (): void => {
    if (++done % 1000 === 0) progress(done, total);
  };
  const registered = checkDevices(environment, complaints, step);
  checkNames(environment, complaints, step);
  const unsealed = checkCredentials(environment, keyring, complaints, step);
  checkModel(environment, complaints);
  for (const { key, value } of events.getRange()) {
    complaints.hear('events', `event ${key}`, () => decodeEvent(key, value));
    step();
  }
  for (const { key, value } of environment.profiles.getRange()) {
    complaints.hear('profiles', `profile ${key}`, () => parseProfile(decodeProfile(key, value).text, key));
  }
  for (const { key, value } of environment.sessions.getRange()) {
    if (!isSoundSession(environment, key as CredentialId, value)) {
      complaints.add('sessions', `the session of credential ${key} is of no credential, or cannot be read`);
    }
  }
  return { counts: { ...counts, registered, unsealed }, complaints: complaints.all };
}

export interface RecordReport {
  readonly counts: Readonly<Record<'devices' | 'registered' | 'names' | 'credentials' | 'unsealed' | 'events', number>>;
  readonly complaints: readonly Complaint[];
}

/** Of one kind: how many, and a few of them. */
export interface Complaint {
  readonly about: string;
  readonly count: number;
  readonly examples: readonly string[];
}

class Complaints {
  readonly #found = new Map<string, { count: number; examples: string[] }>();

  add(about: string, what: string): void {
    const found = this.#found.get(about) ?? { count: 0, examples: [] };
    found.count++;
    if (found.examples.length < maxExamples) found.examples.push(what);
    this.#found.set(about, found);
  }

  /** The result of `read`; `undefined` if it throws, which is a complaint. */
  hear<Result>(about: string, what: string, read: () => Result): Result | undefined {
    try {
      return read();
    } catch (error) {
      this.add(about, `${what} cannot be read: ${(error as Error).message}`);
      return undefined;
    }
  }

  get all(): Complaint[] {
    return Array.from(this.#found, ([about, found]) => ({ about, ...found }));
  }
}

/** Returns how many are registered. */
function checkDevices(environment: Environment, complaints: Complaints, step: () => void): number {
  const nextRow = readMeta(environment, 'nextRow') ?? 1;
  let registered = 0;
  let chunk = new ExpectedChunk(0);
  const checked = new Set<number>();
  const check = (): void => {
    checked.add(chunk.number);
    const first = chunk.number * rowsPerChunk;
    for (const term of chunk.differences(environment)) {
      complaints.add('index', `${term} in rows ${first} to ${first + rowsPerChunk - 1}`);
    }
  };
  for (const { key, value } of environment.devices.getRange()) {
    step();
    const row = key as Row;
    const number = Math.floor(row / rowsPerChunk);
    if (number !== chunk.number) {
      check();
      chunk = new ExpectedChunk(number);
    }
    const record = complaints.hear('devices', `the record in row ${row}`, () => decodeRecord(row, value));
    if (record === undefined) continue;
    if (record.registration !== undefined) registered++;
    if (row >= nextRow) complaints.add('counters', `row ${row} is in use, and the next one to give away is ${nextRow}`);
    complaints.hear('index', `what row ${row} is found by`, () => chunk.add(record));
    if (rowOfName(environment, record) !== row) {
      complaints.add('names', `${record.name} does not lead to row ${row}, which has that name`);
    }
  }
  check();
  // Where there is no record there are no terms either.
  for (const number of indexedChunks(environment)) {
    if (checked.has(number)) continue;
    chunk = new ExpectedChunk(number);
    check();
  }
  return registered;
}

function checkNames(environment: Environment, complaints: Complaints, step: () => void): void {
  for (const { key, value } of environment.names.getRange()) {
    step();
    const name = new TextDecoder().decode(key).replace('\0', ' ').trim();
    const entry = complaints.hear('names', name, () => decodeName(value));
    if (entry === undefined) continue;
    const record = recordOf(environment, entry.row);
    // An operator has a name, and no record.
    const leadsHome = record === undefined ? entry.row === noRow : sameBytes(nameKey(record.name, record.sector), key);
    if (!leadsHome) {
      complaints.add('names', `${name} leads to row ${entry.row}, which has no such name`);
    }
    for (const identity of entry.identities) {
      const bytes = environment.credentials.get(identity);
      if (bytes === undefined) complaints.add('names', `${name} has a credential that is not there`);
    }
  }
}

/** Returns how many keys could be unsealed. */
function checkCredentials(
  environment: Environment,
  keyring: Keyring | undefined,
  complaints: Complaints,
  step: () => void,
): number {
  const nextCredential = readMeta(environment, 'nextCredential') ?? 1;
  const ids = new Set<number>();
  let unsealed = 0;
  for (const { key: identity, value } of environment.credentials.getRange()) {
    step();
    const shown = toHex(identity);
    const credential = complaints.hear('credentials', `credential ${shown}`, () => decodeCredential(value));
    if (credential === undefined) continue;
    const { id, sealedKey, endpoint, sector, row } = credential;
    if (ids.has(id) || id >= nextCredential) complaints.add('counters', `credential number ${id} is not unique`);
    ids.add(id);
    const name = environment.names.get(nameKey(endpoint, sector));
    const entry = name === undefined ? undefined : decodeName(name);
    if (entry?.row !== row || !entry.identities.some(known => toHex(known) === shown)) {
      complaints.add('credentials', `${endpoint} does not know of its credential ${shown}`);
    }
    if (keyring === undefined) continue;
    if (keyring.open(sealedKey, new Uint8Array(identity)) !== undefined) unsealed++;
    else complaints.add('keys', `the key of identity ${shown} was sealed under another master key, or changed`);
  }
  return unsealed;
}

/** What is kept for a registration is that of a registration, and can be read. */
function checkModel(environment: Environment, complaints: Complaints): void {
  const kinds = [
    ['observations', (key: Uint8Array, value: Uint8Array) => decodeObservation(numberOf(key), value)],
    ['commands', (key: Uint8Array, value: Uint8Array) => decodeCommand(numberOf(key) as CommandId, value)],
    ['values', (_: Uint8Array, value: Uint8Array) => decodeValue('/0/0/0' as ValuePath, value)],
  ] as const;
  for (const [kind, decode] of kinds) {
    let row: Row | undefined;
    for (const { key, value } of environment[kind].getRange()) {
      complaints.hear(kind, `one of row ${rowOf(key)}`, () => decode(key, value));
      if (rowOf(key) === row) continue;
      row = rowOf(key);
      if (recordOf(environment, row)?.registration === undefined) complaints.add(kind, `row ${row} is not registered`);
    }
  }
  // What is desired outlives registrations, but not the name.
  for (const { key, value } of environment.desired.getRange()) {
    const row = rowOf(key);
    complaints.hear('desired', `one of row ${row}`, () => decodeDesired('/0/0/0' as ValuePath, value));
    if (recordOf(environment, row) === undefined) complaints.add('desired', `row ${row} is no device`);
  }
}

function rowOfName(environment: Environment, { name, sector }: DeviceRecord): Row | undefined {
  const bytes = environment.names.get(nameKey(name, sector));
  try {
    return bytes === undefined ? undefined : decodeName(bytes).row;
  } catch {
    return undefined;
  }
}

function recordOf({ devices }: Environment, row: Row): DeviceRecord | undefined {
  const bytes = devices.get(row);
  try {
    return bytes === undefined ? undefined : decodeRecord(row, bytes);
  } catch {
    return undefined;
  }
}

const maxExamples = 3;
