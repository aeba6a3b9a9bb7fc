import { cp, rename, rm } from 'node:fs/promises';
import t from 'tap';
import { utf8 } from '../../src/base/bytes.ts';
import { type Target, UdpDevice } from '../../tools/load/udpDevice.ts';
import { rollcall } from '../support/cli.ts';
import { TestServer } from '../support/server.ts';

t.test('a copied store would wake sessions whose nonces the original has used', async t => {
  const server = await TestServer.start();
  t.teardown(() => server.remove());
  await server.cli('credential', 'add', 'device', '--identity', 'device', '--key', '30313233343536373839616263646566');
  const [host = '', port = ''] = server.coaps.split(':');
  const target: Target = { host, port: Number(port) };
  const dtls = { identity: utf8('device'), key: utf8('0123456789abcdef') };
  const device = await UdpDevice.open(target, dtls);
  await device.connect();
  await device.register({ endpoint: undefined, lifetime: 3600 });

  const second = await rollcall(['serve', '--data', server.data, '--coap', 'off', '--coaps', '127.0.0.1:0']);
  t.equal(second.code, 1, 'nor does a second server serve from the directory');
  t.match(second.stderr, /another server uses/);

  await server.end('SIGKILL');
  const backup = `${server.data}-backup`;
  t.teardown(() => rm(backup, { recursive: true, force: true }));
  await cp(server.data, backup, { recursive: true });
  await server.restart('--coaps', server.coaps);
  t.equal(server.sessions, 1);
  await device.update();
  await device.vanish();
  await server.end('SIGKILL');

  // The backup is put back: it knows nothing of the numbers that were used since.
  await rm(server.data, { recursive: true });
  await rename(backup, server.data);
  const { code, stderr } = await rollcall(['serve', '--data', server.data, '--coap', 'off', '--coaps', '127.0.0.1:0']);
  t.equal(code, 1);
  t.match(stderr, /copied or restored.*--drop-sessions/);
  await server.restart('--coaps', server.coaps, '--drop-sessions');
  t.equal(server.sessions, 0);
  const again = await UdpDevice.open(target, dtls);
  t.teardown(() => again.vanish());
  await again.connect();
  await again.register({ endpoint: undefined, lifetime: 3600 });
  await server.end('SIGKILL');
  await server.restart('--coaps', server.coaps);
  t.equal(server.sessions, 1, 'from then on it is the original');
});
