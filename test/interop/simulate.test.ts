import t from 'tap';
import { TestServer } from '../support/server.ts';
import { runTool } from '../support/tool.ts';

t.test('a simulated fleet registers over real UDP', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(async () => {
    await server.end('SIGTERM');
    await server.remove();
  });

  await t.test('with our device over DTLS', async t => {
    const run = await runTool(
      'simulate',
      '--devices',
      '40',
      '--server',
      `coaps://${server.coaps}`,
      '--data',
      server.data,
      '--json',
    );
    t.equal(run.code, 0, run.stderr);
    t.match(JSON.parse(run.stdout), { registered: 40, failed: 0 });
    const devices = JSON.parse(await server.cli('device', 'list', '--json')) as { endpoint: string; state: string }[];
    t.equal(devices.filter(({ endpoint, state }) => endpoint.startsWith('sim-') && state === 'registered').length, 40);
  });

  await t.test('with node-coap over node-dtls-client, which nobody here wrote', async t => {
    const run = await runTool(
      'simulate',
      '--devices',
      '10',
      '--server',
      `coaps://${server.coaps}`,
      '--data',
      server.data,
      '--stack',
      'independent',
      '--prefix',
      'foreign',
      '--json',
    );
    t.equal(run.code, 0, run.stderr);
    const devices = JSON.parse(await server.cli('device', 'list', '--json')) as { endpoint: string; state: string }[];
    t.equal(
      devices.filter(({ endpoint, state }) => endpoint.startsWith('foreign-') && state === 'registered').length,
      10,
    );
  });

  await t.test('over plain CoAP where the server allows it', async t => {
    const run = await runTool(
      'simulate',
      '--devices',
      '10',
      '--server',
      `coap://${server.coap}`,
      '--prefix',
      'plain',
      '--json',
    );
    t.equal(run.code, 0, run.stderr);
    t.match(JSON.parse(run.stdout), { registered: 10 });
  });

  await t.test('and says by reason what failed', async t => {
    const run = await runTool(
      'simulate',
      '--devices',
      '3',
      '--server',
      `coap://${server.coap}`,
      '--prefix',
      'sim',
      '--json',
    );
    t.equal(run.code, 1);
    const { failed, failures } = JSON.parse(run.stdout) as { failed: number; failures: Record<string, number> };
    t.equal(failed, 3, 'their names have credentials');
    t.match(Object.keys(failures)[0], /^register: 4\.0/);
  });
});
