import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { Administration } from '../../src/adapters/lmdbAdmin.ts';
import { type Environment, writeMeta } from '../../src/adapters/lmdbEnvironment.ts';
import { LmdbStore } from '../../src/adapters/lmdbStore.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import type { DeviceRecord } from '../../src/fleet/device.ts';
import type { EndpointName, Row } from '../../src/fleet/names.ts';
import { isQueryFault, parseQuery, selectionOf } from '../../src/fleet/query.ts';
import { forget } from '../../src/fleet/registration.ts';
import { type Commit, findByScan, type Selection, type Store } from '../../src/fleet/store.ts';
import { MemoryDisk } from '../support/memoryDisk.ts';
import { MemoryStore, promptBehaviour } from '../support/memoryStore.ts';
import { rules, sampleRecord, unregistered, wall } from '../support/records.ts';

/** Both stores answer the same questions in the same way. */
const stores: Readonly<Record<string, (t: Test) => Promise<Store>>> = {
  'the memory store': async () => new MemoryStore(new MemoryDisk(), promptBehaviour),
  'the LMDB store': async t => (await openStore(t)).store,
};

for (const [name, open] of Object.entries(stores)) {
  t.test(`${name} finds by every kind of condition, page by page`, async t => {
    const store = await open(t);
    for (let row = 1; row <= 40; row++) {
      await put(
        store,
        sampleRecord(row, {
          name: `node-${String(row).padStart(2, '0')}`,
          ...(row % 4 === 0 ? { sector: 'cellar' } : {}),
          lastContact: (wall - row * 3_600_000) as WallTime,
          lifetime: row % 10 === 0 ? 60 : 864_000,
          description: {
            objects: row % 2 === 0 ? [{ id: 3303, version: [1, row % 3], instances: [0] }] : [],
            metadata: { manufacturer: row % 5 === 0 ? 'Acme' : 'Other', serial: String(row) },
          },
        }),
      );
    }
    await put(store, unregistered(41, 'known'));

    const rows = (query: string) => all(store, asked(query)).map(({ row }) => row);
    t.strictSame(rows('serial=17'), [17]);
    t.strictSame(rows('ep=node-17'), [17]);
    t.strictSame(rows('ep=node-3*'), [30, 31, 32, 33, 34, 35, 36, 37, 38, 39]);
    t.strictSame(rows('object=3303 and manufacturer=Acme'), [10, 20, 30, 40]);
    t.strictSame(rows('object=3303;1.2 and d=cellar'), [8, 20, 32]);
    t.strictSame(rows('instance=/3303/0 and lastContact<6h'), [2, 4]);
    t.strictSame(rows('lastContact>38h'), [39, 40]);
    t.strictSame(rows('state=lapsed'), [10, 20, 30, 40]);
    t.strictSame(rows('state=registered and manufacturer=Acme'), [5, 15, 25, 35]);
    t.strictSame(rows('state=none'), [41]);
    t.strictSame(rows('model=Nothing'), []);
    t.equal(rows('serial!=17').length, 40);

    const page = store.find(asked('object=3303'), 5 as Row, 3);
    t.strictSame(
      page.records.map(({ row }) => row),
      [6, 8, 10],
    );
    t.ok(page.next !== undefined && page.next > 10, 'and where to go on');
    t.equal(store.find(asked('serial=40'), 41 as Row, 3).next, undefined);
  });
}

t.test('what the index finds is what a look at every record would find, whatever happened to the records', async t => {
  const { store, administration } = await openStore(t);
  const records = new Map<number, DeviceRecord>();
  const seen = { found: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { minLength: 1, maxLength: 12 }),
      fc.array(query, { maxLength: 3 }),
      async (operations, wanted) => {
        // Several in one group, as they arrive while a flush is under way.
        await Promise.all(operations.map(each => put(store, apply(records, each))));
        const last = records.get(operations[0]!.row)!;
        if (operations.length === 3 && last.registration !== undefined) {
          // An operator forgets one, beside the server.
          await administration.change(last.row, before => forget(rules, wall, before));
          records.set(last.row, forget(rules, wall, last)!.record);
        }
        const selection = asked(wanted.length === 0 ? 'state!=none' : wanted.join(' and '));
        const found = all(store, selection);
        const expected = findByScan(store, { ...selection, terms: [] }, 1 as Row, 10_000).records;
        t.strictSame(found, expected, wanted.join(' and '));
        seen.found += found.length;
      },
    ),
    { numRuns: 60, seed: 20260115 },
  );
  t.ok(seen.found > 200, `${seen.found} were found, so that this can fail`);
});

t.test('a lookup that has to look at everything does it in turns', async t => {
  const { store } = await openStore(t);
  await Promise.all(Array.from({ length: 1500 }, (_, i) => put(store, sampleRecord(i + 1))));
  const never: Selection = { terms: [], questions: 1, accepts: () => false };
  const turns: number[] = [];
  for (let from: Row | undefined = 1 as Row; from !== undefined; from = store.find(never, from, 10).next)
    turns.push(from);
  t.ok(turns.length > 2, `${turns.length} turns`);
});

t.test('no question, however nasty, has the store look at more than a turn has time for', async t => {
  const { store, environment } = await openStore(t);
  const letters = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  const letter = (row: number) => letters[row % letters.length]!;
  await Promise.all(
    Array.from({ length: 6000 }, (_, i) =>
      put(
        store,
        sampleRecord(i + 1, {
          name: `${letter(i)}-${i}`,
          description: {
            metadata: { model: `${letter(i)}${i}`, serial: `s${i}` },
            extra: { room: `${letter(i)}${i}` },
          },
        }),
      ),
    ),
  );
  const questions = [
    'lifetime=1',
    'address=203.0.113.1',
    'state=lapsed',
    'base=coap://nowhere',
    'serial=s* and serial!=s*',
    'model!=x and lifetime=1',
    'lastContact>1s and lastContact<0s',
    'ep=a* and model=b*',
    [...letters, ...letters].map(one => `ep=${one}*`).join(' and '),
    [...letters, ...letters]
      .map(one => `model!=${one}* and model=*`)
      .slice(0, 8)
      .join(' and '),
    Array.from({ length: 16 }, (_, n) => (n % 2 === 0 ? 'model=*' : 'room=*'))
      .join(' and ')
      .replace('room=*', 'lifetime=1'),
  ];
  const looks = countingLooks(environment);
  for (const question of questions) {
    let most = 0;
    let turns = 0;
    let found = 0;
    for (let from: Row | undefined = 1 as Row; from !== undefined; turns++) {
      looks.count = 0;
      const page = store.find(asked(question), from, 100);
      found += page.records.length;
      from = page.next;
      most = Math.max(most, looks.count);
    }
    t.equal(found, 0, question);
    t.ok(most <= 3600, `${most} looks in a turn, ${turns} turns`);
  }
});

t.test('a question whose beginning so many have that the index gives up would find only some of them', async t => {
  const { store } = await openStore(t);
  const models = Array.from({ length: 4200 }, (_, i) =>
    put(store, sampleRecord(i + 1, { description: { metadata: { model: `a${i}` } } })),
  );
  await Promise.all(models);
  t.equal(all(store, asked('model=a*')).length, 4200, 'of words');
  t.equal(all(store, asked('ep=*')).length, 4200, 'of names');
  const sectors = Array.from({ length: 300 }, (_, i) =>
    put(store, sampleRecord(4201 + i, { name: 'same', sector: `floor-${i}` })),
  );
  await Promise.all(sectors);
  t.equal(all(store, asked('ep=same')).length, 300, 'of sectors');
});

t.test('a question about a registry of millions, of which hardly anybody is left, would stop the server', async t => {
  const { store } = await openStore(t);
  const last = 4096 * 3000;
  await Promise.all([1, last].map(row => put(store, sampleRecord(row))));
  let turns = 1;
  let page = store.find(asked('dialect=rd'), 1 as Row, 10);
  for (; page.next !== undefined; turns++) page = store.find(asked('dialect=rd'), page.next, 10);
  t.ok(turns > 2, `${turns} turns`);
  t.equal(all(store, asked('dialect=cbor')).length, 2);
});

t.test('devices that say much of themselves would have everybody wait for a question about them', async t => {
  const { store } = await openStore(t);
  const links = Array.from({ length: 130 }, (_, n) => ({ href: `/s/${n}`, attributes: { rt: `t${n % 7}` } }));
  await Promise.all(
    Array.from({ length: 1000 }, (_, i) => put(store, sampleRecord(i + 1, { description: { links } }))),
  );
  for (const questions of [1, 4, 16]) {
    let most = 0;
    for (let from: Row | undefined = 1 as Row; from !== undefined; ) {
      let asked = 0;
      const accepts = ({ registration }: DeviceRecord) => {
        asked += registration!.description.length * questions;
        return false;
      };
      from = store.find({ terms: [], questions, accepts }, from, 100).next;
      most = Math.max(most, asked);
    }
    t.ok(most > 10_000 && most < 150_000, `${most} bytes are gone through for ${questions} questions`);
  }
});

t.test('credentials are found by name, and their import is indexed too', async t => {
  const { store, administration } = await openStore(t);
  const credential = (name: string) => ({
    endpoint: name as EndpointName,
    sector: undefined,
    identity: utf8(name),
    key: new Uint8Array(16),
  });
  await administration.add(wall, [credential('a'), credential('b')]);
  t.strictSame(
    all(store, asked('state=none')).map(({ name }) => name),
    ['a', 'b'],
  );
});

t.test('a store of the first form gets its index when it is opened', async t => {
  const directory = await temporary(t);
  const said: string[] = [];
  const first = await openStore(t, directory);
  await Promise.all(Array.from({ length: 2100 }, (_, i) => put(first.store, sampleRecord(i + 1))));
  await first.environment.terms.clearAsync();
  await writeMeta(first.environment, 'form', 1);
  await first.store.close();

  const second = await openStore(t, directory, text => said.push(text));
  t.match(said, [/earlier version/, /2100 devices are indexed/]);
  t.equal(all(second.store, asked('ep=node-2077')).length, 1);
  t.equal(all(second.store, asked('dialect=cbor')).length, 2100);
  await second.store.close();
  await openStore(t, directory, text => said.push(text));
  t.equal(said.length, 2, 'and only once');
});

t.test('a device with a thousand links is found by the last of them', async t => {
  const { store, environment } = await openStore(t);
  const links = Array.from({ length: 800 }, (_, i) => ({ href: `/${i}`, attributes: {} }));
  await put(store, sampleRecord(1, { description: { links } }));
  await put(store, sampleRecord(2));
  t.ok(environment.terms.getKeysCount() < 200, 'though the index does not keep them all');
  t.strictSame(
    all(store, asked('href=/799')).map(({ row }) => row),
    [1],
  );
  await put(store, { ...sampleRecord(1), version: 2 });
  t.strictSame(all(store, asked('href=/799')), []);
  const leftOver = [...environment.terms.getKeys()].filter(key => new TextDecoder().decode(key.subarray(3)) === '*');
  t.equal(leftOver.length, 0, 'and nothing is left of them');
});

t.test('an update that changes nothing the index knows leaves it alone', async t => {
  const { store, environment } = await openStore(t);
  const before = sampleRecord(1);
  await put(store, before);
  const writes = counting(environment.terms);
  const registration = { ...before.registration!, lastContact: (wall + 60_000) as WallTime, address: '192.0.2.99' };
  await put(store, { ...before, version: 2, registration }, before);
  t.equal(writes.count, 0);
  const again = { ...registration, lastContact: (wall + 86_400_000) as WallTime };
  await put(store, { ...before, version: 3, registration: again }, { ...before, version: 2, registration });
  t.equal(writes.count, 2, 'but the day moves');
});

const operation = fc.record({
  row: fc.integer({ min: 1, max: 30 }),
  kind: fc.constantFrom('register', 'register', 'touch', 'deregister'),
  objects: fc.uniqueArray(fc.constantFrom(1, 3, 3303, 3304), { maxLength: 3 }),
  manufacturer: fc.constantFrom('Acme', 'Other', 'Än😀', 'x'.repeat(100), `${'x'.repeat(100)}y`),
  tag: fc.constantFrom('a', 'a b', 'b'),
  days: fc.integer({ min: 0, max: 4 }),
});

const query = fc.constantFrom(
  'object=3303',
  'object=3304',
  'instance=/3/0',
  'object!=3',
  'manufacturer=Acme',
  'manufacturer=Än😀',
  'manufacturer=Ä*',
  `manufacturer=${'x'.repeat(100)}`,
  `manufacturer=${'x'.repeat(99)}*`,
  'tag=a',
  'tag=b',
  'state=registered',
  'state=none',
  'state=lapsed',
  'ep=node-1*',
  'ep=node-7',
  'lastContact<36h',
  'lastContact>36h',
  'lastContact>=2d',
  'dialect=cbor',
);

/** The record after an operation, as the fleet's decisions would make it. */
function apply(
  records: Map<number, DeviceRecord>,
  { row, kind, ...what }: OperationOf<typeof operation>,
): DeviceRecord {
  const before = records.get(row);
  const made = sampleRecord(row, {
    lastContact: (wall - what.days * 86_400_000) as WallTime,
    lifetime: what.days === 3 ? 60 : 864_000,
    description: {
      objects: what.objects.map(id => ({ id, version: undefined, instances: [0] })),
      metadata: { manufacturer: what.manufacturer },
      extra: { tag: what.tag },
    },
  });
  const version = (before?.version ?? 0) + 1;
  let after: DeviceRecord = { ...made, version };
  if (kind === 'touch' && before?.registration !== undefined) {
    after = { ...before, version, registration: { ...before.registration, lastContact: wall } };
  }
  if (kind === 'deregister' && before !== undefined) after = deregistered(before);
  records.set(row, after);
  return after;
}

type OperationOf<T> = T extends fc.Arbitrary<infer O> ? O : never;

function deregistered(before: DeviceRecord): DeviceRecord {
  return { ...before, version: before.version + 1, registration: undefined };
}

function asked(text: string): Selection {
  const parsed = parseQuery(text);
  if (isQueryFault(parsed)) throw new Error(`${text}: ${parsed.message}`);
  return selectionOf(parsed, { now: wall, rules });
}

function all(store: Store, selection: Selection): DeviceRecord[] {
  const found: DeviceRecord[] = [];
  for (let from: Row | undefined = 1 as Row; from !== undefined; ) {
    const page = store.find(selection, from, 7);
    found.push(...page.records);
    from = page.next;
  }
  return found;
}

function put(store: Store, record: DeviceRecord, before?: DeviceRecord): Promise<void> {
  const commit: Commit = { devices: [{ expected: record.version - 1, record, before }], events: [] };
  return new Promise((resolve, reject) =>
    store.commit(commit, result => (result === 'durable' ? resolve() : reject(new Error(result)))),
  );
}

/** How many entries are read from now on, one by one or in ranges. */
function countingLooks(environment: Environment): { count: number } {
  const looks = { count: 0 };
  for (const database of [environment.devices, environment.terms, environment.names]) {
    const get = database.get.bind(database) as (...args: unknown[]) => unknown;
    Reflect.set(database, 'get', (...args: unknown[]) => {
      looks.count++;
      return get(...args);
    });
    const getRange = database.getRange.bind(database) as (...args: unknown[]) => Iterable<unknown>;
    Reflect.set(database, 'getRange', function* (...args: unknown[]) {
      for (const entry of getRange(...args)) {
        looks.count++;
        yield entry;
      }
    });
  }
  return looks;
}

/** How often something is written to a sub-database from now on. */
function counting(database: object): { count: number } {
  const writes = { count: 0 };
  for (const method of ['put', 'remove'] as const) {
    const original = Reflect.get(database, method) as (...args: unknown[]) => unknown;
    Reflect.set(database, method, (...args: unknown[]) => {
      writes.count++;
      return Reflect.apply(original, database, args);
    });
  }
  return writes;
}

async function openStore(t: Test, directory?: string, notice?: (text: string) => void) {
  const data = directory ?? (await temporary(t));
  const { environment, keyring } = await openDataDirectory(data, true, notice);
  const store = await LmdbStore.open(environment, keyring, error => {
    throw error;
  });
  let closed = false;
  const close = store.close.bind(store);
  store.close = async () => {
    if (closed) return;
    closed = true;
    await close();
  };
  t.teardown(() => store.close());
  return { store, environment, administration: new Administration(environment, keyring) };
}

async function temporary(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-lookup-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
