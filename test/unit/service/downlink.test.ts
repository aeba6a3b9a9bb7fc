import t from 'tap';
import type { Instant, Now } from '../../../src/base/time.ts';
import type { Row } from '../../../src/fleet/names.ts';
import type { Commit } from '../../../src/fleet/store.ts';
import type { Dossiers } from '../../../src/service/dossier.ts';
import { Downlink, linesInTurn } from '../../../src/service/downlink.ts';
import type { DownlinkOut } from '../../../src/service/downlinkOut.ts';
import { rules, sampleRecord, wall } from '../../support/records.ts';

t.test('devices that fall asleep at the same moment would have the loop do nothing else until all of them do', t => {
  let now: Now = { instant: 0 as Instant, wall };
  const commits: Commit[] = [];
  const view = {
    device: (row: Row) => sampleRecord(row, { queueMode: true }),
    observations: () => [{ id: 1, state: 'wanted' }],
    commands: () => [],
    desired: () => [],
  };
  const out = {
    get now() {
      return now;
    },
    view: () => view,
    commit: (commit: Commit) => commits.push(commit),
    reach: () => undefined,
  } as unknown as DownlinkOut;
  const dossiers = { of: () => ({ allocation: { queue: { awake: 90 } } }) } as unknown as Dossiers;
  const downlink = new Downlink(rules, dossiers, () => undefined);
  for (let row = 1; row <= 1000; row++) downlink.restore(row as Row, out);
  now = { instant: 100_000 as Instant, wall: (wall + 100_000) as typeof wall };
  downlink.expire(out);
  t.equal(commits.length, linesInTurn);
  t.ok(downlink.nextExpiry()! <= now.instant, 'the next turn goes on at once');
  for (let turn = 1; turn < Math.ceil(1000 / linesInTurn); turn++) downlink.expire(out);
  t.equal(commits.length, 1000, 'each of them is told to be asleep');
  t.end();
});
