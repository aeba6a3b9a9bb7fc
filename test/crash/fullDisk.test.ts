import t from 'tap';
import { PlainClient, pause } from '../support/plainClient.ts';
import { TestServer } from '../support/server.ts';
import { smallDisk } from '../support/smallDisk.ts';

const megabytes = 2 ** 20;

t.test('a disk that is full would end the server, or have it promise what it cannot keep', async t => {
  const disk = await smallDisk(t, 16 * megabytes);
  if (disk === undefined) return;
  t.comment(`the disk is ${disk.kind}`);
  const server = TestServer.in(disk.directory);
  t.teardown(() => server.remove());
  server.environment = disk.environment;
  await server.restart('--insecure-coap');
  const client = await PlainClient.open(t, server.coap);
  const known: string[] = [];
  const register = async (prefix: string, count: number): Promise<Map<string, number>> => {
    const codes = new Map<string, number>();
    const names = Array.from({ length: count }, (_, n) => `${prefix}-${n}`);
    const asked = names.map(name => [name, client.register(`ep=${name}`, 'lwm2m=1.1')] as const);
    for (const [name, id] of asked) {
      const code = (await client.answer(id, 10_000)) ?? 'silence';
      if (code === '2.01') known.push(name);
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    return codes;
  };
  t.same([...(await register('before', 50))], [['2.01', 50]]);

  for (const round of [1, 2]) {
    await disk.fill();
    // What is left of the file takes some: the rest is put off.
    let refused = 0;
    for (let wave = 0; wave < 10 && refused === 0; wave++) {
      const codes = await register(`full-${round}-${wave}`, 100);
      refused = codes.get('5.03') ?? 0;
      t.same(
        [...codes.keys()].filter(code => code !== '2.01' && code !== '5.03'),
        [],
        'nobody is left without an answer',
      );
    }
    t.ok(refused > 0, `${refused} are put off`);
    await disk.empty();
    await pause(200);
    t.same([...(await register(`after-${round}`, 50))], [['2.01', 50]], 'with room it goes on by itself');
  }
  t.ok(server.log.some(({ msg, reason }) => msg === 'request put off' && reason === 'store-failed'));
  t.ok(
    server.log.some(({ msg }) => msg === 'store'),
    'the log has the reason',
  );
  t.ok(server.log.length < 500, `and is not flooded: ${server.log.length} lines`);

  await disk.fill();
  await register('at-the-end', 400);
  await server.end('SIGKILL');
  await disk.empty();
  await server.restart('--insecure-coap');
  const devices = JSON.parse(await server.cli('device', 'list', '--json')) as { endpoint: string }[];
  const names = new Set(devices.map(({ endpoint }) => endpoint));
  t.same(
    known.filter(name => !names.has(name)),
    [],
    `all ${known.length} that were acknowledged are there after a kill with a full disk`,
  );
});
