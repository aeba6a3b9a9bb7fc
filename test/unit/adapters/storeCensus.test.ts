import { copyFileSync, mkdtempSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Keyring } from '../../../src/adapters/keyring.ts';
import { openEnvironment, transact, writeMeta } from '../../../src/adapters/lmdbEnvironment.ts';
import { decodeRecord, encodeRecord } from '../../../src/adapters/lmdbForms.ts';
import { salvage } from '../../../src/adapters/salvage.ts';
import { takeCensus } from '../../../src/adapters/storeCensus.ts';
import { StoreFile } from '../../../src/adapters/storeFile.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Row } from '../../../src/fleet/names.ts';
import { sampleRecord, wall } from '../../support/records.ts';

const pageSize = 4096;
const branch = 1;
const overflow = 4;

/** A store in which much was written, deleted and written again, so that old pages of everything lie about. */
async function churned(t: Test, isCalm = false): Promise<{ directory: string; present: ReadonlyMap<number, number> }> {
  const directory = t.testdir();
  const environment = await openEnvironment(directory, true);
  await writeMeta(environment, 'keys', Keyring.create(new Uint8Array(32).fill(7)).wrapped);
  const random = new SeededRandom(1);
  const present = new Map<number, number>();
  for (let round = 1; round <= 30; round++) {
    await transact(environment, () => {
      for (let n = 0; n < 200; n++) {
        const row = 1 + random.below(2000);
        if (random.fraction() < 0.3 && present.delete(row)) void environment.devices.remove(row);
        else {
          present.set(row, round);
          void environment.devices.put(row, encodeRecord({ ...sampleRecord(row), version: round }));
        }
        // Long values have pages of their own.
        void environment.events.put(round * 200 + n, new Uint8Array(n % 40 === 0 ? 9000 : 80));
      }
      if (round % 7 === 3) for (let n = 0; n < 300; n++) void environment.events.remove(round * 100 + n);
    });
  }
  // The state before the last transaction has the same records then.
  if (isCalm) await writeMeta(environment, 'alive', 1);
  await environment.root.close();
  return { directory, present };
}

/** Has the second page of every long value look like a leaf of records: whoever chooses values may choose that. */
function disguise(directory: string): void {
  const path = join(directory, 'data.mdb');
  const bytes = readFileSync(path);
  const pageAt = (number: number) => bytes.subarray(number * pageSize, (number + 1) * pageSize);
  const leafOfRecords = Buffer.from(pageAt(lastLeafOf(directory, 'devices')));
  for (let number = 2; number < bytes.length / pageSize - 1; number++) {
    const page = pageAt(number);
    if (page.readUInt16LE(18) !== overflow || page.readUInt32LE(0) !== number) continue;
    leafOfRecords.writeUInt32LE(number + 1, 0);
    leafOfRecords.copy(bytes, (number + 1) * pageSize);
  }
  writeFileSync(path, bytes);
}

function lastLeafOf(directory: string, database: string): number {
  const [root] = branchesOf(directory, database);
  return censusOf(harmed(directory, root!)).orphans!.leaves.at(-1)!;
}

/** The branches of a tree, its root first. */
function branchesOf(directory: string, database: string): number[] {
  const bytes = readFileSync(join(directory, 'data.mdb'));
  const branches: number[] = [];
  const open = [rootOf(bytes, headerOf(directory).databases.root!, database)];
  for (let number = open.shift(); number !== undefined; number = open.shift()) {
    const below = pagesBelow(directory, number);
    if (below.length > 0) branches.push(number);
    open.push(...below);
  }
  return branches;
}

/** What a branch leads to; nothing, if it is a leaf. */
function pagesBelow(directory: string, number: number): number[] {
  const page = readFileSync(join(directory, 'data.mdb')).subarray(number * pageSize, (number + 1) * pageSize);
  if ((page.readUInt16LE(18) & branch) === 0) return [];
  return Array.from({ length: page.readUInt16LE(20) / 2 }, (_, i) =>
    page.readUInt32LE(24 + page.readUInt16LE(24 + 2 * i)),
  );
}

/** Takes the last page that is free off the list, in a leaf of it. */
function forgetLastFree(directory: string, leaf: number): void {
  const path = join(directory, 'data.mdb');
  const bytes = readFileSync(path);
  const page = bytes.subarray(leaf * pageSize, (leaf + 1) * pageSize);
  const node = 24 + page.readUInt16LE(24);
  const end = node + 8 + page.readUInt16LE(node + 6) + page.readUInt32LE(node);
  page.writeBigUInt64LE(0n, end - 8);
  writeFileSync(path, bytes);
}

/** The root of a sub-database, as the page of the names says it. */
function rootOf(bytes: Buffer, root: number, database: string): number {
  const page = bytes.subarray(root * pageSize, (root + 1) * pageSize);
  const at = page.indexOf(`${database}\0`);
  return page.readUInt32LE(at + database.length + 1 + 40);
}

function headerOf(directory: string) {
  const file = StoreFile.open(join(directory, 'data.mdb'));
  const header = file.headers().headers[0]!;
  file.close();
  return header;
}

/** A copy of it in which some pages are garbage. */
function harmed(directory: string, ...numbers: number[]): string {
  const copy = mkdtempSync(join(directory, 'harmed-'));
  copyFileSync(join(directory, 'data.mdb'), join(copy, 'data.mdb'));
  const file = openSync(join(copy, 'data.mdb'), 'r+');
  for (const number of numbers) writeSync(file, Buffer.alloc(pageSize, 0xa5), 0, pageSize, number * pageSize);
  return copy;
}

function censusOf(directory: string) {
  const file = StoreFile.open(join(directory, 'data.mdb'));
  const census = takeCensus(file, file.headers().headers[0]!, () => true);
  file.close();
  return census;
}

async function savedDevices(directory: string): Promise<Map<number, number>> {
  const into = join(directory, 'saved');
  await salvage(directory, into, wall, () => undefined);
  const copy = await openEnvironment(into, false);
  const saved = new Map<number, number>();
  for (const { key, value } of copy.devices.getRange()) saved.set(key, decodeRecord(key as Row, value).version);
  await copy.root.close();
  return saved;
}

const inOrder = (devices: ReadonlyMap<number, number>) => [...devices].sort(([a], [b]) => a - b);

t.test('a branch page that is damaged would take all records below it along', async t => {
  const { directory, present } = await churned(t);
  t.same(censusOf(directory), { lost: 0, orphans: undefined });
  for (const database of ['devices', 'events']) {
    const [root, second] = branchesOf(directory, database);
    for (const number of [root!, ...(second === undefined ? [] : [second])]) {
      const census = censusOf(harmed(directory, number));
      t.match(census, { lost: 0, orphans: { database } }, `page ${number} of ${database}`);
    }
  }
  const saved = await savedDevices(harmed(directory, branchesOf(directory, 'devices')[0]!));
  t.strictSame(inOrder(saved), inOrder(present), 'each as it was last, and nobody who had left');
});

t.test('of what stands below a damaged branch a damaged leaf is lost, and nothing else', async t => {
  const { directory, present } = await churned(t, true);
  const [root] = branchesOf(directory, 'devices');
  const leaf = censusOf(harmed(directory, root!)).orphans!.leaves[3]!;
  const copy = harmed(directory, root!, leaf);
  const { lost } = censusOf(copy);
  t.ok(lost > 0 && lost < 40, `${lost} lost`);
  const saved = await savedDevices(copy);
  t.equal(saved.size, present.size - lost);
  for (const [row, version] of saved) t.equal(present.get(row), version);
});

t.test('where it does not add up, pages of before would be taken for those of now', async t => {
  const { directory } = await churned(t);
  const [devices] = branchesOf(directory, 'devices');
  const [events] = branchesOf(directory, 'events');
  t.equal(censusOf(harmed(directory, devices!, events!)).orphans, undefined, 'two are damaged: whose is what?');
  const free = headerOf(directory).free.root!;
  t.equal(censusOf(harmed(directory, devices!, free)).orphans, undefined, 'nobody knows what is free');
  const [leaf] = [free, ...pagesBelow(directory, free)].slice(-1);
  const forgetful = harmed(directory, devices!);
  t.ok(censusOf(forgetful).orphans);
  forgetLastFree(forgetful, leaf!);
  t.equal(censusOf(forgetful).orphans, undefined, 'a page that is free is not on the list, and looks like one in use');
  const names = headerOf(directory).databases.root!;
  t.equal(censusOf(harmed(directory, names)).orphans, undefined, 'nobody knows what there is');
});

t.test('a value that looks like a page of records would be taken for one', async t => {
  const { directory } = await churned(t);
  const [root] = branchesOf(directory, 'events');
  const before = censusOf(harmed(directory, root!)).orphans!;
  disguise(directory);
  const { lost, orphans } = censusOf(harmed(directory, root!));
  t.equal(lost, 0);
  t.strictSame(orphans, before);
});
