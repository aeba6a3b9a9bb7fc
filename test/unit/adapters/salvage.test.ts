import { join } from 'node:path';
import t from 'tap';
import { Keyring } from '../../../src/adapters/keyring.ts';
import { Administration } from '../../../src/adapters/lmdbAdmin.ts';
import { openEnvironment, readMeta, transact, writeMeta } from '../../../src/adapters/lmdbEnvironment.ts';
import { decodeRecord, encodeName, nameKey } from '../../../src/adapters/lmdbForms.ts';
import { checkRecords } from '../../../src/adapters/recordCheck.ts';
import { salvage } from '../../../src/adapters/salvage.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import type { EndpointName, Row } from '../../../src/fleet/names.ts';
import { wall } from '../../support/records.ts';

const master = new Uint8Array(32).fill(7);

t.test('what is saved would not agree, or leave a part of the store behind', async t => {
  const damaged = t.testdir();
  const environment = await openEnvironment(damaged, true);
  const keyring = Keyring.create(master);
  await writeMeta(environment, 'keys', keyring.wrapped);
  const credential = (name: string, role: 'device' | 'operator') => ({
    endpoint: name as EndpointName,
    sector: undefined,
    identity: utf8(name),
    key: utf8('key'),
    role,
  });
  await new Administration(environment, keyring).add(wall, [
    credential('node-1', 'device'),
    credential('node-2', 'device'),
    credential('anna', 'operator'),
  ]);
  await transact(environment, () => {
    void environment.devices.remove(1);
    void environment.names.put(
      nameKey('node-2' as EndpointName, undefined),
      encodeName({ row: 9 as Row, identities: [] }),
    );
    void environment.terms.clearAsync();
    void environment.values.put(Uint8Array.of(0, 0, 0, 1, 0x2f), utf8('?'));
    void environment.sessions.put(1, utf8('?'));
    void writeMeta(environment, 'nextRow', 1);
  });
  const parts = Object.keys(environment).filter(name => !['directory', 'gate', 'root'].includes(name));
  await environment.root.close();

  const into = join(damaged, 'saved');
  const { saved, emptied, doubled } = await salvage(damaged, into, wall, () => undefined);
  const remade = ['names', 'terms'];
  const leftOut = ['sessions', 'origins'];
  t.same(
    [...Object.keys(saved), ...remade, ...leftOut].sort(),
    parts.sort(),
    'each part is saved, made anew or left out',
  );
  t.same({ emptied, doubled }, { emptied: 1, doubled: 0 });
  t.match(saved, { devices: { kept: 1, lost: 0 }, credentials: { kept: 3, lost: 0 }, values: { kept: 0, lost: 1 } });

  const copy = await openEnvironment(into, false);
  t.teardown(() => copy.root.close());
  const { complaints, counts } = checkRecords(copy, keyring, () => undefined);
  t.same(complaints, []);
  t.match(counts, { devices: 2, credentials: 3, unsealed: 3 });
  t.equal(copy.sessions.getKeysCount(), 0);
  const lost = decodeRecord(1 as Row, copy.devices.get(1)!);
  t.match(lost, { name: 'node-1', registration: undefined });
  t.ok(lost.generation >= 2 ** 31, 'an old location of it meets nothing');
  t.ok(readMeta(copy, 'nextRow')! > 2);
  await t.rejects(
    salvage(damaged, into, wall, () => undefined),
    /is not empty/,
  );
});
