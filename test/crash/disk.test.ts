import t from 'tap';
import { faultyDisk } from '../support/faultyDisk.ts';
import { PlainClient, pause } from '../support/plainClient.ts';
import { TestServer } from '../support/server.ts';

t.test('no 2.01 leaves before the disk has it, and no empty acknowledgement either', async t => {
  const disk = await faultyDisk(t);
  if (disk === undefined) return;
  const server = await TestServer.create();
  t.teardown(() => server.remove());
  server.environment = disk.environment;
  await server.restart('--insecure-coap');
  const client = await PlainClient.open(t, server.coap);
  const first = client.register('ep=before', 'lwm2m=1.1');
  t.equal(await client.answer(first), '2.01');
  const location = client.received[0];

  await disk.hold(true);
  const ids = Array.from({ length: 20 }, (_, n) => client.register(`ep=node-${n}`, 'lwm2m=1.1'));
  // Again, as a client does that hears nothing.
  client.request({ messageId: ids[0]! });
  await pause(1200);
  t.equal(client.received.length, 1, 'nothing is acknowledged while the disk is busy');

  await t.test('what was durable is killed with what was not, and the promise that was made is kept', async t => {
    await server.end('SIGKILL');
    await disk.hold(false);
    await server.restart('--insecure-coap');
    await client.reconnect(server.coap);
    const devices = JSON.parse(await server.cli('device', 'list', '--json')) as { endpoint: string }[];
    t.ok(devices.some(({ endpoint }) => endpoint === 'before'));
    t.ok(location);
  });

  await disk.hold(true);
  const again = Array.from({ length: 20 }, (_, n) => client.register(`ep=node-${n}`, 'lwm2m=1.1'));
  await pause(700);
  t.equal(client.received.length, 1);
  await disk.hold(false);
  for (const id of again) t.equal(await client.answer(id), '2.01');
  t.equal(client.received.length, 21, 'each is answered once');
});

t.test('what the disk refuses is put off and never acknowledged, and the server lives on', async t => {
  const disk = await faultyDisk(t);
  if (disk === undefined) return;
  const server = await TestServer.create();
  t.teardown(() => server.remove());
  server.environment = disk.environment;
  await server.restart('--insecure-coap');
  const client = await PlainClient.open(t, server.coap);
  t.equal(await client.answer(client.register('ep=before', 'lwm2m=1.1')), '2.01');

  for (const [what, set] of [
    ['full', (on: boolean) => disk.full(on)],
    ['broken', (on: boolean) => disk.failSyncs(on)],
  ] as const) {
    await set(true);
    const ids = Array.from({ length: 10 }, (_, n) => client.register(`ep=${what}-${n}`, 'lwm2m=1.1'));
    for (const id of ids) t.equal(await client.answer(id), '5.03', `the disk is ${what}`);
    await pause(300);
    await set(false);
    t.equal(await client.answer(client.register(`ep=after-${what}`, 'lwm2m=1.1')), '2.01', `no more ${what}`);
  }
  const reasons = server.log.filter(({ msg }) => msg === 'request put off');
  t.match(reasons[0], { reason: 'store-failed' });
  t.ok(server.log.length < 200, 'and the log is not flooded');

  await server.end('SIGKILL');
  await server.restart('--insecure-coap');
  const devices = JSON.parse(await server.cli('device', 'list', '--json')) as { endpoint: string }[];
  const names = devices.map(({ endpoint }) => endpoint);
  for (const name of ['before', 'after-full', 'after-broken']) t.ok(names.includes(name), name);
});
