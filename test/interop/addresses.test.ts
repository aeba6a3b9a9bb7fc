import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import t from 'tap';
import { fromHex } from '../../src/base/bytes.ts';
import { pause } from '../support/plainClient.ts';
import { TestServer } from '../support/server.ts';

t.test('an answer comes from the address that was asked, whichever of ours it is', async t => {
  const server = await TestServer.create();
  t.teardown(() => server.remove());
  await server.restart('--coap', '0.0.0.0:0', '--coaps', '0.0.0.0:0');
  const port = Number(server.coap.split(':').at(-1));
  t.ok(port > 0, 'one port, on all addresses');
  const addresses = Object.values(networkInterfaces()).flatMap(found =>
    (found ?? []).filter(({ family }) => family === 'IPv4').map(({ address }) => address),
  );
  for (const from of addresses) {
    for (const to of addresses) {
      const client = createSocket('udp4');
      client.on('error', () => undefined);
      client.bind(0, from);
      await once(client, 'listening');
      const heard: string[] = [];
      client.on('message', (_, { address }) => heard.push(address));
      // A ping, which is answered by RST.
      client.send(fromHex('40000001')!, port, to);
      for (let waited = 0; heard.length === 0 && waited < 100; waited++) await pause(10);
      t.same(heard, [to], `${from} asks ${to}`);
      client.close();
    }
  }
});
