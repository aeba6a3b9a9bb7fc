import { execFile } from 'node:child_process';
import coap from 'coap';
import t, { type Test } from 'tap';
import { TestServer } from '../support/server.ts';
import { isInstalled } from '../support/tool.ts';

const libcoap = 'coap-client-notls';

/** The tool's exit code says nothing: what counts is the code of the answer that it prints. */
function ask(method: string, uri: string, ...args: readonly string[]): Promise<string> {
  return new Promise(resolve => {
    execFile(
      libcoap,
      ['-v', '6', '-B', '3', '-m', method, ...args, uri],
      { timeout: 15_000 },
      (_error, stdout, stderr) => resolve(stdout + stderr),
    );
  });
}

t.test('a device with libcoap lives its life on plain CoAP', async t => {
  if (!(await isInstalled(t, libcoap, 'libcoap3-bin'))) return;
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const base = `coap://${server.coap}`;
  t.match(await ask('get', `${base}/.well-known/core?rt=core.rd*`), /<\/rd>;rt="?core\.rd/);
  t.match(await ask('get', `${base}/nowhere`), /c:4\.04/);

  const registered = await ask('post', `${base}/rd?ep=lib&lwm2m=1.1&lt=300`, '-t', '40', '-e', '</1/0>,</3/0>');
  t.match(registered, /c:2\.01/);
  const location = /Location-Path:rd, Location-Path:([\w-]{11})/.exec(registered)?.[1];
  t.match(await ask('post', `${base}/rd/${location}?lt=600`), /c:2\.04/);
  t.match(await shown(server, 'lib'), { state: 'registered', registrationId: location, lifetime: 600 });

  await t.test('a long list of links comes in blocks', async t => {
    const links = Array.from({ length: 60 }, (_, n) => `</3303/${n}>`).join(',');
    const answer = await ask('post', `${base}/rd?ep=long&lwm2m=1.1`, '-t', '40', '-b', '64', '-e', links);
    t.match(answer, /Block1:10\/_\/64/, 'eleven of them');
    t.match(answer, /c:2\.01/);
    const { description } = await shown(server, 'long');
    t.equal(description?.objects[0]?.instances.length, 60);
  });

  await t.test('a Non-confirmable registration is answered too', async t => {
    t.match(await ask('post', `${base}/rd?ep=non&lwm2m=1.1`, '-N', '-t', '40', '-e', '</3/0>'), /c:2\.01/);
  });

  t.match(await ask('delete', `${base}/rd/${location}`), /c:2\.02/);
  t.match(await ask('post', `${base}/rd/${location}`), /c:4\.04/);
  t.match(await shown(server, 'lib'), { state: 'none' });
});

t.test('a device with node-coap lives its life on plain CoAP', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const send = nodeCoap(t, server);
  const core = await send('GET', '/.well-known/core', 'rt=core.rd');
  t.match(core.payload.toString(), /<\/rd>/);
  const registered = await send('POST', '/rd', 'ep=node&lwm2m=1.1&lt=300', '</1/0>,</3/0>');
  t.equal(registered.code, '2.01');
  const segments = (registered as unknown as WithOptions).options
    .filter(({ name }) => name === 'Location-Path')
    .map(({ value }) => String(value));
  const location = `/${segments.join('/')}`;
  t.match(location, /^\/rd\/[\w-]{11}$/);
  t.equal((await send('POST', location, 'lt=600')).code, '2.04');
  t.match(await shown(server, 'node'), { state: 'registered', lifetime: 600 });
  t.equal((await send('POST', '/rd', 'lwm2m=1.1')).code, '4.00');
  t.equal((await send('DELETE', location, '')).code, '2.02');
  t.equal((await send('POST', location, '')).code, '4.04');
});

t.test('two devices of one name are two in two sectors, and are told apart', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const send = nodeCoap(t, server);
  for (const query of ['ep=lamp&lt=600', 'ep=lamp&d=floor-1&lt=700']) {
    t.equal((await send('POST', '/rd', query, '</3/0>')).code, '2.01');
  }
  t.match(await server.cli('device', 'list'), /^lamp +registered.*\nlamp \(floor-1\) +registered/m);
  t.match(await shown(server, 'lamp'), { lifetime: 600, sector: undefined });
  t.match(await shown(server, 'lamp', '--sector', 'floor-1'), { lifetime: 700, sector: 'floor-1' });
  t.match(await server.cli('device', 'events', 'lamp', '--sector', 'floor-1'), /registered +lamp \(floor-1\)/);
  await t.rejects(server.cli('device', 'show', 'lamp', '--sector', 'floor-2'), /no device lamp in sector floor-2/);
  await server.cli('device', 'forget', 'lamp', '--sector', 'floor-1');
  t.match(await shown(server, 'lamp'), { state: 'registered' });
  t.match(await shown(server, 'lamp', '--sector', 'floor-1'), { state: 'none' });
});

t.test('without --insecure-coap plain CoAP answers discovery and registers nobody', async t => {
  const server = await TestServer.start();
  t.teardown(() => server.remove());
  if (!(await isInstalled(t, libcoap, 'libcoap3-bin'))) return;
  const base = `coap://${server.coap}`;
  t.match(await ask('get', `${base}/.well-known/core`), /<\/rd>/);
  t.match(await ask('post', `${base}/rd?ep=x&lwm2m=1.1`, '-t', '40', '-e', '</3/0>'), /c:4\.01/);
  t.equal(await server.cli('device', 'list', '--json'), '[]\n');
});

/** A client that nobody here wrote, in this process. */
function nodeCoap(t: Test, server: TestServer) {
  const [hostname = '', port = ''] = server.coap.split(':');
  const agent = new coap.Agent({ type: 'udp4' });
  t.teardown(() => agent.close());
  return (method: 'GET' | 'POST' | 'DELETE', pathname: string, query: string, payload = '') =>
    new Promise<coap.IncomingMessage>((resolve, reject) => {
      const request = coap.request({ hostname, port: Number(port), method, pathname, query, agent });
      if (payload !== '') request.setOption('Content-Format', 'application/link-format');
      request.on('response', resolve);
      request.on('error', reject);
      request.end(payload);
    });
}

async function shown(server: TestServer, name: string, ...options: readonly string[]): Promise<Shown> {
  return JSON.parse(await server.cli('device', 'show', name, ...options, '--json')) as Shown;
}

/** What node-coap's types leave out: its headers have only the last value of an option. */
interface WithOptions {
  readonly options: readonly { readonly name: string; readonly value: Buffer }[];
}

interface Shown {
  readonly state: string;
  readonly sector?: string;
  readonly registrationId?: string;
  readonly lifetime?: number;
  readonly description?: { readonly objects: readonly { readonly instances: readonly number[] }[] };
}
