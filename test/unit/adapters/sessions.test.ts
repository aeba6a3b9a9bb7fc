import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openDataDirectory } from '../../../src/adapters/dataDirectory.ts';
import { Administration } from '../../../src/adapters/lmdbAdmin.ts';
import { LmdbStore } from '../../../src/adapters/lmdbStore.ts';
import { type Bytes, toHex, utf8 } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import type { WallTime } from '../../../src/base/time.ts';
import type { CredentialId, EndpointName } from '../../../src/fleet/names.ts';
import type { SessionChange, SessionRow } from '../../../src/fleet/session.ts';
import { type CommitResult, emptyCommit } from '../../../src/fleet/store.ts';
import { keptSessions } from '../../support/keptSessions.ts';

const now = 1e12 as WallTime;
const secret = utf8('the keys of a session, thirty-two bytes and more');
const identity = utf8('device-1');

async function world(t: { teardown(end: () => Promise<void>): void }) {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-'));
  const { environment, keyring } = await openDataDirectory(directory, true);
  const administration = new Administration(environment, keyring);
  const endpoint = 'device-1' as EndpointName;
  await administration.add(now, [{ endpoint, sector: undefined, identity, key: utf8('0123456789abcdef') }]);
  const store = await LmdbStore.open(environment, keyring, error => {
    throw error;
  });
  t.teardown(async () => {
    await store.close();
    await rm(directory, { recursive: true, force: true });
  });
  const { id } = administration.credential(identity)!;
  const change = (session: SessionChange): Promise<CommitResult> =>
    new Promise(resolve => store.commit({ ...emptyCommit, sessions: [session] }, resolve));
  const open = (peer: number, writeMark = 1000): Promise<CommitResult> =>
    change({ kind: 'opened', session: row(peer, id, writeMark) });
  const raw = (): Bytes => environment.sessions.get(id)!;
  const kept = (): SessionRow | undefined => keptSessions(store)[0];
  return { environment, administration, store, endpoint, id, change, open, raw, kept };
}

function row(peer: number, credential: CredentialId, writeMark = 1000): SessionRow {
  return {
    peer: peer as Peer,
    credential,
    identity,
    secret,
    state: utf8('where it is'),
    writeMark,
    readMark: 0,
    resumable: undefined,
  };
}

t.test('a mark that is raised would seal the keys anew, under nonce after nonce', async t => {
  const { open, change, raw, id, kept } = await world(t);
  t.equal(await open(7), 'durable');
  const before = raw().slice();
  for (let mark = 2000; mark <= 50_000; mark += 1000) {
    await change({ kind: 'reserved', credential: id, peer: 7 as Peer, writeMark: mark });
  }
  const changed = [...raw()].flatMap((byte, at) => (byte === before[at] ? [] : [at]));
  t.ok(changed.length > 0 && changed.every(at => at >= 7 && at < 13), 'only the mark in clear has changed');
  t.equal(kept()?.writeMark, 50_000);
  t.notMatch(toHex(raw()), toHex(secret), 'and the keys never stand there as they are');
  await change({ kind: 'reserved', credential: id, peer: 7 as Peer, writeMark: 3000 });
  t.equal(kept()?.writeMark, 50_000, 'a mark does not go back');
});

t.test('sealed keys that are moved to another session would open there', async t => {
  const { open, environment, raw, id, store, kept } = await world(t);
  await open(7);
  t.ok(kept());
  const moved = raw().slice();
  // The number of the association, which is not sealed.
  moved[6]! ^= 1;
  await environment.sessions.put(id, moved);
  environment.root.resetReadTxn();
  t.equal(kept(), undefined);
  t.strictSame(keptSessions(store), []);
});

t.test('a session of a credential that was revoked meanwhile would be stored after all', async t => {
  const { open, administration, endpoint, store, kept } = await world(t);
  await open(7);
  await administration.revoke(now, endpoint, undefined, undefined);
  t.equal(kept(), undefined, 'the one that was there is gone at once');
  t.equal(await open(8), 'conflict');
  t.strictSame(keptSessions(store), []);
});

t.test('the end of an old session would end the one that replaced it', async t => {
  const { open, change, store, id, kept } = await world(t);
  await open(7);
  await open(8);
  t.equal(keptSessions(store).length, 1, 'replaced in the same transaction');
  await change({ kind: 'ended', credential: id, peer: 7 as Peer, forget: false });
  await change({ kind: 'reserved', credential: id, peer: 7 as Peer, writeMark: 9_000_000 });
  t.strictSame([kept()?.peer, kept()?.writeMark], [8, 1000]);
  await change({ kind: 'ended', credential: id, peer: 8 as Peer, forget: false });
  t.equal(kept(), undefined, 'its own end does, and lasts');
});
