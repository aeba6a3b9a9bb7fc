import type { DeviceRecord } from '../../src/fleet/device.ts';
import type { Row } from '../../src/fleet/names.ts';
import type { Observation } from '../../src/fleet/observation.ts';
import type { Commit } from '../../src/fleet/store.ts';
import type { MemoryDisk, Table } from './memoryDisk.ts';

/** What `adapters/lmdbModel` does, on a disk in memory: the mirror of its functions. */

export function putRecord(disk: MemoryDisk, record: DeviceRecord): void {
  disk.devices.put(record.row, record);
  if (record.registration !== undefined) return;
  for (const table of ofDevices(disk)) {
    for (const [key] of ofRow(table, record.row)) table.delete(key);
  }
}

export function mayModel(disk: MemoryDisk, commit: Commit): boolean {
  return (commit.observations ?? []).every(change => {
    const written = commit.devices.find(({ record }) => record.row === change.row)?.record;
    const { generation } = written ?? disk.devices.get(change.row) ?? {};
    const present = disk.observations.get(keyOf(change.row, change.id));
    return generation === change.generation && (present?.version ?? 0) === change.expected;
  });
}

export function writeModel(disk: MemoryDisk, commit: Commit): void {
  for (const { row, id, observation } of commit.observations ?? []) {
    if (observation === undefined) disk.observations.delete(keyOf(row, id));
    else disk.observations.put(keyOf(row, id), observation);
  }
}

export function readObservations(disk: MemoryDisk, row: Row): Observation[] {
  return ofRow(disk.observations, row)
    .map(([, observation]) => observation)
    .sort((a, b) => a.id - b.id);
}

function ofDevices(disk: MemoryDisk): readonly Table<string, unknown>[] {
  return [disk.observations];
}

function ofRow<Value>(table: Table<string, Value>, row: Row): [string, Value][] {
  return [...table.entries()].filter(([key]) => key.startsWith(keyOf(row, '')));
}

function keyOf(row: Row, rest: number | string): string {
  return `${row} ${rest}`;
}
