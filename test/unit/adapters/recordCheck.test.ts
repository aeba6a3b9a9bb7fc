import t, { type Test } from 'tap';
import { Keyring } from '../../../src/adapters/keyring.ts';
import { Administration } from '../../../src/adapters/lmdbAdmin.ts';
import { type Environment, openEnvironment, transact, writeMeta } from '../../../src/adapters/lmdbEnvironment.ts';
import { encodeName, encodeRecord, nameKey, termKey } from '../../../src/adapters/lmdbForms.ts';
import { TermWrites } from '../../../src/adapters/lmdbTerms.ts';
import { checkRecords } from '../../../src/adapters/recordCheck.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import type { EndpointName, Row } from '../../../src/fleet/names.ts';
import { termChanges } from '../../../src/fleet/terms.ts';
import { sampleRecord, wall } from '../../support/records.ts';

const master = new Uint8Array(32).fill(7);
const nodeOne = nameKey('node-1' as EndpointName, undefined);

/** What is broken, and what is said about it. */
const cases: readonly [what: string, harm: (environment: Environment) => void, about: string, example: RegExp][] = [
  ['a name that leads to another row', e => rename(e, 3), 'names', /leads to row 3, which has no such name/],
  ['a name that is gone', e => void e.names.remove(nodeOne), 'names', /node-1 does not lead to row 1/],
  ['a record that is gone', e => void e.devices.remove(1), 'names', /node-1 leads to row 1/],
  ['a record that cannot be read', e => void e.devices.put(2, utf8('?')), 'devices', /row 2 cannot be read/],
  ['a term that no device has', e => void e.terms.put(termKey(0, 'model=x'), rows(2)), 'index', /^model=x/],
  ['a term in a chunk without devices', e => void e.terms.put(termKey(9, 'model=x'), rows(2)), 'index', /^model=x/],
  ['a term that is missing', e => void e.terms.remove(termKey(0, 'state=none')), 'index', /^state=none/],
  ['a bucket with one entry too few', e => void e.terms.remove(bucketKey(e)), 'index', /^#/],
  ['a credential that is gone', e => void e.credentials.remove(utf8('id-1')), 'names', /credential that is not there/],
  ['a value of nobody', e => void e.values.put(Uint8Array.of(0, 0, 1, 0), utf8('?')), 'values', /row 256/],
  ['a session of nobody', e => void e.sessions.put(77, utf8('?')), 'sessions', /credential 77/],
  ['an event that cannot be read', e => void e.events.put(2, utf8('')), 'events', /event 2 cannot be read/],
  ['a counter that would give a row away twice', e => void writeMeta(e, 'nextRow', 2), 'counters', /row 2 is in use/],
  ['a profile that cannot be read', e => void e.profiles.put('p', utf8('?')), 'profiles', /./],
];

for (const [what, harm, about, example] of cases) {
  t.test(`nobody would notice ${what}`, async t => {
    const { environment, keyring } = await smallStore(t);
    t.same(checkRecords(environment, keyring, () => undefined).complaints, [], 'before');
    await transact(environment, () => harm(environment));
    const { complaints } = checkRecords(environment, keyring, () => undefined);
    const found = complaints.find(complaint => complaint.about === about);
    t.match(found?.examples.join('\n'), example, JSON.stringify(complaints));
  });
}

t.test('nobody would notice keys that were sealed under another master key', async t => {
  const { environment } = await smallStore(t);
  const { complaints, counts } = checkRecords(environment, Keyring.create(master), () => undefined);
  t.match(complaints, [{ about: 'keys', count: 3 }]);
  t.match(counts, { credentials: 3, unsealed: 0, devices: 3, registered: 1 });
});

/** Two devices with credentials only, in rows 1 and 2, a registered one in row 3, and an operator. */
async function smallStore(t: Test): Promise<{ environment: Environment; keyring: Keyring }> {
  const environment = await openEnvironment(t.testdir(), true);
  t.teardown(() => environment.root.close());
  const keyring = Keyring.create(master);
  await writeMeta(environment, 'keys', keyring.wrapped);
  const wanted = [1, 2].map(n => ({
    endpoint: `node-${n}` as EndpointName,
    sector: undefined,
    identity: utf8(`id-${n}`),
    key: utf8('key'),
  }));
  const operator = {
    ...wanted[0]!,
    endpoint: 'anna' as EndpointName,
    identity: utf8('anna'),
    role: 'operator',
  } as const;
  await new Administration(environment, keyring).add(wall, [...wanted, operator]);
  const record = sampleRecord(3, { description: { metadata: { serial: 'S1' } } });
  await transact(environment, () => {
    void environment.devices.put(3, encodeRecord(record));
    rename(environment, 3, nameKey(record.name, record.sector));
    void writeMeta(environment, 'nextRow', 4);
    const terms = new TermWrites();
    terms.note(record.row, termChanges(undefined, record));
    terms.write(environment);
  });
  return { environment, keyring };
}

function rename({ names }: Environment, row: number, key = nodeOne): void {
  void names.put(key, encodeName({ row: row as Row, identities: [] }));
}

/** Of the serial number. */
function bucketKey({ terms }: Environment): Uint8Array {
  const [key] = Array.from(terms.getKeys({ start: termKey(0, '#'), limit: 1 }));
  return key!;
}

function rows(...offsets: number[]): Uint8Array {
  return new Uint8Array(Uint16Array.from(offsets).buffer);
}
