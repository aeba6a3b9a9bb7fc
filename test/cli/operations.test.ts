import t from 'tap';
import { fromHex, utf8 } from '../../src/base/bytes.ts';
import { DeviceObjects } from '../../src/device/objects.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import { resourcePath } from '../../src/lwm2m/path.ts';
import { UdpDevice } from '../../tools/load/udpDevice.ts';
import { TestServer, targetOf } from '../support/server.ts';

const key = '000102030405060708090a0b0c0d0e0f';

t.test(
  'an operator reads, writes, observes and follows a device by the names of its resources, over a restart too',
  async t => {
    const server = await TestServer.start();
    t.teardown(() => server.remove());
    await server.cli('credential', 'add', 'node-1', '--key', key);
    const objects = new DeviceObjects(Definitions.registry(), {
      '/1/0/1': 300,
      '/3/0/0': 'ACME',
      '/3303/0/5700': 21.5,
      '/3303/0/5750': '',
    });
    const dtls = { identity: utf8('node-1'), key: fromHex(key)! };
    const device = await UdpDevice.open(targetOf(server.coaps), dtls, { objects });
    t.teardown(() => device.vanish());
    await device.connect();
    await device.register({ lifetime: 86_400, version: [1, 1] });

    const table = await server.cli('device', 'read', 'node-1', 'Temperature/0/Sensor Value');
    t.match(table, /^\/3303\/0\/5700 +Temperature\/0\/Sensor Value +21\.5/);
    const written = await server.cli('device', 'write', 'node-1', 'Server/0/Lifetime', '600', '--json');
    t.match(JSON.parse(written), { state: 'succeeded', reason: '2.04' });
    t.equal(objects.get(resourcePath(1, 0, 1)), 600);
    await t.rejects(server.cli('device', 'write', 'node-1', 'Server/0/Lifetime', 'soon'), /is of type integer/);
    const missing = await server
      .cli('device', 'read', 'node-1', '/3303/9')
      .catch((failed: { stdout: string }) => failed.stdout);
    t.match(missing, /failed +4\.04/);

    const both = await server.cli(
      'device',
      'write',
      'node-1',
      'Server/0/Lifetime=700',
      '/3303/0/5750=cellar',
      '--json',
    );
    t.match(JSON.parse(both), { state: 'succeeded', reason: '2.04' });
    t.equal(objects.get(resourcePath(1, 0, 1)), 700);
    t.equal(objects.get(resourcePath(3303, 0, 5750)), 'cellar');
    await t.rejects(server.cli('device', 'write', 'node-1', '/3303/0/5750'), /is not written as PATH=VALUE/);
    const created = await server.cli('device', 'create', 'node-1', '/3303/4', 'Application Type=attic', '--json');
    t.match(JSON.parse(created), { state: 'succeeded', reason: '2.01' });
    t.equal(objects.get(resourcePath(3303, 4, 5750)), 'attic');

    await server.cli('device', 'set', 'node-1', 'Server/0/Lifetime=900', '/3303/0/5700=1');
    const desired = async () => JSON.parse(await server.cli('device', 'desired', 'node-1', '--json'));
    for (
      let tries = 0;
      tries < 20 && (await desired()).some((one: { state: string }) => one.state === 'pending');
      tries++
    );
    t.match(await desired(), [
      { path: '/1/0/1', name: 'LwM2M Server/0/Lifetime', value: 900, state: 'delivered' },
      { path: '/3303/0/5700', state: 'refused', reason: '4.05' },
    ]);
    t.equal(objects.get(resourcePath(1, 0, 1)), 900);
    t.equal(JSON.parse(await server.cli('device', 'unset', 'node-1', '/3303/0/5700', '--json')).length, 1);
    await t.rejects(server.cli('device', 'unset', 'node-1', '/3303/0/5700'), /has no such desired value/);

    await server.cli('device', 'observe', 'node-1', '/3303/0/5700', '--pmax', '60');
    const observed = async () => JSON.parse(await server.cli('device', 'observe', 'node-1', '--json'));
    for (let tries = 0; tries < 20 && (await observed())[0].state !== 'active'; tries++);
    t.match(await observed(), [{ paths: ['/3303/0/5700'], state: 'active', source: 'operator' }]);

    // The process is gone at once; the device notices nothing and goes on.
    await server.end('SIGKILL');
    await server.restart('--coaps', server.coaps);
    device.set(resourcePath(3303, 0, 5700), 23.25);
    const values = async () => JSON.parse(await server.cli('device', 'values', 'node-1', '/3303', '--json'));
    for (let tries = 0; tries < 20 && (await values())[0].value !== 23.25; tries++);
    t.match(await values(), [{ path: '/3303/0/5700', value: 23.25, source: 'notification' }]);

    const events = (await server.cli('device', 'events', 'node-1', '--json')).trim().split('\n');
    const told = events.map(line => JSON.parse(line));
    t.match(told[0], { version: 1, sequence: 1, type: 'credential-added', endpoint: 'node-1' });
    for (const type of ['registered', 'command', 'observation', 'value']) {
      t.ok(
        told.some(event => event.type === type),
        type,
      );
    }

    const newest = (await server.cli('device', 'events', 'node-1', '--json', '--limit', '2')).trim().split('\n');
    t.strictSame(newest, events.slice(-2));

    const { command } = JSON.parse(await server.cli('device', 'exec', 'node-1', '/3/0/4', '--no-wait', '--json'));
    const queued = async () =>
      JSON.parse(await server.cli('device', 'queue', 'node-1', '--json')).find(
        (one: { id: number }) => one.id === command,
      );
    for (let tries = 0; tries < 20 && (await queued()).state !== 'succeeded'; tries++);
    t.match(await queued(), { operation: 'execute', paths: ['/3/0/4'], state: 'succeeded' });
  },
);
