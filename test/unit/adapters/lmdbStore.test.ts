import t, { type Test } from 'tap';
import { openDataDirectory } from '../../../src/adapters/dataDirectory.ts';
import { Administration } from '../../../src/adapters/lmdbAdmin.ts';
import { LmdbStore } from '../../../src/adapters/lmdbStore.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import { type Milliseconds, seconds, type WallTime } from '../../../src/base/time.ts';
import type { EndpointName } from '../../../src/fleet/names.ts';
import type { SessionRow } from '../../../src/fleet/session.ts';
import { type Commit, type CommitResult, emptyCommit } from '../../../src/fleet/store.ts';
import { sampleRecord, wall } from '../../support/records.ts';

const at = (span: Milliseconds) => (wall + span) as WallTime;

t.test('a server would take its own events for those of others, or those of others for its own', async t => {
  const { store, add, commit } = await opened(t);
  const foreign = () => store.foreignEvents().map(({ type, name }) => `${type} ${name}`);
  t.strictSame(foreign(), []);
  await commit(registering(900));
  t.strictSame(foreign(), [], 'its own');
  await commit(registering(901));
  await add('node-1');
  await commit(registering(902));
  await add('node-2');
  t.strictSame(foreign(), ['credential-added node-1', 'credential-added node-2'], 'between and after its own');
  t.strictSame(foreign(), [], 'once');
  await add('node-3');
  const settled = commit(registering(903));
  await new Promise(resolve => setImmediate(resolve));
  t.strictSame(foreign(), [], 'nor while nobody knows which numbers its own will have');
  await settled;
  t.strictSame(foreign(), ['credential-added node-3']);
});

t.test('after a start an association would have the number, and the keys in the store, of an earlier one', async t => {
  const { store } = await opened(t);
  const first = await store.started(at(0));
  const again = await store.started(at(1));
  t.ok(again.firstPeer >= first.firstPeer + 1_000_000, 'whatever was opened before it could say so');
  await store.alive(at(2), again.firstPeer + 50);
  const last = await store.started(at(3));
  t.ok(last.firstPeer >= again.firstPeer + 50 + 1_000_000);
});

t.test('an outage would count for one start only', async t => {
  const { store } = await opened(t);
  t.strictSame((await store.started(at(0))).outages, [], 'the first start of all');
  await store.alive(at(seconds(30)), 1);
  const outage = { from: at(seconds(30)), to: at(seconds(100)) };
  t.strictSame((await store.started(at(seconds(100)))).outages, [outage]);
  t.match((await store.started(at(seconds(100)))).outages, [outage], 'nor is it forgotten with the next one');
});

t.test('sessions that nobody may resume any more would fill the disk', async t => {
  const { store, add, commit } = await opened(t);
  const until = at(seconds(60));
  for (const [n, end] of [
    [1, true],
    [2, false],
  ] as const) {
    const credential = await add(`node-${n}`);
    const session: SessionRow = {
      peer: n as Peer,
      credential,
      identity: utf8(`node-${n}`),
      secret: utf8('secret'),
      state: utf8('here'),
      writeMark: 1,
      readMark: 0,
      resumable: { origin: n as Peer, until },
    };
    await commit({ ...emptyCommit, sessions: [{ kind: 'opened', session }] });
    const ended = { kind: 'ended', credential, peer: n as Peer, forget: false } as const;
    if (end) await commit({ ...emptyCommit, sessions: [ended] });
  }
  await store.started(at(seconds(59)));
  t.equal(store.sessionCount(), 2);
  await store.started(until);
  t.equal(store.sessionCount(), 1, 'the one that did not end goes on');
  t.equal(store.view().resumable(1 as Peer), undefined);
  t.match(store.view().resumable(2 as Peer), { peer: 2 });
});

async function opened(t: Test) {
  const { environment, keyring } = await openDataDirectory(t.testdir(), true);
  const store = await LmdbStore.open(environment, keyring, error => {
    throw error;
  });
  t.teardown(() => store.close());
  const administration = new Administration(environment, keyring);
  const add = async (name: string) => {
    const identity = utf8(name);
    await administration.add(wall, [{ endpoint: name as EndpointName, sector: undefined, identity, key: identity }]);
    return administration.credential(identity)!.id;
  };
  const commit = (change: Commit) => new Promise<CommitResult>(resolve => store.commit(change, resolve));
  return { store, add, commit };
}

/** One with an event. */
function registering(row: number): Commit {
  const record = sampleRecord(row);
  const events = [{ type: 'registered', at: wall, row: record.row, name: record.name }] as const;
  return { devices: [{ expected: 0, record }], events: [...events] };
}
