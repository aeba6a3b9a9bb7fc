import t from 'tap';
import type { Peer } from '../../../src/base/peer.ts';
import { type Instant, type Now, seconds, type WallTime } from '../../../src/base/time.ts';
import type { CredentialId } from '../../../src/fleet/names.ts';
import type { Commit, CommitResult, Store } from '../../../src/fleet/store.ts';
import type { DatapathParts } from '../../../src/server/datapathParts.ts';
import { Lifetimes } from '../../../src/server/lifetimes.ts';
import { SessionKeeper } from '../../../src/server/sessionKeeper.ts';
import { Turn } from '../../../src/server/turn.ts';
import type { DownlinkOut } from '../../../src/service/downlinkOut.ts';

/** A store that does nothing until it is told what became of it. */
function slowStore() {
  let now = seconds(1000);
  const waiting: { commit: Commit; settle: (result: CommitResult) => void }[] = [];
  const store = {
    commit: (commit: Commit, settle: (result: CommitResult) => void) => void waiting.push({ commit, settle }),
    view: () => ({ device: () => undefined }),
  } as unknown as Store;
  const turn = new Turn(
    (): Now => ({ instant: now as Instant, wall: now as WallTime }),
    () => undefined,
  );
  const pass = (span: number) => {
    now += span;
    turn.begin(undefined);
  };
  return { store, turn, waiting, pass };
}

t.test('a session that ends while the end of the one before is written would wake at the next start', t => {
  const { store, turn, waiting, pass } = slowStore();
  const keeper = new SessionKeeper(store, turn);
  const credential = 5 as CredentialId;
  const endsWritten = () =>
    waiting.map(({ commit }) => commit.sessions?.map(change => ('peer' in change ? change.peer : undefined)));
  keeper.end(credential, 1 as Peer, false);
  waiting.shift()!.settle('failed');
  keeper.endAgain();
  const [first] = waiting.splice(0);
  keeper.end(credential, 2 as Peer, false);
  waiting.shift()!.settle('failed');
  first!.settle('durable');
  keeper.endAgain();
  t.strictSame(endsWritten(), [], 'the disk is left alone for a while');
  pass(seconds(30));
  keeper.endAgain();
  t.strictSame(endsWritten(), [[2]]);
  waiting.shift()!.settle('durable');
  pass(seconds(30));
  keeper.endAgain();
  t.strictSame(endsWritten(), [], 'what is written is not written again');
  t.end();
});

t.test('a disk that refuses would be asked to end lifetimes in each turn', t => {
  const { store, turn, waiting, pass } = slowStore();
  const commit: Commit = { devices: [], events: [] };
  const service = { nextExpiry: () => turn.now.wall, expire: () => commit, stored: () => undefined };
  const lifetimes = new Lifetimes({ service, store } as unknown as DatapathParts, turn, {} as DownlinkOut);
  lifetimes.expire();
  lifetimes.expire();
  t.equal(waiting.length, 1, 'one batch at a time');
  waiting.shift()!.settle('failed');
  lifetimes.expire();
  t.equal(waiting.length, 0);
  t.ok(lifetimes.nextExpiry() > turn.now.instant);
  pass(seconds(30));
  lifetimes.expire();
  t.equal(waiting.length, 1);
  waiting.shift()!.settle('conflict');
  t.equal(waiting.length, 1, 'what others changed meanwhile is looked at again at once');
  t.end();
});
