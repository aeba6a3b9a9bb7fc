import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { utf8 } from '../../src/base/bytes.ts';
import { UdpDevice } from '../../tools/load/udpDevice.ts';
import { captureOf } from '../support/capture.ts';
import { TestServer } from '../support/server.ts';
import { isInstalled, runTool } from '../support/tool.ts';
import { UdpProxy } from '../support/udpProxy.ts';

const key = utf8('sixteen byte key');

t.test('a captured registration is read with the key log of the server, by our tool and by others', async t => {
  const server = await TestServer.create();
  t.teardown(() => server.remove());
  const keys = join(server.data, 'keys.log');
  // Whoever made it before us: nobody else reads it afterwards.
  await writeFile(keys, '# of the test bench\n', { mode: 0o644 });
  await server.restart('--dangerous-key-log', keys);
  t.match(server.log, [{ msg: 'DANGEROUS: key log' }], 'it is said loudly');
  await server.cli('credential', 'add', 'node-1', '--key', Buffer.from(key).toString('hex'));
  const [host = '', port = ''] = server.coaps.split(':');
  const proxy = await UdpProxy.open({ host, port: Number(port) });
  t.teardown(() => proxy.close());
  const device = await UdpDevice.open(proxy.address, { identity: utf8('node-1'), key });
  await device.connect();
  await device.register({ endpoint: undefined, lifetime: 7777 });
  await device.close();
  t.equal((await stat(keys)).mode & 0o777, 0o600);
  t.match(await readFile(keys, 'utf8'), /^# of the test bench\nCLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}\n$/);
  const file = join(server.data, 'device.pcap');
  await writeFile(file, captureOf(proxy.passed));

  const without = await runTool('decode', file);
  t.notMatch(without.stdout, 'Location-Path');
  const told = await runTool('decode', file, '--key-log', keys);
  t.equal(told.code, 0);
  t.match(
    told.stdout,
    /finished, message_seq 3[\s\S]*CoAP CON POST[\s\S]*Uri-Path rd[\s\S]*CoAP ACK 2\.01[\s\S]*Location-Path rd/,
  );
  t.notMatch(told.stdout, /^ +protected$/m, 'nothing is left closed');
  const wrong = await runTool('decode', file, '--key-log', file);
  t.match([wrong.code, wrong.stderr], [1, /no CLIENT_RANDOM/]);

  if (!(await isInstalled(t, 'tshark', 'tshark', false))) return;
  const fields = ['-Y', 'coap', '-T', 'fields', '-e', 'coap.code', '-e', 'coap.opt.uri_path'];
  const { stdout } = await promisify(execFile)('tshark', ['-o', `tls.keylog_file:${keys}`, '-r', file, ...fields]);
  t.match(stdout, /^2\trd\n65/m, 'POST /rd, 2.01');
});
