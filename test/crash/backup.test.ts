import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { utf8 } from '../../src/base/bytes.ts';
import { UdpDevice } from '../../tools/load/udpDevice.ts';
import { rollcall } from '../support/cli.ts';
import { PlainClient } from '../support/plainClient.ts';
import { TestServer, targetOf } from '../support/server.ts';

const key = '30313233343536373839616263646566';

t.test('a backup that was taken under load would wake sessions, or be of no one moment', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  await server.cli('credential', 'add', 'device', '--key', key);
  const dtls = { identity: utf8('device'), key: utf8('0123456789abcdef') };
  const device = await UdpDevice.open(targetOf(server.coaps), dtls);
  await device.connect();
  await device.register({ endpoint: undefined, lifetime: 3600 });

  const client = await PlainClient.open(t, server.coap);
  const running = { until: false };
  const acknowledged: string[] = [];
  const load = Promise.all(
    Array.from({ length: 8 }, async (_, lane) => {
      for (let n = 0; !running.until; n++) {
        const name = `node-${lane}-${n}`;
        if ((await client.answer(client.register(`ep=${name}`, 'lwm2m=1.1'))) === '2.01') acknowledged.push(name);
      }
    }),
  );
  while (acknowledged.length < 50) await device.update();
  const before = [...acknowledged];
  const file = join(t.testdir(), 'store.mdb');
  const backup = await rollcall(['backup', file, '--data', server.data, '--json']);
  const after = acknowledged.length;
  running.until = true;
  await load;
  t.equal(backup.code, 0, backup.stderr);
  t.ok(after > before.length, `${after - before.length} devices registered meanwhile`);
  t.equal((await stat(file)).mode & 0o777, 0o600);
  t.same(await readdir(t.testdirName), ['store.mdb'], 'nothing is left beside it');
  const master = join(server.data, 'master.key');
  const masterKey = Buffer.from((await readFile(master, 'utf8')).trim(), 'hex');
  t.notOk((await readFile(file)).includes(masterKey), 'the key that opens it is not in it');

  await t.test('nothing is written over, neither by a backup nor by a restore', async t => {
    const again = await rollcall(['backup', file, '--data', server.data]);
    t.equal(again.code, 1);
    t.match(again.stderr, /exists already/);
    const there = await rollcall(['restore', file, '--data', server.data]);
    t.equal(there.code, 1);
    t.match(there.stderr, /there is a store/);
  });

  await t.test('without the key, or with another one, nothing is restored', async t => {
    const data = join(t.testdir(), 'new');
    const without = await rollcall(['restore', file, '--data', data]);
    t.match(without, { code: 1, stderr: /no master key in it: name its file with --master-key/ });
    const other = { ROLLCALL_MASTER_KEY: '00'.repeat(32) };
    const wrong = await rollcall(['restore', file, '--data', data], { env: other });
    t.match(wrong, { code: 1, stderr: /not the one that this backup was sealed under/ });
    t.same(await readdir(data), []);
  });

  const restored = await TestServer.create();
  t.teardown(() => restored.remove());
  const result = await rollcall(['restore', file, '--data', restored.data, '--master-key', master, '--json']);
  t.equal(result.code, 0, result.stderr);
  const told = JSON.parse(result.stdout) as { devices: number; complaints: unknown[] };
  t.same(told.complaints, [], 'every index agrees with every record');
  t.ok(told.devices > before.length);

  // The original goes on, and then the copy is put in its place.
  await device.update();
  await server.end('SIGKILL');
  await restored.restart('--insecure-coap', '--coaps', server.coaps);
  t.equal(restored.sessions, 0, 'no session wakes');
  const list = JSON.parse(await restored.cli('device', 'list', '--json')) as { endpoint: string }[];
  const names = new Set(list.map(({ endpoint }) => endpoint));
  t.same(
    before.filter(name => !names.has(name)),
    [],
    'whatever was acknowledged before the backup began is in it',
  );
  const unheard = await Promise.race([device.update().then(() => 'answered'), pause(1500, 'silence')]);
  t.equal(unheard, 'silence', 'what is sealed for the old session is not heard');
  await device.vanish();
  const again = await UdpDevice.open(targetOf(restored.coaps), dtls);
  t.teardown(() => again.vanish());
  await again.connect();
  await again.register({ endpoint: undefined, lifetime: 3600 });
  const doctor = await rollcall(['doctor', '--data', restored.data, '--json']);
  t.equal(doctor.code, 0, doctor.stdout);
});

function pause<Value>(milliseconds: number, value: Value): Promise<Value> {
  return new Promise(resolve => setTimeout(resolve, milliseconds, value).unref());
}
