import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openEnvironment, readMeta, transact, writeMeta } from '../../../src/adapters/lmdbEnvironment.ts';
import { StoreFile } from '../../../src/adapters/storeFile.ts';

t.test('a store that another program opened would lose what was committed last', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-newest-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const environment = await openEnvironment(directory, true);
  for (let nextRow = 1; nextRow <= 5; nextRow++) {
    await transact(environment, () => void writeMeta(environment, 'nextRow', nextRow));
  }
  const newest = newestOf(directory);

  setShared(directory, newest, newest - 1);
  await t.rejects(
    transact(environment, () => t.fail('begins on the state before')),
    { message: /another program opened it/ },
  );
  t.equal(newestOf(directory), newest, 'nothing was written');
  t.equal(await committed(directory, environment), 5, 'the next one that opens it puts it right');

  const again = await openEnvironment(directory, false);
  t.teardown(() => again.root.close());
  await transact(again, () => void writeMeta(again, 'nextRow', 6));
  t.equal(readMeta(again, 'nextRow'), 6);
});

async function committed(directory: string, environment: { root: { close(): Promise<void> } }): Promise<unknown> {
  await environment.root.close();
  const again = await openEnvironment(directory, false);
  const value = readMeta(again, 'nextRow');
  await again.root.close();
  return value;
}

function newestOf(directory: string): number {
  const file = StoreFile.open(join(directory, 'data.mdb'));
  const newest = file.headers().headers[0]!.transaction;
  file.close();
  return newest;
}

/** What whoever opens the store sets: the number of the newest transaction, behind magic and format of the lock file. */
function setShared(directory: string, from: number, to: number): void {
  const file = openSync(join(directory, 'lock.mdb'), 'r+');
  const bytes = Buffer.alloc(8);
  readSync(file, bytes, 0, 8, 8);
  t.equal(bytes.readBigUInt64LE(), BigInt(from), 'that is where it stands');
  bytes.writeBigUInt64LE(BigInt(to));
  writeSync(file, bytes, 0, 8, 8);
  closeSync(file);
}
