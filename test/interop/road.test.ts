import { execFile } from 'node:child_process';
import t from 'tap';
import { TestServer } from '../support/server.ts';
import { isInstalled } from '../support/tool.ts';

const peer = 'coap-client-openssl';
const keyText = 'sixteen byte key';
const keyHex = Buffer.from(keyText).toString('hex');

/** The tool's exit code says nothing: what counts is the code of the answer that it prints. */
function post(identity: string, key: string, uri: string, payload: string): Promise<string> {
  const args = ['-v', '6', '-B', '3', '-m', 'post', '-u', identity, '-k', key, '-t', '40', '-e', payload, uri];
  return new Promise(resolve => {
    execFile(peer, args, { timeout: 15_000 }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}

t.test('a device with libcoap registers over DTLS and is there after kill -9', async t => {
  if (!(await isInstalled(t, peer, 'libcoap3-bin'))) return;
  const server = await TestServer.start();
  t.teardown(() => server.remove());
  await server.cli('credential', 'add', 'node-1', '--key', keyHex);
  const rd = `coaps://${server.coaps}/rd`;

  const registered = await post('node-1', keyText, `${rd}?lwm2m=1.1&lt=300&b=U`, '</1/0>,</3/0>');
  t.match(registered, /c:2\.01/);
  const location = /Location-Path:rd, Location-Path:([\w-]{11})/.exec(registered)?.[1];
  t.ok(location);

  await t.test('and with a wrong key it does not', async t => {
    t.notMatch(await post('node-1', 'another key 16 b', rd, ''), /c:[245]\./);
  });
  await t.test('and for the name of another device it is refused', async t => {
    t.match(await post('node-1', keyText, `${rd}?ep=node-2&lwm2m=1.1`, '</3/0>'), /c:4\.00/);
  });

  await server.end('SIGKILL');
  await server.restart();
  const device = JSON.parse(await server.cli('device', 'show', 'node-1', '--json')) as Record<string, unknown>;
  t.match(device, { endpoint: 'node-1', state: 'registered', registrationId: location, lifetime: 300, lwm2m: '1.1' });

  await t.test('and its update finds the registration again', async t => {
    t.match(await post('node-1', keyText, `coaps://${server.coaps}/rd/${location}?lt=600`, ''), /c:2\.04/);
  });
  const updated = JSON.parse(await server.cli('device', 'show', 'node-1', '--json')) as Record<string, unknown>;
  t.equal(updated.lifetime, 600);

  await t.test('and with --strict-parameters it may say nothing that LwM2M does not know', async t => {
    await server.end('SIGTERM');
    await server.restart('--strict-parameters');
    const rd = `coaps://${server.coaps}/rd`;
    t.match(await post('node-1', keyText, `${rd}?lwm2m=1.1&site=north`, '</3/0>'), /c:4\.00/);
    t.match(await post('node-1', keyText, `${rd}?lwm2m=1.1`, '</3/0>'), /c:2\.01/);
  });
  t.equal(await server.end('SIGTERM'), 0);
});
