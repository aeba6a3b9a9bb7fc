import t from 'tap';
import { utf8 } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import type { DeviceRecord } from '../../src/fleet/device.ts';
import type { EndpointName, Row } from '../../src/fleet/names.ts';
import { type Commit, type CommitResult, emptyCommit } from '../../src/fleet/store.ts';
import { MemoryAdmin } from '../support/memoryAdmin.ts';
import { MemoryDisk } from '../support/memoryDisk.ts';
import { MemoryStore, type StoreBehaviour } from '../support/memoryStore.ts';

/** A store whose steps are taken by hand: the group is written, then it is flushed. */
function slowStore(disk: MemoryDisk, faults: Partial<StoreBehaviour> = {}) {
  const steps: (() => void)[] = [];
  const store = new MemoryStore(disk, {
    later: (_, run) => void steps.push(run),
    writeTakes: () => 1,
    flushTakes: () => 1,
    fault: () => undefined,
    conflicts: () => false,
    ...faults,
  });
  return { store, step: () => steps.shift()!() };
}

function recordOf(row: number, version: number, name = `device-${row}`): DeviceRecord {
  const empty = { generation: 0, sector: undefined, registration: undefined, lastExchange: undefined };
  return { ...empty, row: row as Row, version, name: name as EndpointName };
}

function changeOf(record: DeviceRecord): Commit {
  const { row, name, version } = record;
  return {
    devices: [{ expected: version - 1, record }],
    events: [{ type: 'registered', at: 0 as WallTime, row, name, details: { version } }],
  };
}

t.test('nothing settles before it is durable, and what is asked for meanwhile makes the next group', async t => {
  const disk = new MemoryDisk();
  const { store, step } = slowStore(disk);
  const results: string[] = [];
  const ask = (record: DeviceRecord) =>
    store.commit(changeOf(record), result => results.push(`${record.row} ${result}`));
  ask(recordOf(1, 1));
  ask(recordOf(2, 1));
  t.equal(disk.devices.size, 0);
  const view = store.view();
  t.equal(view.device(1 as Row)?.version, 1, 'what is under way is seen');
  t.ok(view.restsOnPending);
  step();
  ask(recordOf(3, 1));
  t.equal(disk.devices.size, 2, 'written');
  t.equal(disk.devices.durable(1 as Row), undefined, 'and not durable');
  t.strictSame(results, []);
  step();
  t.strictSame(results, ['1 durable', '2 durable']);
  t.equal(disk.devices.durable(1 as Row)?.version, 1);
  step();
  step();
  t.equal(results.at(-1), '3 durable');
  t.strictSame(
    store.events(1, 10).map(({ sequence, row }) => [sequence, row]),
    [
      [1, 1],
      [2, 2],
      [3, 3],
    ],
  );
});

t.test('a crash keeps what is durable and any prefix of what was written', async t => {
  for (const survivors of [0, 1, 2]) {
    const disk = new MemoryDisk();
    const first = slowStore(disk);
    const results: CommitResult[] = [];
    first.store.commit(changeOf(recordOf(1, 1)), result => results.push(result));
    first.step();
    first.step();
    first.store.commit(changeOf(recordOf(1, 2)), result => results.push(result));
    first.step();
    // Another process writes meanwhile, and its transaction is not flushed either.
    disk.transaction(() => disk.devices.put(1 as Row, recordOf(1, 3)));
    first.store.abandon();
    disk.journal.crash(survivors);
    first.step();
    t.strictSame(results, ['durable']);
    const version = 1 + survivors;
    t.equal(disk.devices.get(1 as Row)?.version, version);
    t.equal(disk.lastSequence, Math.min(version, 2), 'the event went with its change');
    const second = slowStore(disk);
    t.equal(second.store.view().device(1 as Row)?.version, version);
    second.store.commit(changeOf(recordOf(1, version + 1)), result => results.push(result));
    second.step();
    second.step();
    t.equal(results.at(-1), 'durable');
  }
});

t.test('what was decided on a record that changed meanwhile is a conflict, and writes nothing', async t => {
  const disk = new MemoryDisk();
  const { store, step } = slowStore(disk);
  const admin = new MemoryAdmin(disk);
  const { row, id } = admin.addCredential(0 as WallTime, 'a' as EndpointName, utf8('a'), utf8('key'));
  const results: CommitResult[] = [];
  store.commit(changeOf(recordOf(row, 1, 'a')), result => results.push(result));
  store.commit(changeOf(recordOf(7, 1, 'a')), result => results.push(result));
  const session = { peer: 5, credential: id, identity: utf8('a'), secret: utf8('s'), state: utf8('') };
  const opened = { kind: 'opened', session: { ...session, writeMark: 1, readMark: 1 } };
  admin.revoke(0 as WallTime, utf8('a'));
  store.commit({ ...emptyCommit, sessions: [opened as never] }, result => results.push(result));
  step();
  step();
  t.strictSame(results, ['conflict', 'conflict', 'conflict']);
  t.equal(disk.devices.size, 1);
  t.equal(disk.sessions.size, 0);
  t.equal(store.view().device(row)?.version, 1, 'and what was laid over the record is gone');
});

t.test('a disk that refuses settles as failed, whether nothing was written or nothing flushed', async t => {
  for (const fault of ['write', 'flush'] as const) {
    const disk = new MemoryDisk();
    const { store, step } = slowStore(disk, { fault: () => fault });
    const results: CommitResult[] = [];
    store.commit(changeOf(recordOf(1, 1)), result => results.push(result));
    step();
    step();
    t.strictSame(results, ['failed']);
    t.equal(disk.devices.size, fault === 'write' ? 0 : 1);
    t.equal(disk.devices.durable(1 as Row), undefined);
    t.equal(store.view().restsOnPending, false);
  }
});
