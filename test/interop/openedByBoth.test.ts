import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Bytes } from '../../src/base/bytes.ts';
import { allCipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { ContentType } from '../../src/dtls/codec/record.ts';
import { keyLogLine } from '../../src/dtls/keyLog.ts';
import { KeyLogOpener } from '../../tools/decode/keyLog.ts';
import { missing, Program } from '../support/dtlsPeers.ts';
import { freePort, testIdentity, testKeyHex, UdpServer } from '../support/dtlsUdp.ts';
import { recordsOf } from '../support/handshakePair.ts';
import { UdpProxy } from '../support/udpProxy.ts';

const noOpenssl = missing('openssl');

/** As OpenSSL calls them: those that both sides of a session of its own can speak. */
const ciphers = [
  'PSK-AES128-CCM8',
  'PSK-AES128-CCM',
  'PSK-AES256-CCM8',
  'PSK-AES256-CCM',
  'PSK-AES128-GCM-SHA256',
  'PSK-AES256-GCM-SHA384',
  'PSK-AES128-CBC-SHA256',
  'ECDHE-PSK-AES128-CBC-SHA256',
];

t.test('what two OpenSSL say to each other we open with the key log of OpenSSL', { skip: noOpenssl }, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const cipher of ciphers) {
    const log = join(folder, cipher);
    const port = await freePort();
    const server = openssl(`s_server -accept 127.0.0.1:${port} -nocert`, cipher);
    await server.printed(/ACCEPT/);
    const proxy = await UdpProxy.open({ host: '127.0.0.1', port });
    const client = openssl(`s_client -connect 127.0.0.1:${proxy.address.port} -keylogfile ${log}`, cipher);
    await client.printed(/Verify return code|Extended master secret/);
    client.say('hello from the client\n');
    await server.printed(/hello from the client/);
    server.say('and hello from the server\n');
    await client.printed(/and hello from the server/);
    await client.finish();
    await server.kill();
    proxy.close();
    const said = ['client hello from the client\n', 'server and hello from the server\n'];
    t.strictSame(opened(proxy.passed, await readFile(log, 'utf8')), { texts: said, closed: 0 }, cipher);
  }
});

t.test('one session is the same opened with the key log of OpenSSL and with ours', { skip: noOpenssl }, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const cipher of ciphers) {
    const log = join(folder, cipher);
    let ours = '';
    const keyLog = { secret: (random: Bytes, secret: Bytes) => void (ours += keyLogLine(random, secret)) };
    const server = await UdpServer.open({ suites: allCipherSuites, keyLog });
    const client = openssl(`s_client -connect 127.0.0.1:${server.port} -keylogfile ${log}`, cipher);
    client.say('hello from openssl\n');
    await client.printed(/HELLO FROM OPENSSL/);
    await client.finish();
    await server.until(() => server.closed.length > 0);
    server.close();
    const theirs = await readFile(log, 'utf8');
    t.match(theirs.toLowerCase(), ours.trim().toLowerCase(), `${cipher}: one master secret`);
    const said = { texts: ['client hello from openssl\n', 'server HELLO FROM OPENSSL\n'], closed: 0 };
    t.strictSame(opened(server.datagrams, theirs), said, cipher);
    t.strictSame(opened(server.datagrams, ours), said, cipher);
  }
});

/** What was said, by whom; and how many protected records stayed closed. */
function opened(
  passed: readonly { from: 'client' | 'server'; datagram: Bytes }[],
  keyLog: string,
): { texts: string[]; closed: number } {
  const opener = new KeyLogOpener(keyLog);
  const texts: string[] = [];
  let closed = 0;
  for (const { from, datagram } of passed) {
    const bytes = new Uint8Array(datagram);
    const open = opener.datagram(from, from === 'client' ? 'server' : 'client', bytes, 8);
    for (const record of recordsOf(bytes)) {
      if (record.epoch === 0) continue;
      const inside = open(record);
      if (inside === undefined) closed++;
      else if (inside.type === ContentType.applicationData) {
        texts.push(`${from} ${new TextDecoder().decode(inside.plaintext)}`);
      }
    }
  }
  return { texts, closed };
}

function openssl(args: string, cipher: string): Program {
  const psk = `-psk_identity ${testIdentity} -psk ${testKeyHex}`;
  return new Program('openssl', `${args} -dtls1_2 ${psk} -cipher ${cipher}`.split(' '));
}
