import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Summary } from '../../tools/simulate/summary.ts';
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
      'simulate/main',
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
      'simulate/main',
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
      'simulate/main',
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

  for (const [what, sockets, url] of [
    ['each on a socket of its own', [], `coaps://${server.coaps}`],
    ['on few sockets that they share', ['--sockets', '5'], `coaps://${server.coaps}`],
    ['over plain CoAP', [], `coap://${server.coap}`],
  ] as const) {
    await t.test(`devices that live and move would not hear the answers to their updates, ${what}`, async t => {
      const mix = join(t.testdir(), 'mix.yaml');
      await writeFile(mix, '- { share: 1, update: 1, roam: 2 }\n');
      const names = ['--data', server.data, '--prefix', what.replaceAll(' ', '-')];
      const life = ['--mix', mix, '--duration', '6', '--json'];
      const run = await runTool('simulate/main', '--devices', '10', '--server', url, ...names, ...life, ...sockets);
      t.equal(run.code, 0, run.stderr);
      const { latencies, moves, failed } = JSON.parse(run.stdout) as Summary;
      t.ok(moves >= 10, `${moves} moves`);
      t.ok(latencies.update!.count >= 20, `${latencies.update!.count} updates were answered`);
      t.equal(failed, 0);
    });
  }

  await t.test('and says by reason what failed', async t => {
    const run = await runTool(
      'simulate/main',
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

  await t.test(
    'a fleet that lives, on fewer sockets than devices: updates, moves, and keys that are wrong',
    async t => {
      const mix = join(server.data, 'mix.yaml');
      await writeFile(
        mix,
        '- { share: 6, update: 1, roam: 1 }\n- { share: 2, update: 1, loss: 0.05 }\n- { share: 2, like: wrong-key }',
      );
      const fleet = [
        '--devices',
        '50',
        '--sockets',
        '10',
        '--mix',
        mix,
        '--duration',
        '4',
        '--prefix',
        'lively',
        '--json',
      ];
      const where = ['--server', `coaps://${server.coaps}`, '--data', server.data];
      const run = await runTool('simulate/main', ...fleet, ...where);
      t.equal(run.code, 0, run.stderr);
      const summary = JSON.parse(run.stdout) as Summary;
      t.ok(summary.registered >= 40, `${summary.registered} registered`);
      t.ok((summary.latencies.update?.count ?? 0) >= 40, 'updates were answered');
      t.ok(summary.moves >= 20, 'devices moved to other addresses');
      t.ok(
        (summary.failures['session: alert badRecordMac'] ?? 0) >= 10,
        'who has the wrong key is told no more than that',
      );
    },
  );
});
