import { Decoder, Encoder } from 'cbor-x';
import type { Database } from 'lmdb';
import { type Bytes, concatBytes } from '../base/bytes.ts';
import { Writer } from '../base/writer.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { Row } from '../fleet/names.ts';
import type { Observation, ObservationChange } from '../fleet/observation.ts';
import type { Commit } from '../fleet/store.ts';
import type { Environment } from './lmdbEnvironment.ts';
import { encodeRecord, generationOf } from './lmdbForms.ts';

/**
 * What is kept for a registration beside its record, each kind in a sub-database of its own, under keys that begin with
 * the row: so that everything of a device is one range, which goes with the registration.
 */

/** Inside a transaction: writes a record, and if it has no registration forgets what was kept for one. */
export function putRecord(environment: Environment, record: DeviceRecord): void {
  void environment.devices.put(record.row, encodeRecord(record));
  if (record.registration !== undefined) return;
  for (const database of ofDevices(environment)) {
    for (const key of Array.from(database.getKeys(rangeOf(record.row)))) void database.remove(key);
  }
}

/** Inside a transaction: whether what the changes rest on is still so. */
export function mayModel(environment: Environment, commit: Commit): boolean {
  for (const change of commit.observations ?? []) {
    if (!isCurrent(environment, commit, change)) return false;
    const present = environment.observations.get(numberKey(change.row, change.id));
    if ((present === undefined ? 0 : decodeObservation(change.id, present).version) !== change.expected) return false;
  }
  return true;
}

/** Inside a transaction, after the records. */
export function writeModel({ observations }: Environment, commit: Commit): void {
  for (const { row, id, observation } of commit.observations ?? []) {
    const key = numberKey(row, id);
    if (observation === undefined) void observations.remove(key);
    else void observations.put(key, encodeObservation(observation));
  }
}

export function readObservations({ observations }: Environment, row: Row): Observation[] {
  const found: Observation[] = [];
  for (const { key, value } of observations.getRange(rangeOf(row))) found.push(decodeObservation(numberOf(key), value));
  return found;
}

/** The registration that a change is for lives on, or comes with the same commit. */
function isCurrent({ devices }: Environment, commit: Commit, { row, generation }: ObservationChange): boolean {
  const written = commit.devices.find(({ record }) => record.row === row);
  if (written !== undefined) return written.record.generation === generation;
  return generationOf(devices.get(row)) === generation;
}

function ofDevices({ observations }: Environment): readonly Database<Bytes, Bytes>[] {
  return [observations];
}

function numberKey(row: Row, number: number): Bytes {
  return new Writer(8).u32(row).u32(number).finish();
}

function numberOf(key: Bytes): number {
  return new DataView(key.buffer, key.byteOffset).getUint32(4);
}

function rangeOf(row: Row) {
  const start = new Writer(4).u32(row).finish();
  return { start, end: concatBytes(start, beyond) };
}

function encodeObservation(o: Observation): Bytes {
  const { pmin, pmax, gt, lt, st } = o.attributes;
  return encoder.encode([
    o.version,
    o.paths,
    [pmin, pmax, gt, lt, st].map(attribute => attribute ?? null),
    sources.indexOf(o.source),
    states.indexOf(o.state),
    o.reason ?? null,
    o.peer ?? null,
    o.token ?? null,
    o.since,
  ]);
}

function decodeObservation(id: number, bytes: Bytes): Observation {
  const [version, paths, attributes, source, state, reason, peer, token, since] = decoder.decode(
    bytes,
  ) as StoredObservation;
  const [pmin, pmax, gt, lt, st] = attributes.map(attribute => attribute ?? undefined);
  return {
    id,
    version,
    paths,
    attributes: { pmin, pmax, gt, lt, st },
    source: sources[source]!,
    state: states[state]!,
    reason: reason ?? undefined,
    peer: peer ?? undefined,
    token: token === null ? undefined : new Uint8Array(token),
    since,
  };
}

type StoredObservation = [
  version: number,
  paths: string[],
  attributes: (number | null)[],
  source: number,
  state: number,
  reason: string | null,
  peer: Observation['peer'] | null,
  token: Bytes | null,
  since: Observation['since'],
];

/** Sorts behind every key of the row: numbers and paths begin with lower bytes. */
const beyond = Uint8Array.of(0xff, 0xff);
// Stored by position: append, never reorder.
const sources = ['profile', 'device', 'operator'] as const;
const states = ['wanted', 'active', 'refused'] as const;
const encoder = new Encoder({ useRecords: false, tagUint8Array: false } as object);
const decoder = new Decoder({ useRecords: false });
