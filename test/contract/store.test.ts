import t, { type Test } from 'tap';
import { utf8 } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import type { WallTime } from '../../src/base/time.ts';
import { type CommandId, newCommand } from '../../src/fleet/command.ts';
import { noRow } from '../../src/fleet/credential.ts';
import { type Desired, delivered, desire } from '../../src/fleet/desired.ts';
import type { EndpointName, Row } from '../../src/fleet/names.ts';
import { type ObservationChange, wanted } from '../../src/fleet/observation.ts';
import type { SessionChange, SessionRow } from '../../src/fleet/session.ts';
import { type Commit, type CommitResult, emptyCommit, type Store } from '../../src/fleet/store.ts';
import type { LastValue } from '../../src/fleet/value.ts';
import { type Path, resourcePath, rootPath, type ValuePath } from '../../src/lwm2m/path.ts';
import { keptSessions } from '../support/keptSessions.ts';
import { wall } from '../support/records.ts';
import { changeOf, lmdbSubject, memorySubject, recordOf, type StoreSubject } from '../support/storeSubjects.ts';

const identity = utf8('node-1');

for (const [name, make] of [
  ['LMDB', lmdbSubject],
  ['memory', memorySubject],
] as const) {
  const check = (what: string, run: (t: Test, subject: StoreSubject) => Promise<void>) =>
    t.test(`${name}: ${what}`, async t => {
      const subject = await make();
      t.teardown(() => subject.end());
      await run(t, subject);
    });

  check('what was asked for is seen at once, and marked as not durable until it is', async (t, { store }) => {
    const row = store.allocateRow()!;
    const settled = commit(store, changeOf(recordOf(row, 1)));
    const before = store.view();
    t.equal(before.device(row)?.version, 1);
    t.ok(before.restsOnPending, 'a reply that rests on it must wait');
    t.equal(before.row(`device-${row}` as EndpointName, undefined), row);
    t.equal(await settled, 'durable');
    const after = store.view();
    t.equal(after.device(row)?.version, 1);
    t.equal(after.row(`device-${row}` as EndpointName, undefined), row);
    t.notOk(after.restsOnPending);
    t.notOk(store.view().restsOnPending, 'a view that read nothing rests on nothing');
  });

  check('never settles in the turn that asked', async (t, { store }) => {
    let settled = false;
    store.commit(emptyCommit, () => {
      settled = true;
    });
    t.notOk(settled);
    await commit(store, emptyCommit);
    t.ok(settled);
  });

  check(
    'a desired value outlives registrations, and one that was set anew meanwhile is a conflict',
    async (t, subject) => {
      const { store } = subject;
      const { row } = await subject.addCredential('node-1', identity);
      const path = resourcePath(3308, 0, 5900);
      const first = desire(path, 20, undefined, wall);
      const change = (desired: Desired | undefined, expected: number) => ({
        ...emptyCommit,
        desired: [{ row, path, expected, desired }],
      });
      t.equal(await commit(store, change(first, 0)), 'durable');
      const again = desire(path, 25, first, wall);
      t.equal(await commit(store, change(again, first.version)), 'durable');
      const answer = delivered(first, recordOf(row, 1).registration!, wall);
      t.equal(await commit(store, change(answer, first.version)), 'conflict', 'the answer to the Write of 20');
      t.strictSame(store.view().desired(row), [again]);
      const taken = delivered(again, recordOf(row, 1).registration!, wall);
      t.equal(await commit(store, change(taken, again.version)), 'durable');
      t.ok([...store.rowsWithWork()].includes(row), 'found at the start');
      const reopened = await subject.reopen();
      t.strictSame(reopened.view().desired(row), [taken]);
      t.equal(await commit(reopened, change(undefined, taken.version)), 'durable');
      t.strictSame(reopened.view().desired(row), []);
    },
  );

  check('what is kept for a registration would outlive it, or be written over unseen', async (t, subject) => {
    const { store } = subject;
    const { row } = await subject.addCredential('node-1', identity);
    const registered = (version: number, generation: number) => ({
      ...changeOf({ ...recordOf(row, version, 'node-1'), generation }),
      events: [],
    });
    const kinds: Readonly<Record<string, (generation: number, expected: number) => Partial<Commit>>> = {
      observation: (generation, expected) => ({
        observations: [{ row, generation, id: 1, expected, observation: observationOf(expected + 1) }],
      }),
      command: (generation, expected) => ({
        commands: [
          { row, generation, id: commandId, expected, command: { ...reboot(commandId), version: expected + 1 } },
        ],
      }),
      value: generation => ({ values: [{ row, generation, value: readingOf(temperature) }] }),
    };
    const kept = () => {
      const view = store.view();
      return [view.observations(row), view.commands(row), view.values(row, rootPath)].map(({ length }) => length);
    };
    const change = (what: string, generation: number, expected: number, before: Commit = emptyCommit) =>
      commit(store, { ...before, ...kinds[what]!(generation, expected) });
    await commit(store, registered(2, 0));
    for (const what in kinds) {
      t.equal(await change(what, 1, 0), 'conflict', `${what} of another registration`);
      t.equal(await change(what, 0, 0), 'durable', what);
      if (what === 'value') continue;
      t.equal(await change(what, 0, 0), 'conflict', `${what} that is there already`);
      t.equal(await change(what, 0, 1), 'durable');
    }
    t.strictSame(kept(), [1, 1, 1]);
    await subject.forget('node-1');
    await commit(store, emptyCommit);
    t.strictSame(kept(), [0, 0, 0], 'all goes with the registration');
    let { version } = store.view().device(row)!;
    for (const what in kinds) {
      t.equal(await change(what, 0, 0), 'conflict', `${what} of what is over`);
      t.equal(await change(what, 0, 0, registered(version + 1, 1)), 'conflict', 'with one of before');
      t.equal(await change(what, 1, 0, registered(++version, 1)), 'durable', 'with the registration it is for');
    }
    t.strictSame(kept(), [1, 1, 1]);
    const first = { ...changeOf(recordOf(900, 1)), observations: [] as ObservationChange[] };
    first.observations.push({ row: 900 as Row, generation: 0, id: 1, expected: 0, observation: observationOf(1) });
    t.equal(await commit(store, first), 'durable', 'nobody knew the device before');
  });

  check('at the start a device would be forgotten of which only one thing is wanted', async (t, { store }) => {
    const [generation, expected] = [0, 0];
    for (let row = 1; row <= 5; row++) await commit(store, changeOf(recordOf(row, 1)));
    const desired = desire(temperature, 20, undefined, wall);
    const work: readonly Partial<Commit>[] = [
      { observations: [{ row: 1 as Row, generation, id: 1, expected, observation: observationOf(1) }] },
      { commands: [{ row: 2 as Row, generation, id: commandId, expected, command: reboot(commandId) }] },
      { desired: [3, 4].map(row => ({ row: row as Row, path: temperature, expected, desired })) },
    ];
    for (const one of work) t.equal(await commit(store, { ...emptyCommit, ...one }), 'durable');
    t.strictSame(new Set(store.rowsWithWork()), new Set([1, 2, 3, 4]));
  });

  check('values are found by what they stand under, and not by how it is spelled', async (t, { store }) => {
    const row = 1 as Row;
    await commit(store, changeOf(recordOf(row, 1)));
    const paths = [
      [3, 0, 1],
      [3, 0, 10],
      [3, 1, 1],
      [33, 0, 1],
    ].map(([object, instance, resource]) => resourcePath(object!, instance!, resource!));
    await commit(store, {
      ...emptyCommit,
      values: paths.map(path => ({ row, generation: 0, value: readingOf(path) })),
    });
    const below = (path: string) =>
      store
        .view()
        .values(row, path as Path)
        .map(value => value.path);
    t.strictSame(below('/'), paths);
    t.strictSame(below('/3'), paths.slice(0, 3));
    t.strictSame(below('/3/0'), paths.slice(0, 2));
    t.strictSame(below('/3/0/1'), paths.slice(0, 1));
  });

  check('an operator has no row, and its name is taken', async (t, subject) => {
    await subject.addOperator('dashboard', utf8('dashboard'));
    const view = subject.store.view();
    t.match(view.credential(utf8('dashboard')), { role: 'operator', row: noRow });
    t.equal(view.row('dashboard' as EndpointName, undefined), undefined);
    t.ok(view.nameHasCredential('dashboard' as EndpointName, undefined));
  });

  check('commits settle in the order in which they were asked for, whatever becomes of them', async (t, { store }) => {
    const order: string[] = [];
    const ask = (label: string, wanted: Commit) =>
      new Promise<void>(resolve =>
        store.commit(wanted, result => {
          order.push(`${label} ${result}`);
          resolve();
        }),
      );
    const all = [
      ask('a', changeOf(recordOf(1, 1))),
      ask('b', changeOf(recordOf(1, 5))),
      ask('c', emptyCommit),
      ask('d', changeOf(recordOf(2, 1))),
    ];
    await all[0];
    all.push(ask('e', emptyCommit), ask('f', changeOf(recordOf(1, 2))));
    await Promise.all(all);
    t.same(order, ['a durable', 'b conflict', 'c durable', 'd durable', 'e durable', 'f durable']);
  });

  check('a version that is not the stored one is a conflict, and nothing of it is written', async (t, { store }) => {
    await commit(store, changeOf(recordOf(1, 1)));
    const mixed = {
      devices: [...changeOf(recordOf(2, 1)).devices, ...changeOf(recordOf(1, 3)).devices],
      events: [...changeOf(recordOf(2, 1)).events, ...changeOf(recordOf(1, 3)).events],
    };
    t.equal(await commit(store, mixed), 'conflict');
    t.equal(store.view().device(2 as Row), undefined);
    t.equal(store.view().row('device-2' as EndpointName, undefined), undefined, 'the name is free again');
    t.equal(store.view().device(1 as Row)?.version, 1);
    t.equal(store.events(1, 10).length, 1, 'no event of it either');
    t.equal(await commit(store, changeOf(recordOf(2, 1))), 'durable');
  });

  check('a name belongs to whoever claimed it first', async (t, { store }) => {
    const [first, second] = await Promise.all([
      commit(store, changeOf(recordOf(1, 1, 'same'))),
      commit(store, changeOf(recordOf(2, 1, 'same'))),
    ]);
    t.same([first, second], ['durable', 'conflict']);
    t.equal(store.view().row('same' as EndpointName, undefined), 1);
    t.equal(store.view().device(2 as Row), undefined);
  });

  check('a decision on what turned out not to be so is not written, even if its version fits', async (t, subject) => {
    const { store } = subject;
    await subject.addCredential('node-1', identity);
    const row = store.view().row('node-1' as EndpointName, undefined)!;
    const version = store.view().device(row)!.version;
    await commit(store, changeOf(recordOf(row, version + 1, 'node-1')));
    // Two changes, the second decided on the first; and before they are written somebody else makes one.
    await subject.forget('node-1');
    const [first, second] = await Promise.all([
      commit(store, changeOf(recordOf(row, version + 2, 'node-1'))),
      commit(store, changeOf(recordOf(row, version + 3, 'node-1'))),
    ]);
    t.same([first, second], ['conflict', 'conflict'], 'what was forgotten stays forgotten');
    t.equal(store.view().device(row)?.registration, undefined);
    t.equal(store.view().device(row)?.version, version + 2);
  });

  check('changes on top of each other are all written', async (t, { store }) => {
    const results = await Promise.all([1, 2, 3, 4].map(version => commit(store, changeOf(recordOf(1, version)))));
    t.same(results, Array(4).fill('durable'));
    t.equal(store.view().device(1 as Row)?.version, 4);
    t.notOk(store.view().restsOnPending);
  });

  check('events have numbers without gaps, in the order of the changes', async (t, subject) => {
    const { store } = subject;
    await Promise.all([1, 2, 3].map(row => commit(store, changeOf(recordOf(row, 1)))));
    await commit(store, changeOf(recordOf(1, 7)));
    await subject.addCredential('node-1', identity);
    await Promise.all([1, 2].map(row => commit(store, changeOf(recordOf(row, 2)))));
    await subject.revoke('node-1', identity);
    const events = store.events(1, 100);
    t.same(
      events.map(({ sequence }) => sequence),
      [1, 2, 3, 4, 5, 6, 7],
    );
    t.same(
      events.map(({ type }) => type),
      [...Array(3).fill('registered'), 'credential-added', 'registered', 'registered', 'credential-revoked'],
    );
    t.same(
      store.events(3, 2).map(({ sequence }) => sequence),
      [3, 4],
      'a page from any number on',
    );
  });

  check('records come in pages, in the order of their rows', async (t, { store }) => {
    const rows = [5, 1, 9, 3];
    await Promise.all(rows.map(row => commit(store, changeOf(recordOf(row, 1)))));
    const page = (from: number, limit: number) => store.devices(from as Row, limit).map(({ row }) => Number(row));
    t.same(page(1, 10), [1, 3, 5, 9]);
    t.same(page(2, 2), [3, 5]);
    t.same(page(10, 2), []);
  });

  check('a row is handed out once', async (t, { store }) => {
    const rows = new Set<Row>();
    while (rows.size < 10_000) {
      const row = store.allocateRow();
      // More of them are being reserved.
      if (row === undefined) await commit(store, emptyCommit);
      else {
        if (rows.has(row)) t.fail(`row ${row} comes twice`);
        rows.add(row);
      }
    }
    t.equal(rows.size, 10_000);
  });

  check('a credential takes its name, also when it is revoked', async (t, subject) => {
    const { store } = subject;
    const { id, row } = await subject.addCredential('node-1', identity);
    // Others' changes show in the next snapshot.
    await commit(store, emptyCommit);
    t.match(store.view().credential(identity), { id, row, endpoint: 'node-1', revokedAt: undefined });
    t.ok(store.view().nameHasCredential('node-1' as EndpointName, undefined));
    t.notOk(store.view().nameHasCredential('node-2' as EndpointName, undefined));
    t.match(store.view().device(row), { row, generation: 0, registration: undefined });
    t.equal(store.view().credential(utf8('nobody')), undefined);
    t.equal(store.view().credential(new Uint8Array(0)), undefined);
    t.equal(store.view().credential(new Uint8Array(5000)), undefined, 'nobody has such a long identity');
    await subject.revoke('node-1', identity);
    await commit(store, emptyCommit);
    t.ok(store.view().credential(identity)?.revokedAt);
    t.ok(store.view().nameHasCredential('node-1' as EndpointName, undefined), 'and it stays taken');
  });

  check('a credential has one session, whose marks only rise', async (t, subject) => {
    const { store } = subject;
    const { id } = await subject.addCredential('node-1', identity);
    const change = (...sessions: SessionChange[]) => commit(store, { ...emptyCommit, sessions });
    const session = (peer: number) => ({
      peer: peer as Peer,
      credential: id,
      identity,
      secret: utf8('secret'),
      state: utf8('here'),
      writeMark: 1000,
      readMark: 1,
      resumable: undefined,
    });
    t.equal(await change({ kind: 'opened', session: session(1) }), 'durable');
    t.equal(await change({ kind: 'opened', session: session(2) }), 'durable');
    await change(
      { kind: 'reserved', credential: id, peer: 2 as Peer, writeMark: 3000 },
      { kind: 'reserved', credential: id, peer: 2 as Peer, writeMark: 2000 },
      { kind: 'state', credential: id, peer: 2 as Peer, state: utf8('there'), readMark: 9 },
      { kind: 'state', credential: id, peer: 2 as Peer, state: utf8('there'), readMark: 5 },
      { kind: 'read', credential: id, peer: 2 as Peer, readMark: 12 },
      { kind: 'read', credential: id, peer: 2 as Peer, readMark: 11 },
    );
    await change(
      { kind: 'read', credential: id, peer: 1 as Peer, readMark: 99 },
      { kind: 'reserved', credential: id, peer: 1 as Peer, writeMark: 9000 },
      { kind: 'ended', credential: id, peer: 1 as Peer, forget: false },
    );
    const [kept, ...others] = keptSessions(store);
    t.same(others, []);
    t.match(kept, { peer: 2, writeMark: 3000, readMark: 12, state: utf8('there'), secret: utf8('secret') });
    await change({ kind: 'ended', credential: id, peer: 2 as Peer, forget: false });
    t.same(keptSessions(store), []);
    await change({ kind: 'opened', session: session(3) });
    await subject.revoke('node-1', identity);
    t.same(keptSessions(store), [], 'a revoked credential has none');
    t.equal(await change({ kind: 'opened', session: session(4) }), 'conflict', 'nor does it get one');
    t.same(keptSessions(store), []);
  });

  check(
    'a session that ended goes on nowhere, and may be resumed until another takes its place',
    async (t, subject) => {
      const { store } = subject;
      const { id } = await subject.addCredential('node-1', identity);
      const change = (...sessions: SessionChange[]) => commit(store, { ...emptyCommit, sessions });
      const session = (peer: number, origin: number): SessionRow => ({
        peer: peer as Peer,
        credential: id,
        identity,
        secret: utf8(`secret of ${origin}`),
        state: utf8('here'),
        writeMark: 1000,
        readMark: 1,
        resumable: { origin: origin as Peer, until: 2e12 as WallTime },
      });
      const ended = (peer: number, forget: boolean) =>
        ({ kind: 'ended', credential: id, peer: peer as Peer, forget }) as const;
      const resumable = (origin: number) => store.view().resumable(origin as Peer);
      await change({ kind: 'opened', session: session(1, 1) });
      t.match(resumable(1), { peer: 1, secret: utf8('secret of 1'), resumable: { origin: 1, until: 2e12 } });
      await change(ended(1, false));
      t.same(keptSessions(store), []);
      t.match(resumable(1), { peer: 1, identity }, 'ended, and still there for who resumes it');
      await change({ kind: 'opened', session: session(2, 1) });
      t.equal(keptSessions(store).length, 1);
      t.match(resumable(1), { peer: 2 }, 'resumed, and found by the same origin');
      await change({ kind: 'opened', session: session(3, 3) });
      t.equal(resumable(1), undefined, 'a full handshake ends what came before');
      t.match(resumable(3), { peer: 3 });
      await change(ended(3, false), ended(3, true));
      t.equal(resumable(3), undefined, 'forgotten');
      await change({ kind: 'opened', session: session(4, 4) });
      const again = await subject.reopen();
      t.match(again.view().resumable(4 as Peer), { peer: 4, secret: utf8('secret of 4') }, 'in another process too');
      await subject.revoke('node-1', identity);
      await commit(again, emptyCommit);
      t.equal(again.view().resumable(4 as Peer), undefined, 'a revoked credential leaves nothing');
      t.equal(again.view().resumable(99 as Peer), undefined);
    },
  );

  check('another process finds everything that settled as durable', async (t, subject) => {
    await subject.addCredential('node-1', identity);
    await Promise.all([11, 12].map(row => commit(subject.store, changeOf(recordOf(row, 1)))));
    const events = subject.store.events(1, 10);
    const again = await subject.reopen();
    for (const row of [11, 12]) {
      t.same(again.view().device(row as Row), recordOf(row, 1));
      t.equal(again.view().row(`device-${row}` as EndpointName, undefined), row);
    }
    t.same(again.events(1, 10), events);
    t.ok(again.view().credential(identity));
  });
}

const temperature = resourcePath(3303, 0, 5700);
const commandId = 7 as CommandId;
const reboot = (id: CommandId) => newCommand(id, { kind: 'execute', paths: ['/3/0/4'] }, wall);
const observationOf = (version: number) =>
  wanted({ paths: [temperature], attributes: {}, source: 'operator' }, 1, version, wall);

function readingOf(path: ValuePath): LastValue {
  return {
    path,
    value: 21.5,
    received: wall,
    measured: undefined,
    source: 'read',
    peer: undefined,
    sequence: undefined,
  };
}

function commit(store: Store, wanted: Commit): Promise<CommitResult> {
  return new Promise(resolve => store.commit(wanted, resolve));
}
