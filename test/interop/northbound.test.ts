import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { fromHex, utf8 } from '../../src/base/bytes.ts';
import { DeviceObjects } from '../../src/device/objects.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import { resourcePath } from '../../src/lwm2m/path.ts';
import { UdpDevice } from '../../tools/load/udpDevice.ts';
import { pause } from '../support/plainClient.ts';
import { TestServer, targetOf } from '../support/server.ts';
import { isInstalled } from '../support/tool.ts';

const keyText = 'sixteen byte key';
const key = Buffer.from(keyText).toString('hex');

for (const peer of ['coap-client-openssl', 'coap-client-gnutls']) {
  t.test(`${peer} reads and observes the last values of a device over DTLS`, async t => {
    if (!(await isInstalled(t, peer, 'libcoap3-bin'))) return;
    const server = await TestServer.start();
    t.teardown(() => server.remove());
    await server.cli('credential', 'add', 'node-1', '--key', key);
    await server.cli('credential', 'add', 'node-2', '--key', key);
    await server.cli('credential', 'add', 'dashboard', '--role', 'operator', '--key', key);
    const objects = new DeviceObjects(Definitions.registry(), { '/1/0/1': 300, '/3303/0/5700': 21.5 });
    const dtls = { identity: utf8('node-1'), key: fromHex(key)! };
    const device = await UdpDevice.open(targetOf(server.coaps), dtls, { objects });
    t.teardown(() => device.vanish());
    await device.connect();
    await device.register({ lifetime: 86_400, version: [1, 1] });
    await server.cli('device', 'observe', 'node-1', '/3303/0/5700', '--pmax', '600');
    const client = (identity: string, path: string, ...args: string[]) =>
      text(
        spawn(peer, ['-u', identity, '-k', keyText, ...args, `coaps://${server.coaps}${path}`], {
          stdio: ['ignore', 'pipe', 'inherit'],
        }).stdout,
      );
    const resource = '/device/node-1/3303/0/5700';
    let first = '';
    for (let tries = 0; tries < 20 && !first.startsWith('21.5'); tries++)
      first = await client('dashboard', resource, '-B', '3');
    t.match(first, /^21\.5/);
    t.match(await client('dashboard', '/device/node-1', '-B', '3', '-A', '110'), /"n":"3303\/0\/5700"/);
    t.match(await client('dashboard', '/rd-lookup/ep', '-B', '3'), /ep="node-1"/);
    t.notMatch(await client('node-2', resource, '-B', '3'), /21\.5/, 'a device does not read');

    const told = client('dashboard', resource, '-s', '6', '-B', '8');
    await pause(1500);
    device.set(resourcePath(3303, 0, 5700), 23.25);
    await pause(2500);
    device.set(resourcePath(3303, 0, 5700), 24.5);
    t.match(await told, /21\.5[\s\S]*23\.25[\s\S]*24\.5/, 'each as it came');
  });
}
