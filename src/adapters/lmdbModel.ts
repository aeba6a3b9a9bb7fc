import type { Database } from 'lmdb';
import { type Bytes, concatBytes, textOf, utf8 } from '../base/bytes.ts';
import { Reader } from '../base/reader.ts';
import { Writer } from '../base/writer.ts';
import type { Command, CommandId } from '../fleet/command.ts';
import type { Desired } from '../fleet/desired.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { Row } from '../fleet/names.ts';
import type { Observation } from '../fleet/observation.ts';
import type { Commit } from '../fleet/store.ts';
import type { LastValue } from '../fleet/value.ts';
import type { Path, ValuePath } from '../lwm2m/path.ts';
import type { Environment } from './lmdbEnvironment.ts';
import { encodeRecord, generationOf } from './lmdbForms.ts';
import {
  decodeCommand,
  decodeDesired,
  decodeObservation,
  decodeValue,
  encodeCommand,
  encodeDesired,
  encodeObservation,
  encodeValue,
} from './lmdbModelForms.ts';

/**
 * What is kept for a registration beside its record, each kind in a sub-database of its own, under keys that begin with
 * the row: so that everything of a device is one range, which goes with the registration. Desired values stay: they belong
 * to the name.
 */

/** Inside a transaction: writes a record, and if it has no registration forgets what was kept for one. */
export function putRecord(environment: Environment, record: DeviceRecord): void {
  void environment.devices.put(record.row, encodeRecord(record));
  if (record.registration !== undefined) return;
  const { observations, commands, values } = environment;
  for (const database of [observations, commands, values]) forgetRow(database, record.row);
}

/** Inside a transaction. */
export function forgetRow(database: Database<Bytes, Bytes>, row: Row): void {
  for (const key of Array.from(database.getKeys(rangeOf(row)))) void database.remove(key);
}

/** Inside a transaction: whether what the changes rest on is still so. */
export function mayModel(environment: Environment, commit: Commit): boolean {
  const { observations = [], commands = [], values = [], desired = [] } = commit;
  for (const change of [...observations, ...commands, ...values]) {
    if (!isCurrent(environment, commit, change)) return false;
  }
  for (const { row, id, expected } of observations) {
    const present = environment.observations.get(numberKey(row, id));
    if ((present === undefined ? 0 : decodeObservation(id, present).version) !== expected) return false;
  }
  for (const { row, id, expected } of commands) {
    const present = environment.commands.get(numberKey(row, id));
    if ((present === undefined ? 0 : decodeCommand(id, present).version) !== expected) return false;
  }
  for (const { row, path, expected } of desired) {
    const present = environment.desired.get(pathKey(row, path));
    if ((present === undefined ? 0 : decodeDesired(path, present).version) !== expected) return false;
  }
  return true;
}

/** Inside a transaction, after the records. */
export function writeModel(environment: Environment, commit: Commit): void {
  for (const { row, id, observation } of commit.observations ?? []) {
    put(environment.observations, numberKey(row, id), observation && encodeObservation(observation));
  }
  for (const { row, id, command } of commit.commands ?? []) {
    put(environment.commands, numberKey(row, id), command && encodeCommand(command));
  }
  for (const { row, value } of commit.values ?? []) {
    put(environment.values, pathKey(row, value.path), encodeValue(value));
  }
  for (const { row, path, desired } of commit.desired ?? []) {
    put(environment.desired, pathKey(row, path), desired && encodeDesired(desired));
  }
}

export function readObservations({ observations }: Environment, row: Row): Observation[] {
  return read(observations, row, (key, value) => decodeObservation(numberOf(key), value));
}

export function readObservation({ observations }: Environment, row: Row, id: number): Observation | undefined {
  const bytes = observations.get(numberKey(row, id));
  return bytes === undefined ? undefined : decodeObservation(id, bytes);
}

export function readCommands({ commands }: Environment, row: Row): Command[] {
  return read(commands, row, (key, value) => decodeCommand(numberOf(key) as CommandId, value));
}

export function readValue({ values }: Environment, row: Row, path: ValuePath): LastValue | undefined {
  const bytes = values.get(pathKey(row, path));
  return bytes === undefined ? undefined : decodeValue(path, bytes);
}

/** Of everything at or below a path, in the order of the texts of the paths. */
export function readValues({ values }: Environment, row: Row, below: Path): LastValue[] {
  const all = read(values, row, (key, value) => decodeValue(pathOfKey(key), value));
  return below === '/' ? all : all.filter(({ path }) => path === below || path.startsWith(`${below}/`));
}

export function readDesired({ desired }: Environment, row: Row): Desired[] {
  return read(desired, row, (key, value) => decodeDesired(pathOfKey(key), value));
}

export function countValues({ values }: Environment, row: Row): number {
  return values.getKeysCount(rangeOf(row));
}

/** The rows that have something in a sub-database, each once, in order; for the start. */
export function* rowsOf(database: Database<Bytes, Bytes>): Iterable<Row> {
  for (let from = 0; ; ) {
    const [key] = Array.from(database.getKeys({ start: new Writer(4).u32(from).finish(), limit: 1 }));
    if (key === undefined) return;
    const row = rowOf(key);
    yield row;
    from = row + 1;
  }
}

/** The registration that a change is for lives on, or comes with the same commit. */
function isCurrent({ devices }: Environment, commit: Commit, change: { row: Row; generation: number }): boolean {
  const written = commit.devices.find(({ record }) => record.row === change.row);
  if (written !== undefined) return written.record.generation === change.generation;
  return generationOf(devices.get(change.row)) === change.generation;
}

function put(database: Database<Bytes, Bytes>, key: Bytes, value: Bytes | undefined): void {
  if (value === undefined) void database.remove(key);
  else void database.put(key, value);
}

function read<T>(database: Database<Bytes, Bytes>, row: Row, decode: (key: Bytes, value: Bytes) => T): T[] {
  const found: T[] = [];
  for (const { key, value } of database.getRange(rangeOf(row))) found.push(decode(key, value));
  return found;
}

function numberKey(row: Row, number: number): Bytes {
  return new Writer(10).u32(row).u48(number).finish();
}

export function rowOf(key: Bytes): Row {
  return new Reader(key).u32() as Row;
}

export function numberOf(key: Bytes): number {
  return new Reader(key, 4).u48();
}

function pathKey(row: Row, path: ValuePath): Bytes {
  return concatBytes(new Writer(4).u32(row).finish(), utf8(path));
}

function pathOfKey(key: Bytes): ValuePath {
  return textOf(key.subarray(4)) as ValuePath;
}

function rangeOf(row: Row) {
  const start = new Writer(4).u32(row).finish();
  return { start, end: concatBytes(start, beyond) };
}

/** Sorts behind every key of the row: numbers and paths begin with lower bytes. */
const beyond = Uint8Array.of(0xff, 0xff);
