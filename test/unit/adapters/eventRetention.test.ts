import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { EventSweep } from '../../../src/adapters/eventRetention.ts';
import { openEnvironment, writeMeta } from '../../../src/adapters/lmdbEnvironment.ts';
import { encodeEvent } from '../../../src/adapters/lmdbForms.ts';
import { putRecord } from '../../../src/adapters/lmdbModel.ts';
import { parseProfile } from '../../../src/adapters/profiles.ts';
import type { WallTime } from '../../../src/base/time.ts';
import { allot, encodeAllocation } from '../../../src/fleet/allocation.ts';
import type { EndpointName, Row } from '../../../src/fleet/names.ts';
import { emptyDescription } from '../../../src/lwm2m/registrationRequest.ts';
import { recordOf } from '../../support/storedDevice.ts';

const wall = 2_000_000_000 as WallTime;

t.test('a chatty device loses its oldest events, and nobody else any', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-'));
  const environment = await openEnvironment(directory, true);
  t.teardown(async () => {
    await environment.root.close();
    await rm(directory, { recursive: true, force: true });
  });
  const profile = parseProfile('{name: default, events: {count: 5, age: 3600}}', 'default');
  const events = Array.from({ length: 300 }, (_, i) => ({
    type: 'value' as const,
    at: (wall - (300 - i) * 1000) as WallTime,
    row: (i % 3 === 0 ? 2 : 1) as Row,
    name: 'node' as EndpointName,
  }));
  await environment.root.transaction(() => {
    for (const row of [1, 2] as Row[]) {
      const allottee = { row, generation: 0, version: undefined, description: emptyDescription, observations: [] };
      const { allocation } = allot(row === 1 ? profile : { ...profile, file: { name: 'default' } }, allottee, wall);
      putRecord(environment, recordOf(row, encodeAllocation(allocation), wall));
    }
    for (const [i, event] of events.entries()) void environment.events.put(i + 1, encodeEvent(event));
    void writeMeta(environment, 'nextRow', 3);
  });

  const sweep = new EventSweep(environment);
  let removed = 0;
  for (let step = await sweep.step(wall, 50); step !== undefined; step = await sweep.step(wall, 50)) removed += step;
  const kept = Array.from(environment.events.getKeys());
  const ofRow = (row: number) => kept.filter(sequence => events[sequence - 1]!.row === row);
  // The newest event of all is kept without being counted.
  t.equal(ofRow(1).length, 6);
  t.equal(Math.min(...ofRow(1)), 293, 'the newest are kept');
  t.equal(ofRow(2).length, 100, 'by default there is room for 1000');
  t.equal(removed, 300 - kept.length);
  t.equal(kept.at(-1), 300);

  const later = new EventSweep(environment);
  while ((await later.step((wall + 40 * 86_400_000) as WallTime, 50)) !== undefined);
  t.strictSame(
    Array.from(environment.events.getKeys()),
    [300],
    'in time all go, but the one that says which number is next',
  );
});
