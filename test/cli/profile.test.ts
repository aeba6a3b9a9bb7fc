import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { fromHex, utf8 } from '../../src/base/bytes.ts';
import { emptyDescription } from '../../src/lwm2m/registrationRequest.ts';
import { UdpDevice } from '../../tools/load/udpDevice.ts';
import { TestServer, targetOf } from '../support/server.ts';

const meters = `
name: meters
match: { metadata: { manufacturer: ACME } }
metadata: { properties: { serial: { pattern: '^S' } } }
lifetime: { max: 600 }
observe: [{ path: '/3303/*/5700', pmin: 1, pmax: 60 }]
tags: [metering]
`;
const key = '000102030405060708090a0b0c0d0e0f';
const description = {
  ...emptyDescription,
  metadata: { manufacturer: 'ACME', serial: 'S1' },
  objects: [{ id: 3303, version: undefined, instances: [0, 1] }],
};

t.test(
  'a profile from a file decides what a device may say and what it is given, and changes while the server runs',
  async t => {
    const directory = await mkdtemp(join(tmpdir(), 'rollcall-'));
    t.teardown(() => rm(directory, { recursive: true, force: true }));
    const file = join(directory, 'meters.yaml');
    await writeFile(file, meters);
    const server = await TestServer.start('--profiles', directory);
    t.teardown(() => server.remove());
    await server.cli('credential', 'add', 'node-1', '--key', key);
    const device = await UdpDevice.open(targetOf(server.coaps), { identity: utf8('node-1'), key: fromHex(key)! });
    t.teardown(() => device.vanish());
    await device.connect();

    await device.register({ endpoint: 'node-1', lifetime: 86_400, description });
    const shown = async () => JSON.parse(await server.cli('device', 'show', 'node-1', '--json'));
    t.match(await shown(), { lifetime: 600, allocation: { profile: 'meters', tags: ['metering'], observations: 2 } });

    const stray = { ...description, metadata: { manufacturer: 'ACME', serial: 'X1' } };
    await t.rejects(device.register({ description: stray }), { message: 'register: 4.03' }, 'without a word why');
    t.match(await shown(), { state: 'registered', allocation: { observations: 2 } }, 'what was registered stays');

    await writeFile(file, meters.replace('max: 600', 'max: 300').replace('/3303/*/5700', '/3303/1'));
    t.match(await server.cli('profile', 'set', file), /profile meters set/);
    t.match(await shown(), { allocation: { observations: 2 } }, 'not before it is applied');
    t.match(await server.cli('profile', 'apply'), /applied to 1 devices/);
    t.match(await shown(), { allocation: { observations: 1 } });
    // The server looks for what others wrote ten times a second.
    await new Promise(resolve => setTimeout(resolve, 300));
    await device.register({ lifetime: 86_400, description });
    t.match(await shown(), { lifetime: 300 });

    await writeFile(file, meters.replace("'^S'", "'^Z'"));
    await server.cli('profile', 'set', file);
    t.match(await server.cli('profile', 'apply'), /would be refused(?:.|\n)*node-1 +profile-metadata +meters: serial/);
    t.match(JSON.parse(await server.cli('profile', 'list', '--json')), [{ name: 'meters', origin: 'operator' }]);
    await server.cli('device', 'forget', 'node-1');
    t.equal((await shown()).allocation, undefined);
  },
);
