import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Encoder } from 'cbor-x';
import t from 'tap';
import { openDataDirectory } from '../../../src/adapters/dataDirectory.ts';
import { Administration } from '../../../src/adapters/lmdbAdmin.ts';
import { decodeCredential, encodeCredential } from '../../../src/adapters/lmdbForms.ts';
import { LmdbStore } from '../../../src/adapters/lmdbStore.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import type { WallTime } from '../../../src/base/time.ts';
import { type CredentialRole, noRow } from '../../../src/fleet/credential.ts';
import type { EndpointName } from '../../../src/fleet/names.ts';
import { pskLookup } from '../../../src/server/pskLookup.ts';
import { rollcall } from '../../support/cli.ts';
import { sampleRecord } from '../../support/records.ts';

const wall = 1_700_000_000_000 as WallTime;
const key = utf8('sixteen byte key');

t.test('an operator is no device: it has no row and no record, and its name is nobody else’s', async t => {
  const data = await mkdtemp(join(tmpdir(), 'rollcall-roles-'));
  const { environment, keyring } = await openDataDirectory(data, true);
  const store = await LmdbStore.open(environment, keyring, error => {
    throw error;
  });
  t.teardown(async () => {
    await store.close();
    await rm(data, { recursive: true, force: true });
  });
  const administration = new Administration(environment, keyring);
  const add = async (name: string, role: CredentialRole, identity = name) => {
    const endpoint = name as EndpointName;
    const [result] = await administration.add(wall, [
      { endpoint, sector: undefined, identity: utf8(identity), key, role },
    ]);
    return result;
  };
  t.equal(await add('dashboard', 'operator'), 'added');
  t.equal(await add('dashboard', 'operator'), 'unchanged');
  t.equal(await add('dashboard', 'device'), 'identity-taken', 'a credential keeps its role');
  t.equal(await add('dashboard', 'device', 'another'), 'name-taken');
  t.equal(await add('dashboard', 'operator', 'next key'), 'added', 'but may have several, for rotation');
  t.equal(await add('node-1', 'device'), 'added');
  t.equal(await add('node-1', 'operator', 'another'), 'name-taken');

  const record = { ...sampleRecord(900), name: 'plain' as EndpointName };
  await new Promise(settled => store.commit({ devices: [{ expected: 0, record }], events: [] }, settled));
  t.equal(await add('plain', 'operator'), 'name-taken', 'nor the name of a device that registered on plain CoAP');

  const psk = pskLookup(store, error => {
    throw error;
  });
  t.equal(psk.find(utf8('dashboard'))?.owner.row, noRow, 'which is what its session says of it, also after a restart');
  t.not(psk.find(utf8('node-1'))?.owner.row, noRow);
  const view = store.view();
  t.equal(view.credential(utf8('dashboard'))?.role, 'operator');
  t.equal(view.row('dashboard' as EndpointName, undefined), undefined);
  t.ok(view.nameHasCredential('dashboard' as EndpointName, undefined), 'so that it is not registered on plain CoAP');
  t.equal(administration.device('dashboard' as EndpointName, undefined), undefined);

  t.equal(await administration.revoke(wall, 'dashboard' as EndpointName, undefined, undefined), 2);
  t.match(administration.credential(utf8('dashboard')), { role: 'operator', revokedAt: wall });
  t.equal(psk.find(utf8('dashboard')), undefined);
});

t.test('a credential that was stored before there were roles is a device’s', async t => {
  const old = new Encoder({ useRecords: false }).encode([7, key, 'node-1', null, 3, wall, null]);
  t.match(decodeCredential(old), { id: 7, row: 3, role: 'device', revokedAt: undefined });
  const operator = { ...decodeCredential(old), role: 'operator' as const };
  t.match(decodeCredential(encodeCredential(operator)), { role: 'operator' });
});

t.test('roles on the command line', async t => {
  const data = await mkdtemp(join(tmpdir(), 'rollcall-roles-'));
  t.teardown(() => rm(data, { recursive: true, force: true }));
  const run = (args: readonly string[], stdin = '') => rollcall(['credential', ...args, '--data', data], { stdin });
  const added = JSON.parse((await run(['add', 'dashboard', '--role', 'operator', '--json'])).stdout);
  t.match(added, { endpoint: 'dashboard', role: 'operator', key: /^[0-9a-f]{32}$/ });
  t.equal((await run(['add', 'x', '--role', 'admin'])).code, 2);
  t.match(await run(['add', 'dashboard', '--identity', 'y']), { code: 1, stderr: /is the name of an operator/ });
  const lines = [
    { endpoint: 'node-1', key: '00' },
    { endpoint: 'wall', key: '00', role: 'operator' },
    { endpoint: 'bad', key: '00', role: 'root' },
    { endpoint: 'node-1', identity: 'z', key: '00', role: 'operator' },
  ];
  const imported = await run(['import', '-', '--json'], lines.map(line => JSON.stringify(line)).join('\n'));
  t.match(JSON.parse(imported.stdout), {
    added: 2,
    badLines: [
      { line: 3, reason: /role is neither/ },
      { line: 4, reason: /is the name of a device/ },
    ],
  });
  t.match((await run(['list'])).stdout, /dashboard +dashboard +operator/);
  t.match(JSON.parse((await run(['show', 'node-1', '--json'])).stdout), [{ role: 'device' }]);
  t.match(await run(['revoke', 'nope']), { code: 1, stderr: /nope has no credential in force: see/ });
});
