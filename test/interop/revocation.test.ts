import t from 'tap';
import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { Administration } from '../../src/adapters/lmdbAdmin.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import type { EndpointName } from '../../src/fleet/names.ts';
import { type Target, UdpDevice } from '../../tools/load/udpDevice.ts';
import { TestServer } from '../support/server.ts';
import { UdpProxy } from '../support/udpProxy.ts';

const key = utf8('0123456789abcdef');
const devices = 10;

t.test('a revoked credential would keep its session until the server looks', async t => {
  const server = await TestServer.start();
  t.teardown(() => server.remove());
  const { environment, keyring } = await openDataDirectory(server.data, false);
  t.teardown(() => environment.root.close());
  const administration = new Administration(environment, keyring);
  const [host = '', port = ''] = server.coaps.split(':');
  const target: Target = { host, port: Number(port) };
  const delays: number[] = [];
  for (let n = 0; n < devices; n++) {
    const endpoint = `device-${n}` as EndpointName;
    const identity = utf8(endpoint);
    await administration.add(Date.now() as WallTime, [{ endpoint, sector: undefined, identity, key }]);
    const proxy = await UdpProxy.open(target);
    t.teardown(() => proxy.close());
    const device = await UdpDevice.open(proxy.address, { identity, key });
    t.teardown(() => device.vanish());
    await device.connect();
    await device.register({ endpoint: undefined, lifetime: 3600 });
    const before = proxy.fromServer.length;
    await administration.revoke(Date.now() as WallTime, endpoint, undefined, undefined);
    const start = performance.now();
    while (proxy.fromServer.length === before && performance.now() - start < 5000) {
      await new Promise(resolve => setImmediate(resolve));
    }
    delays.push(performance.now() - start);
    const again = await UdpDevice.open(proxy.address, { identity, key });
    t.teardown(() => again.vanish());
    await t.rejects(again.connect(), /badRecordMac/, 'and it opens nothing any more');
  }
  delays.sort((a, b) => a - b);
  const median = delays[devices / 2]!;
  t.ok(median < 100, `close_notify after ${median.toFixed(1)} ms; all: ${delays.map(ms => ms.toFixed(1)).join(' ')}`);
  t.equal(await server.end('SIGTERM'), 0);
  t.equal(server.stopped!.counters.closed?.revoked, devices);
  t.equal(server.stopped!.counters.handshakeFaults?.revoked, devices, 'the operator is told why it fails');
  const listed = JSON.parse(await server.cli('handshakes', '--json')) as { identity: string; reason: string }[];
  t.strictSame(
    listed.map(({ identity, reason }) => [identity, reason]),
    Array.from({ length: devices }, (_, n) => [`device-${devices - 1 - n}`, 'revoked']),
    'newest first',
  );
});
