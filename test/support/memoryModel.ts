import type { Command } from '../../src/fleet/command.ts';
import type { Desired } from '../../src/fleet/desired.ts';
import type { DeviceRecord } from '../../src/fleet/device.ts';
import type { Row } from '../../src/fleet/names.ts';
import type { Observation } from '../../src/fleet/observation.ts';
import type { Commit } from '../../src/fleet/store.ts';
import type { LastValue } from '../../src/fleet/value.ts';
import type { Path } from '../../src/lwm2m/path.ts';
import type { MemoryDisk, Table } from './memoryDisk.ts';

/** What `adapters/lmdbModel` does, on a disk in memory: the mirror of its functions. */

export function putRecord(disk: MemoryDisk, record: DeviceRecord): void {
  disk.devices.put(record.row, record);
  if (record.registration !== undefined) return;
  for (const table of [disk.observations, disk.commands, disk.values] as Table<string, unknown>[]) {
    for (const [key] of ofRow(table, record.row)) table.delete(key);
  }
}

export function mayModel(disk: MemoryDisk, commit: Commit): boolean {
  const { observations = [], commands = [], values = [], desired = [] } = commit;
  const current = [...observations, ...commands, ...values].every(change => {
    const written = commit.devices.find(({ record }) => record.row === change.row)?.record;
    return (written ?? disk.devices.get(change.row))?.generation === change.generation;
  });
  const isExpected = (table: Table<string, { version: number }>, row: Row, id: number | string, expected: number) =>
    (table.get(keyOf(row, id))?.version ?? 0) === expected;
  return (
    current &&
    observations.every(({ row, id, expected }) => isExpected(disk.observations, row, id, expected)) &&
    commands.every(({ row, id, expected }) => isExpected(disk.commands, row, id, expected)) &&
    desired.every(({ row, path, expected }) => isExpected(disk.desired, row, path, expected))
  );
}

export function writeModel(disk: MemoryDisk, commit: Commit): void {
  for (const { row, id, observation } of commit.observations ?? []) put(disk.observations, keyOf(row, id), observation);
  for (const { row, id, command } of commit.commands ?? []) put(disk.commands, keyOf(row, id), command);
  for (const { row, value } of commit.values ?? []) put(disk.values, keyOf(row, value.path), value);
  for (const { row, path, desired } of commit.desired ?? []) put(disk.desired, keyOf(row, path), desired);
}

export function readObservations(disk: MemoryDisk, row: Row): Observation[] {
  return valuesOf(disk.observations, row).sort((a, b) => a.id - b.id);
}

export function readCommands(disk: MemoryDisk, row: Row): Command[] {
  return valuesOf(disk.commands, row).sort((a, b) => a.id - b.id);
}

export function readDesired(disk: MemoryDisk, row: Row): Desired[] {
  return valuesOf(disk.desired, row).sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function readValues(disk: MemoryDisk, row: Row, below: Path): LastValue[] {
  return valuesOf(disk.values, row)
    .filter(({ path }) => below === '/' || path === below || path.startsWith(`${below}/`))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function keyOf(row: Row, rest: number | string): string {
  return `${row} ${rest}`;
}

function put<Value>(table: Table<string, Value>, key: string, value: Value | undefined): void {
  if (value === undefined) table.delete(key);
  else table.put(key, value);
}

function valuesOf<Value>(table: Table<string, Value>, row: Row): Value[] {
  return ofRow(table, row).map(([, value]) => value);
}

function ofRow<Value>(table: Table<string, Value>, row: Row): [string, Value][] {
  return [...table.entries()].filter(([key]) => key.startsWith(keyOf(row, '')));
}
