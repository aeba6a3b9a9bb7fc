import t from 'tap';
import { noBytes, utf8 } from '../../src/base/bytes.ts';
import { type Target, UdpDevice } from '../../tools/load/udpDevice.ts';
import { TestServer } from '../support/server.ts';
import { UdpProxy } from '../support/udpProxy.ts';

const key = utf8('0123456789abcdef');

t.test('a device behind a NAT that gives it another port goes on, and the server knows it by the new one', async t => {
  const server = await TestServer.start();
  t.teardown(() => server.remove());
  const [host = '', port = ''] = server.coaps.split(':');
  const target: Target = { host, port: Number(port) };
  for (const returnRoutability of [true, false]) {
    const name = returnRoutability ? 'with-path-challenge' : 'with-ping';
    await server.cli('credential', 'add', name, '--identity', name, '--key', '30313233343536373839616263646566');
    const proxy = await UdpProxy.open(target);
    t.teardown(() => proxy.close());
    const device = await UdpDevice.open(proxy.address, { identity: utf8(name), key, cid: noBytes, returnRoutability });
    t.teardown(() => device.vanish());
    await device.connect();
    await device.register({ endpoint: undefined, lifetime: 3600 });
    for (let rebinding = 0; rebinding < 3; rebinding++) {
      await proxy.rebind();
      // The first is answered at once, though the address is not proved; the second comes from where the device is known.
      await device.update();
      await device.update();
    }
  }
  t.equal(await server.end('SIGTERM'), 0);
  const { established, moved, noAssociation } = server.stopped!.dtls;
  t.strictSame({ established, moved, noAssociation }, { established: 2, moved: 6, noAssociation: 0 });
  t.strictSame(server.stopped!.intake, { loopBehind: 0, storeBehind: 0 }, 'and no hello found its line full');
});
