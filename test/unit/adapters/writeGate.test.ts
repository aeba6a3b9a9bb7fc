import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { socketName } from '../../../src/adapters/directorySocket.ts';
import { openEnvironment, transact, writeMeta } from '../../../src/adapters/lmdbEnvironment.ts';
import { LmdbStore } from '../../../src/adapters/lmdbStore.ts';
import { maxConnections, PauseRequests, pauseServer } from '../../../src/adapters/pauseRequests.ts';
import { withDoor } from '../../../src/adapters/storeDoor.ts';
import { WriteGate } from '../../../src/adapters/writeGate.ts';

/** In a directory of its own: the sockets are named after it. */
async function inDirectory(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-gate-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return directory;
}

/** Something that takes until it is told to end. */
function underWay(): { run: () => Promise<void>; end: () => void; readonly hasBegun: boolean } {
  let end = (): void => undefined;
  let hasBegun = false;
  const ended = new Promise<void>(resolve => {
    end = resolve;
  });
  return {
    run: () => {
      hasBegun = true;
      return ended;
    },
    end,
    get hasBegun() {
      return hasBegun;
    },
  };
}

/** Whether a server that wants to write has to wait. What asks here writes nothing, and waits too. */
function isPaused(gate: WriteGate): boolean {
  const probe = underWay();
  probe.end();
  void gate.pass(probe.run);
  return !probe.hasBegun;
}

t.test('two commands at once would open a store while the other one writes to it', async t => {
  const directory = await inDirectory(t);
  const first = underWay();
  const order: string[] = [];
  const one = withDoor(directory, async () => {
    await first.run();
    order.push('first');
  });
  const other = new WriteGate(directory).pass(async () => void order.push('second'));
  while (!first.hasBegun) await turn();
  for (let n = 0; n < 50; n++) await turn();
  t.strictSame(order, []);
  first.end();
  await Promise.all([one, other]);
  t.strictSame(order, ['first', 'second']);
});

t.test('a server would commit while somebody opens its store', async t => {
  const directory = await inDirectory(t);
  const gate = new WriteGate(directory);
  const requests = await PauseRequests.listen(directory, gate);
  t.teardown(() => requests.close());
  const write = underWay();
  const written = gate.pass(write.run);
  let goOn: (() => void) | undefined;
  const paused = pauseServer(directory).then(resume => {
    goOn = resume;
  });
  while (!isPaused(gate)) await turn();
  for (let n = 0; n < 50; n++) await turn();
  t.equal(goOn, undefined, 'who opens waits for the transaction that is under way');
  write.end();
  await Promise.all([written, paused]);
  const next = underWay();
  const waiting = gate.pass(next.run);
  for (let n = 0; n < 50; n++) await turn();
  t.notOk(next.hasBegun, 'and then the server waits');
  goOn!();
  while (!next.hasBegun) await turn();
  next.end();
  await waiting;
  t.notOk(isPaused(gate));
});

t.test('a command that is killed while it opens the store would stop the server for good', async t => {
  const directory = await inDirectory(t);
  const gate = new WriteGate(directory);
  const requests = await PauseRequests.listen(directory, gate);
  t.teardown(() => requests.close());
  const goOn = await pauseServer(directory);
  t.ok(isPaused(gate));
  // As the system does with the sockets of a process that ends.
  goOn();
  await gate.pass(async () => undefined);
});

t.test('anybody on the machine could stop the server from writing', async t => {
  const directory = await inDirectory(t);
  const gate = new WriteGate(directory);
  const requests = await PauseRequests.listen(directory, gate);
  t.teardown(() => requests.close());
  const stranger = connect(await socketName(directory, 'pause'));
  const [nonce] = await once(stranger, 'data');
  t.equal(nonce.length, 16);
  stranger.write(new Uint8Array(32));
  await once(stranger, 'close');
  t.notOk(isPaused(gate));
});

t.test('a server with too many who ask would be taken for none', async t => {
  const directory = await inDirectory(t);
  const gate = new WriteGate(directory);
  const requests = await PauseRequests.listen(directory, gate);
  t.teardown(() => requests.close());
  const name = await socketName(directory, 'pause');
  const strangers = Array.from({ length: maxConnections }, () => connect(name).on('error', () => undefined));
  await Promise.all(strangers.map(stranger => once(stranger, 'data')));
  const goOn = await pauseServer(directory);
  t.ok(isPaused(gate), 'it comes to its turn when those who prove nothing are gone');
  goOn();
});

t.test('a key that was cut off while it was written would be known to anybody', async t => {
  const directory = await inDirectory(t);
  await writeFile(join(directory, 'pause.key'), '');
  const gate = new WriteGate(directory);
  const requests = await PauseRequests.listen(directory, gate);
  t.teardown(() => requests.close());
  const stranger = connect(await socketName(directory, 'pause'));
  const [nonce] = await once(stranger, 'data');
  stranger.write(createHmac('sha256', '').update(nonce).digest());
  await once(stranger, 'close');
  t.notOk(isPaused(gate));
  t.equal((await readFile(join(directory, 'pause.key'))).length, 32, 'it has been made anew');
});

t.test('a command would wait for a server that is not there', async t => {
  const directory = await inDirectory(t);
  const isPrompt = async () => {
    const start = performance.now();
    (await pauseServer(directory))();
    return performance.now() - start < 5000;
  };
  t.ok(await isPrompt(), 'there never was one');
  const requests = await PauseRequests.listen(directory, new WriteGate(directory));
  await requests.close();
  t.ok(await isPrompt(), 'it has ended');
});

t.test('a new name that comes while the store is opened, and no row is left, is put off', async t => {
  const environment = await openEnvironment(await inDirectory(t), true);
  const store = await LmdbStore.open(environment, undefined as never, () => undefined);
  t.teardown(() => store.close());
  await withDoor(environment.directory, async () => environment.gate.serve());
  const goOn = await environment.gate.pause();
  const before = transact(environment, () => void writeMeta(environment, 'alive', 1));
  let allocated = 0;
  while (store.allocateRow() !== undefined) allocated++;
  t.equal(allocated, 4096, 'a block of rows is at hand');
  goOn();
  await before;
  let more: unknown;
  while ((more = store.allocateRow()) === undefined) await turn();
  t.ok(more, 'and then there are more');
});
