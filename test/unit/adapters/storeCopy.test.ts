import t from 'tap';
import { openEnvironment, readMeta, transact, writeMeta } from '../../../src/adapters/lmdbEnvironment.ts';
import { encodeEvent } from '../../../src/adapters/lmdbForms.ts';
import { readCommands, writeModel } from '../../../src/adapters/lmdbModel.ts';
import { readEvents } from '../../../src/adapters/lmdbView.ts';
import { startAnew } from '../../../src/adapters/storeCopy.ts';
import { type CommandId, newCommand, type OperationKind } from '../../../src/fleet/command.ts';
import type { EndpointName, Row } from '../../../src/fleet/names.ts';
import { emptyCommit } from '../../../src/fleet/store.ts';
import { wall } from '../../support/records.ts';

t.test('a copy would give away what the original gave away since', async t => {
  const environment = await openEnvironment(t.testdir(), true);
  t.teardown(() => environment.root.close());
  const event = { type: 'registered', at: wall, row: 7 as Row, name: 'node' as EndpointName } as const;
  await transact(environment, () => {
    void writeMeta(environment, 'nextRow', 4097);
    void writeMeta(environment, 'nextCredential', 3);
    void writeMeta(environment, 'nextPeer', 2 ** 20);
    void writeMeta(environment, 'home', new Uint8Array(1));
    void environment.events.put(41, encodeEvent(event));
    void environment.sessions.put(2, new Uint8Array(40));
    void environment.origins.put(9, new Uint8Array(4));
  });
  await startAnew(environment, wall);

  t.equal(environment.sessions.getKeysCount() + environment.origins.getKeysCount(), 0, 'nothing wakes, or is resumed');
  t.equal(readMeta(environment, 'nextRow'), 2 ** 20, 'no row, and so no location, is another device there');
  t.equal(readMeta(environment, 'nextCredential'), 2 ** 20);
  t.equal(readMeta(environment, 'nextPeer'), 2 ** 32, 'no connection ID is that of another association there');
  t.equal(readMeta(environment, 'home'), undefined, 'it is a copy no longer');
  t.match(readEvents(environment, 42, 10), [{ sequence: 1_000_000_000, type: 'restored', details: { after: 41 } }]);

  await startAnew(environment, wall);
  t.equal(readMeta(environment, 'nextRow'), 2 ** 21, 'a copy of the copy is another one');
  t.match(readEvents(environment, 1_000_000_001, 10), [{ sequence: 2_000_000_000 }]);
});

t.test('a copy would execute a second time what the original has executed', async t => {
  const environment = await openEnvironment(t.testdir(), true);
  t.teardown(() => environment.root.close());
  const command = (id: number, kind: OperationKind) => newCommand(id as CommandId, { kind, paths: ['/3/0/4'] }, wall);
  const commands = [command(1, 'execute'), command(2, 'read'), command(3, 'create'), command(4, 'write')];
  await transact(environment, () =>
    writeModel(environment, {
      ...emptyCommit,
      commands: commands.map(command => ({ row: 5 as Row, generation: 1, id: command.id, expected: 0, command })),
    }),
  );
  await startAnew(environment, wall);
  t.same(
    readCommands(environment, 5 as Row).map(({ operation, state }) => `${operation.kind} ${state}`),
    ['execute sent', 'read queued', 'create sent', 'write queued'],
    'what was sent ends with an unknown outcome at the next start',
  );
});
