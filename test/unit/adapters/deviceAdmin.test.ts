import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  cancelCommand,
  endObservation,
  queueCommand,
  setDesired,
  unsetDesired,
  wishObservation,
} from '../../../src/adapters/deviceAdmin.ts';
import { type Environment, lastSequence, openEnvironment } from '../../../src/adapters/lmdbEnvironment.ts';
import { decodeEvent, encodeEvent, rowOfEvent } from '../../../src/adapters/lmdbForms.ts';
import {
  countValues,
  putRecord,
  readCommands,
  readDesired,
  readObservations,
  readValues,
  rowsOf,
  writeModel,
} from '../../../src/adapters/lmdbModel.ts';
import { readEventsOf } from '../../../src/adapters/lmdbView.ts';
import { parseProfile } from '../../../src/adapters/profiles.ts';
import type { WallTime } from '../../../src/base/time.ts';
import { allot, encodeAllocation } from '../../../src/fleet/allocation.ts';
import type { CommandId, Operation } from '../../../src/fleet/command.ts';
import { maxDesired, maxDesiredBytes } from '../../../src/fleet/desired.ts';
import type { EndpointName, Row } from '../../../src/fleet/names.ts';
import { maxObservations } from '../../../src/fleet/observation.ts';
import { firstVersion } from '../../../src/fleet/version.ts';
import { type Path, resourcePath, rootPath } from '../../../src/lwm2m/path.ts';
import { emptyDescription } from '../../../src/lwm2m/registrationRequest.ts';
import type { ResourceValue } from '../../../src/lwm2m/value.ts';
import { recordOf } from '../../support/storedDevice.ts';

const wall = 1_700_000_000_000 as WallTime;
const row = 5 as Row;
const read: Operation = { kind: 'read', paths: ['/3/0/0'] };

async function store(t: Tap): Promise<Environment> {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-'));
  const environment = await openEnvironment(directory, true);
  t.teardown(async () => {
    await environment.root.close();
    await rm(directory, { recursive: true, force: true });
  });
  const profile = parseProfile('{name: default, queue: {limit: 2}}', 'default');
  const allottee = { row, generation: 0, version: undefined, description: emptyDescription, observations: [] };
  const { allocation } = allot(profile, allottee, wall);
  await environment.root.transaction(() => putRecord(environment, recordOf(row, encodeAllocation(allocation), wall)));
  return environment;
}
type Tap = { teardown(end: () => Promise<void>): void };

t.test('a queue at its limit refuses by name, and has room again once a command is cancelled', async t => {
  const environment = await store(t);
  const first = await queueCommand(environment, wall, row, read, { priority: 7 });
  const second = await queueCommand(environment, wall, row, { ...read, kind: 'execute' }, { attempts: 3 });
  t.equal(first.id, 1, 'the sequence number of its event');
  t.match(second, { id: 2, attempts: 1 }, 'what must not be done twice is sent once, whatever was asked for');
  await t.rejects(queueCommand(environment, wall, row, read, {}), /queue of node-5 is full: 2 commands/);
  t.equal(lastSequence(environment), 2, 'and nothing was written');
  t.match(await cancelCommand(environment, wall, row, first.id), { state: 'cancelled' });
  t.equal(await cancelCommand(environment, wall, row, first.id), undefined, 'once');
  t.equal(await cancelCommand(environment, wall, row, 99 as CommandId), undefined);
  t.match(await queueCommand(environment, wall, row, read, {}), { id: 4 });
  await t.rejects(queueCommand(environment, wall, 6 as Row, read, {}), /not registered/);
  for (const priority of [-1, 10, 1.5, Number.NaN]) {
    await t.rejects(queueCommand(environment, wall, row, read, { priority }), /a priority is from 0 to 9/);
  }
  await t.rejects(queueCommand(environment, wall, row, read, { attempts: 1e9 }), /attempts are from 1 to 100/);
  t.match(readCommands(environment, row), [{ id: 1, priority: 7 }, { id: 2 }, { id: 4 }]);
});

t.test('observations are wished once for a path, and only so many', async t => {
  const environment = await store(t);
  const wish = (path: string, pmax?: number) =>
    wishObservation(environment, wall, row, { paths: [path], attributes: { pmax }, source: 'operator' });
  for (let i = 0; i < maxObservations; i++) await wish(`/3/0/${i}`);
  t.match(await wish('/3/0/0', 60), {
    id: 1,
    version: firstVersion(wall) + 1,
    attributes: { pmax: 60 },
    state: 'wanted',
  });
  await t.rejects(wish('/3/0/9999'), /64 observations already/);
  t.match(await endObservation(environment, wall, row, ['/3/0/1']), { id: 2 });
  t.equal(await endObservation(environment, wall, row, ['/3/0/1']), undefined);
  t.equal(readObservations(environment, row).length, maxObservations - 1);
  t.strictSame(Array.from(rowsOf(environment.observations)), [row]);
});

t.test('values of every type come back as they were, and everything goes with the registration', async t => {
  const environment = await store(t);
  const values: ResourceValue[] = [
    21.5,
    -7,
    2n ** 60n,
    true,
    'äöü',
    Uint8Array.of(0, 255),
    { unix: 1_700_000_000 },
    { object: 3303, instance: 0 },
  ];
  const receipt = {
    received: wall,
    measured: undefined,
    source: 'read' as const,
    peer: undefined,
    sequence: undefined,
  };
  const changes = values.map((value, i) => ({
    row,
    generation: 0,
    value: { path: resourcePath(9, 0, i), value, ...receipt },
  }));
  const other = { ...changes[0]!, row: 6 as Row };
  await environment.root.transaction(() =>
    writeModel(environment, { devices: [], events: [], values: [...changes, other] }),
  );
  t.strictSame(
    readValues(environment, row, rootPath).map(({ value }) => value),
    values,
  );
  t.equal(readValues(environment, row, '/9/0/1' as Path).length, 1, 'a path, and not those that begin like it');
  await queueCommand(environment, wall, row, read, {});
  await environment.root.transaction(() =>
    putRecord(environment, { ...recordOf(row, new Uint8Array(), wall), registration: undefined }),
  );
  t.equal(countValues(environment, row), 0);
  t.equal(readCommands(environment, row).length, 0);
  t.equal(countValues(environment, 6 as Row), 1, 'and nobody else loses anything');
});

t.test(
  'desired values of every type come back as they were, so many and so long at most, and stay without a registration',
  async t => {
    const environment = await store(t);
    const values: ResourceValue[] = [
      21.5,
      2n ** 60n,
      false,
      'ä',
      Uint8Array.of(1),
      { unix: 5 },
      { object: 3, instance: 0 },
    ];
    const entries = values.map((value, i) => ({ path: resourcePath(9, 0, i), value }));
    await setDesired(environment, wall, row, entries);
    t.strictSame(
      readDesired(environment, row).map(({ value }) => value),
      values,
    );
    t.match(await setDesired(environment, wall, row, [entries[0]!]), [
      { version: firstVersion(wall) + 1, state: 'pending' },
    ]);
    const many = Array.from({ length: maxDesired }, (_, i) => ({ path: resourcePath(8, 0, i), value: i }));
    const before = lastSequence(environment);
    await t.rejects(setDesired(environment, wall, row, many), /may have 64 desired values, and has 7 already/);
    const long = { path: resourcePath(9, 0, 0), value: 'x'.repeat(maxDesiredBytes + 1) };
    await t.rejects(setDesired(environment, wall, row, [long]), /up to 16384 bytes/);
    t.equal(lastSequence(environment), before, 'all of it or nothing');

    await environment.root.transaction(() =>
      putRecord(environment, { ...recordOf(row, new Uint8Array(), wall), registration: undefined }),
    );
    t.equal(readDesired(environment, row).length, 7);
    t.equal((await setDesired(environment, wall, row, [entries[1]!])).length, 1, 'it may be set meanwhile');
    t.match(await unsetDesired(environment, wall, row, [resourcePath(9, 0, 1)]), [{ path: '/9/0/1' }]);
    t.equal((await unsetDesired(environment, wall, row, undefined)).length, 6);
    t.strictSame(Array.from(rowsOf(environment.desired)), []);
  },
);

t.test('the newest events of a device are found from the end of the log', async t => {
  const environment = await store(t);
  const rows = [5, 23, 24, 255, 256, 65_535, 65_536, 4_000_000_000];
  await environment.root.transaction(() => {
    for (let i = 0; i < 400; i++) {
      const type = i % 16 < 8 ? ('value' as const) : ('updated' as const);
      const at = (wall + i) as WallTime;
      const event = { type, at, row: rows[i % 8] as Row, name: 'n' as EndpointName, details: { n: i } };
      void environment.events.put(i + 1, encodeEvent(event));
    }
  });
  for (const { key, value } of environment.events.getRange({ limit: 16 })) {
    t.equal(rowOfEvent(value), decodeEvent(key, value).row);
  }
  for (const [i, owner] of rows.entries()) {
    const newest = readEventsOf(environment, owner as Row, 3, () => true);
    t.strictSame(
      newest.map(({ sequence }) => sequence),
      [377 + i, 385 + i, 393 + i],
    );
    const updates = readEventsOf(environment, owner as Row, 2, ({ type }) => type === 'updated');
    t.strictSame(
      updates.map(({ sequence }) => sequence),
      [377 + i, 393 + i],
    );
  }
});
