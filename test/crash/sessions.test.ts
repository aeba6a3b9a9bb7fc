import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { UdpDevice } from '../../tools/load/udpDevice.ts';
import { TestServer, targetOf } from '../support/server.ts';
import { UdpProxy } from '../support/udpProxy.ts';

const devices = 100;
const key = utf8('0123456789abcdef');

t.test('a hundred devices go on after kill -9, and none of them handshakes', async t => {
  const server = await TestServer.start();
  t.teardown(() => server.remove());
  const names = Array.from({ length: devices }, (_, n) => `device-${n}`);
  const file = join(server.data, 'credentials.ndjson');
  await writeFile(
    file,
    names.map(name => JSON.stringify({ endpoint: name, identity: name, key: toHex(key) })).join('\n'),
  );
  await server.cli('credential', 'import', file);
  const target = targetOf(server.coaps);
  const proxy = await UdpProxy.open(target);
  t.teardown(() => proxy.close());
  const connected = await Promise.all(
    names.map(async (name, n) => {
      const device = await UdpDevice.open(n === 0 ? proxy.address : target, { identity: utf8(name), key });
      // The last one says goodbye itself.
      if (n < devices - 1) t.teardown(() => device.vanish());
      await device.connect();
      await device.register({ endpoint: undefined, lifetime: 3600 });
      await device.update();
      return device;
    }),
  );

  for (const round of [1, 2]) {
    await server.end('SIGKILL');
    await server.restart('--coaps', server.coaps);
    t.equal(server.sessions, devices, `all sessions are there after kill ${round}`);
    await Promise.all(connected.map(device => device.update()));
  }
  // The first device's newest update once more, as somebody on the way may have kept it.
  const lastContact = async () =>
    (JSON.parse(await server.cli('device', 'show', names[0]!, '--json')) as { lastContact: string }).lastContact;
  await server.end('SIGKILL');
  await server.restart('--coaps', server.coaps);
  const before = await lastContact();
  proxy.send(proxy.fromClient.at(-1)!);
  await connected[1]!.update();
  t.equal(await lastContact(), before, 'a replayed update takes no effect');
  await connected[0]!.update();
  t.not(await lastContact(), before, 'the next one does');

  await connected.at(-1)!.close();
  await connected[1]!.update();
  await server.end('SIGKILL');
  await server.restart('--coaps', server.coaps);
  t.equal(server.sessions, devices - 1, 'a session that its device closed stays closed');
  await Promise.all(connected.slice(0, -1).map(device => device.update()));
  t.equal(await server.end('SIGTERM'), 0);
  t.equal(server.stopped?.dtls.established, 0, 'and nobody came with a handshake');
});
