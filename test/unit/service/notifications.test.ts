import t from 'tap';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import type { Row } from '../../../src/fleet/names.ts';
import type { Observation } from '../../../src/fleet/observation.ts';
import type { Commit } from '../../../src/fleet/store.ts';
import type { Dossiers } from '../../../src/service/dossier.ts';
import type { DownlinkOut } from '../../../src/service/downlinkOut.ts';
import { maxInTurn, Notifications } from '../../../src/service/notifications.ts';
import { rules, sampleRecord } from '../../support/records.ts';

t.test('a network that was away would have the loop do nothing else until all of its devices are taken for lost', t => {
  let now: Now = { instant: 0 as Instant, wall: 1e12 as WallTime };
  const commits: Commit[] = [];
  const observation = {
    id: 1,
    version: 1,
    paths: ['/3303/0/5700'],
    attributes: { pmax: 60 },
    state: 'active',
    since: now.wall,
  } as unknown as Observation;
  const out = {
    get now() {
      return now;
    },
    view: () => ({ device: (row: Row) => sampleRecord(row), observation: () => observation }),
    commit: (commit: Commit) => commits.push(commit),
  } as unknown as DownlinkOut;
  const notifications = new Notifications(rules, {} as Dossiers);
  for (let row = 1; row <= 1000; row++) notifications.watch(row as Row, observation, out);
  now = { instant: 300_000 as Instant, wall: (now.wall + 300_000) as WallTime };
  notifications.expire(out, () => undefined);
  t.equal(commits.length, maxInTurn);
  t.ok(notifications.nextExpiry()! <= now.instant, 'the next turn goes on at once');
  for (let turn = 1; turn < Math.ceil(1000 / maxInTurn); turn++) notifications.expire(out, () => undefined);
  t.equal(commits.length, 1000);
  t.equal(notifications.nextExpiry(), undefined);
  t.end();
});

t.test(
  'a notification that must be rejected would be acknowledged, and its observation stand as if the device went on',
  t => {
    const now: Now = { instant: 0 as Instant, wall: 1e12 as WallTime };
    const observation = { id: 1, version: 1, paths: ['/3303/0/5700'], attributes: {}, state: 'active' };
    const commits: Commit[] = [];
    const said: string[] = [];
    const out = {
      now,
      view: () => ({ device: (row: Row) => sampleRecord(row), observation: () => observation }),
      commit: (commit: Commit, settled: (result: 'durable') => void) => {
        commits.push(commit);
        settled('durable');
      },
      confirm: () => said.push('ACK'),
      reject: () => said.push('RST'),
    } as unknown as DownlinkOut;
    const notification = { observation: 0x1_0001, lasts: false, unreadable: true, response: { code: 0x45 } };
    new Notifications(rules, {} as Dossiers).take(notification as never, undefined, out);
    t.strictSame(said, ['RST']);
    t.match(commits[0]?.observations, [{ observation: { state: 'refused', reason: 'bad-response' } }]);
    t.end();
  },
);

t.test(
  'a notification that comes while a removal is on its way would end its observation, though the disk refuses',
  t => {
    let now: Now = { instant: 0 as Instant, wall: 1e12 as WallTime };
    let restsOnPending = true;
    const said: string[] = [];
    const observation = { id: 1, version: 1, paths: ['/3303/0/5700'], attributes: { pmax: 60 }, state: 'active' };
    const out = {
      get now() {
        return now;
      },
      view: () => ({ restsOnPending, device: () => ({ registration: undefined }), observation: () => observation }),
      reject: () => said.push('RST'),
      forget: () => said.push('as if it had not come'),
    } as unknown as DownlinkOut;
    const notifications = new Notifications(rules, {} as Dossiers);
    const notification = { observation: 0x1_0001, lasts: true } as never;
    notifications.watch(1 as Row, observation as never, out);
    notifications.take(notification, undefined, out);
    now = { instant: 300_000 as Instant, wall: (now.wall + 300_000) as WallTime };
    notifications.expire(out, () => undefined);
    t.equal(notifications.size, 1, 'its silence goes on to count');
    restsOnPending = false;
    notifications.take(notification, undefined, out);
    t.strictSame(said, ['as if it had not come', 'RST']);
    t.end();
  },
);
