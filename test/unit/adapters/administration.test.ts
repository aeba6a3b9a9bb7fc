import t, { type Test } from 'tap';
import { openDataDirectory } from '../../../src/adapters/dataDirectory.ts';
import { Keyring } from '../../../src/adapters/keyring.ts';
import { Administration } from '../../../src/adapters/lmdbAdmin.ts';
import { transact, writeMeta } from '../../../src/adapters/lmdbEnvironment.ts';
import { putRecord, readObservations } from '../../../src/adapters/lmdbModel.ts';
import { findDevices } from '../../../src/adapters/lmdbTerms.ts';
import { parseProfile } from '../../../src/adapters/profiles.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import type { EndpointName, Row, Sector } from '../../../src/fleet/names.ts';
import { ProfileSet } from '../../../src/fleet/profile.ts';
import { type Decision, forget, reapply } from '../../../src/fleet/registration.ts';
import { isRefusal } from '../../../src/lwm2m/refusal.ts';
import { rules, sampleRecord, wall } from '../../support/records.ts';

t.test(
  'an import would take another credential, or one that opens nothing any more, for the one it brings',
  async t => {
    const { administration } = await opened(t);
    const add = async (name: string, key = 'key', sector?: string) => {
      const wanted = { endpoint: name as EndpointName, sector: sector as Sector | undefined, identity, key: utf8(key) };
      return (await administration.add(wall, [wanted]))[0];
    };
    const identity = utf8('identity');
    t.equal(await add('node-1'), 'added');
    t.equal(await add('node-1'), 'unchanged');
    t.equal(await add('node-1', 'yek'), 'identity-taken', 'with another key');
    t.equal(await add('node-2'), 'identity-taken', 'of another name');
    t.equal(await add('node-1', 'key', 'cellar'), 'identity-taken', 'of the same name in another sector');
    t.equal(await administration.revoke(wall, 'node-1' as EndpointName, undefined, undefined), 1);
    t.equal(await add('node-1'), 'identity-taken', 'revoked');
  },
);

t.test(
  'whoever revokes one credential of a device would lock it out, for it has another one for the change',
  async t => {
    const { administration } = await opened(t);
    const endpoint = 'node-1' as EndpointName;
    for (const name of ['old', 'new']) {
      await administration.add(wall, [{ endpoint, sector: undefined, identity: utf8(name), key: utf8(name) }]);
    }
    t.equal(await administration.revoke(wall, endpoint, undefined, utf8('neither')), 0);
    t.equal(await administration.revoke(wall, endpoint, undefined, utf8('old')), 1);
    t.equal(administration.credential(utf8('old'))?.revokedAt, wall);
    t.equal(administration.credential(utf8('new'))?.revokedAt, undefined);
    t.equal(await administration.revoke(wall, endpoint, undefined, undefined), 1, 'the one that is left');
  },
);

t.test('a key that is added while the master key changes would be sealed with the old one, and never open', async t => {
  const { administration, environment } = await opened(t);
  const other = Keyring.create(new Uint8Array(32).fill(7));
  await transact(environment, () => writeMeta(environment, 'keys', other.wrapped));
  const identity = utf8('late');
  const late = { endpoint: 'late' as EndpointName, sector: undefined, identity, key: utf8('key') };
  await t.rejects(administration.add(wall, [late]), /master key was changed at this moment/);
  t.equal(administration.credential(identity), undefined);
});

t.test('what an operator changes would be found as it was, and a profile observe nothing', async t => {
  const { administration, environment } = await opened(t);
  const row = 1 as Row;
  const description = { objects: [{ id: 3303, version: undefined, instances: [0] }] };
  await transact(environment, () => putRecord(environment, sampleRecord(row, { description })));
  const rows = (term: string) => {
    const any = { terms: [{ any: [term] }], questions: 1, accepts: () => true };
    return findDevices(environment, any, row, 10).records.length;
  };
  const profile = parseProfile("{name: default, tags: [roof], observe: [{path: '/3303/0/5700'}]}", 'default');
  const profiles = new ProfileSet([profile]);
  const applied = await administration.change(row, (record, observed) => {
    const decision = reapply({ ...rules, profiles }, wall, record, observed);
    return decision === undefined || isRefusal(decision) ? undefined : (decision satisfies Decision);
  });
  t.ok(applied);
  t.equal(rows('tag=roof'), 1);
  t.match(readObservations(environment, row), [{ paths: ['/3303/0/5700'], state: 'wanted', source: 'profile' }]);
  t.ok(await administration.change(row, record => forget(rules, wall, record)));
  t.strictSame([rows('tag=roof'), rows('state=none')], [0, 1]);
  t.strictSame(readObservations(environment, row), []);
  t.notOk(await administration.change(row, record => forget(rules, wall, record)), 'not twice');
  t.notOk(await administration.change(99 as Row, record => forget(rules, wall, record)), 'nor of nobody');
});

async function opened(t: Test) {
  const { environment, keyring } = await openDataDirectory(t.testdir(), true);
  t.teardown(() => environment.root.close());
  return { environment, administration: new Administration(environment, keyring) };
}
