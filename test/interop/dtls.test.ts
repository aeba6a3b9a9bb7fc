import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { allCipherSuites, type CipherSuite, pskSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { missing, Program } from '../support/dtlsPeers.ts';
import { askOverUdp, freePort, testIdentity, testKeyHex, UdpServer } from '../support/dtlsUdp.ts';

const noOpenssl = missing('openssl');
const noGnutls = missing('gnutls-cli');

const openssl = (port: number, cipher: string, more = '', key = testKeyHex): Program =>
  run(
    'openssl',
    `s_client -dtls1_2 -connect 127.0.0.1:${port} -psk_identity ${testIdentity} -psk ${key} -cipher ${cipher} ${more}`,
  );

const gnutls = (port: number, cipher: string, more = '', options = ''): Program =>
  run(
    'gnutls-cli',
    `--udp ${options} -p ${port} --pskusername ${testIdentity} --pskkey ${testKeyHex} --priority ` +
      `NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+${cipher}:-MAC-ALL:+AEAD${more} 127.0.0.1`,
  );

const gnutlsCbc = (port: number, exchange: string, group: string): Program =>
  run(
    'gnutls-cli',
    `--udp -p ${port} --pskusername ${testIdentity} --pskkey ${testKeyHex} --priority ` +
      `NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:${exchange}:-CIPHER-ALL:+AES-128-CBC:-MAC-ALL:+SHA256:-GROUP-ALL:+${group} 127.0.0.1`,
  );

/** The suites, and how the others call them. */
const names: readonly { id: number; openssl: string; gnutls: string }[] = [
  { id: 0xc0a8, openssl: 'PSK-AES128-CCM8', gnutls: 'AES-128-CCM-8' },
  { id: 0xc0a4, openssl: 'PSK-AES128-CCM', gnutls: 'AES-128-CCM' },
  { id: 0xc0a9, openssl: 'PSK-AES256-CCM8', gnutls: 'AES-256-CCM-8' },
  { id: 0xc0a5, openssl: 'PSK-AES256-CCM', gnutls: 'AES-256-CCM' },
  { id: 0x00a8, openssl: 'PSK-AES128-GCM-SHA256', gnutls: 'AES-128-GCM' },
  { id: 0x00a9, openssl: 'PSK-AES256-GCM-SHA384', gnutls: 'AES-256-GCM' },
];
/** Neither program has an AEAD suite with ECDHE_PSK: the key exchange is checked with CBC, and CBC with it. */
const cbcNames: typeof names = [
  { id: 0x00ae, openssl: 'PSK-AES128-CBC-SHA256', gnutls: '+PSK' },
  { id: 0xc037, openssl: 'ECDHE-PSK-AES128-CBC-SHA256', gnutls: '+ECDHE-PSK' },
];
const suiteOf = (id: number): CipherSuite => allCipherSuites.find(suite => suite.id === id)!;

t.test(
  'OpenSSL connects with each suite, is understood, is answered, and says goodbye',
  { skip: noOpenssl },
  async t => {
    for (const { id, openssl: cipher } of names) {
      const server = await UdpServer.open();
      const client = openssl(server.port, cipher);
      client.say('hello from openssl\n');
      await client.printed(/HELLO FROM OPENSSL/);
      t.match(client.output, /Extended master secret: yes/i, `${cipher}: extended master secret`);
      t.match(client.output, /Secure Renegotiation IS supported/, `${cipher}: secure renegotiation`);
      await client.finish();
      await server.until(() => server.closed.length > 0);
      t.equal(server.verified[0]!.suite, suiteOf(id), cipher);
      t.strictSame(server.received, ['hello from openssl\n'], cipher);
      t.strictSame(server.closed, ['close-notify'], cipher);
      server.close();
    }
  },
);

t.test(
  'OpenSSL with every suite it knows and a tiny MTU sends its hello in fragments',
  { skip: noOpenssl },
  async t => {
    const server = await UdpServer.open({ suites: [suiteOf(0xc0a8)] });
    const client = openssl(server.port, 'ALL:@SECLEVEL=0', '-mtu 256');
    client.say('hello in pieces\n');
    await client.printed(/HELLO IN PIECES/);
    await client.kill();
    t.equal(server.verified.length, 1);
    t.ok(server.datagrams[0]!.datagram.length < 256);
    server.close();
  },
);

t.test('OpenSSL may ask for short records', { skip: noOpenssl }, async t => {
  const server = await UdpServer.open();
  const client = openssl(server.port, 'PSK-AES128-CCM8', '-maxfraglen 512');
  client.say('hello in short\n');
  await client.printed(/HELLO IN SHORT/);
  await client.kill();
  t.strictSame(server.maxPlaintexts, [512]);
  server.close();
});

t.test('OpenSSL that wants to renegotiate is told no, under protection', { skip: noOpenssl }, async t => {
  const server = await UdpServer.open();
  const client = openssl(server.port, 'PSK-AES128-CCM8');
  client.say('before\n');
  await client.printed(/BEFORE/);
  client.say('R\n');
  // Upon which this client ends the session itself.
  await client.printed(/no renegotiation/);
  await server.until(() => server.closed.length > 0);
  t.strictSame(server.closed, ['peer-alert']);
  t.equal(server.verified.length, 1);
  await client.kill();
  server.close();
});

t.test('OpenSSL with a wrong key hears an alert, and the operator hears why', { skip: noOpenssl }, async t => {
  const server = await UdpServer.open();
  const client = openssl(server.port, 'PSK-AES128-CCM8', '', '00112233');
  await server.until(() => server.failed.length > 0);
  await client.printed(/alert bad record mac/);
  t.equal(server.failed[0]!.fault, 'wrong-key');
  t.equal(server.verified.length, 0);
  await client.kill();
  server.close();
});

t.test('GnuTLS connects with each suite, is understood, is answered, and says goodbye', { skip: noGnutls }, async t => {
  for (const { id, gnutls: cipher } of names) {
    const server = await UdpServer.open();
    const client = gnutls(server.port, cipher);
    client.say('hello from gnutls\n');
    await client.printed(/HELLO FROM GNUTLS/);
    await client.finish();
    await server.until(() => server.closed.length > 0);
    t.equal(server.verified[0]!.suite, suiteOf(id), cipher);
    t.strictSame(server.received, ['hello from gnutls\n'], cipher);
    t.strictSame(server.closed, ['close-notify'], cipher);
    server.close();
  }
});

t.test('GnuTLS without extended master secret is served too', { skip: noGnutls }, async t => {
  const server = await UdpServer.open();
  const client = gnutls(server.port, 'AES-128-CCM-8', ':%NO_SESSION_HASH');
  client.say('hello of old\n');
  await client.printed(/HELLO OF OLD/);
  t.notMatch(client.output, /extended master secret/);
  await client.finish();
  server.close();
});

t.test('our client connects to an OpenSSL server with each suite', { skip: noOpenssl }, async t => {
  for (const { id, openssl: cipher } of names) {
    t.equal(await askOpenssl([suiteOf(id)], `-cipher ${cipher}`), 'and hello from openssl', cipher);
  }
});

t.test('our client connects to an OpenSSL server that gives a hint', { skip: noOpenssl }, async t => {
  t.equal(await askOpenssl(pskSuites, '-psk_hint any'), 'and hello from openssl');
});

t.test('our client proves its address to an OpenSSL server that asks for it', { skip: noOpenssl }, async t => {
  t.equal(await askOpenssl(pskSuites, '-listen'), 'and hello from openssl');
});

t.test('OpenSSL and GnuTLS speak CBC with encrypt-then-MAC, and agree on keys over X25519 and P-256', async t => {
  const groups = [
    ['X25519', 'GROUP-X25519'],
    ['P-256', 'GROUP-SECP256R1'],
  ] as const;
  for (const { id, openssl: cipher, gnutls: exchange } of cbcNames) {
    for (const [curve, group] of groups) {
      const runs: [string, string | false, (port: number) => Program][] = [
        ['openssl', noOpenssl, port => openssl(port, cipher, `-curves ${curve}`)],
        ['gnutls', noGnutls, port => gnutlsCbc(port, exchange, group)],
      ];
      for (const [name, missing, connect] of runs) {
        if (missing !== false) continue;
        const server = await UdpServer.open({ suites: [suiteOf(id)] });
        const client = connect(server.port);
        await server.until(() => server.verified.length > 0);
        t.equal(server.verified[0]!.suite, suiteOf(id), `${name}, ${cipher}, ${curve}`);
        // gnutls-cli 3.7.9 crashes when it prints a session with ECDHE_PSK, with its own server too.
        if (name === 'openssl' || exchange === '+PSK') {
          client.say('hello in blocks\n');
          await client.printed(/HELLO IN BLOCKS/);
          await client.finish();
          await server.until(() => server.closed.length > 0);
          t.strictSame(server.received, ['hello in blocks\n']);
        }
        await client.kill();
        server.close();
      }
    }
  }
});

t.test('without encrypt-then-MAC no CBC is spoken', { skip: noGnutls }, async t => {
  const server = await UdpServer.open({ suites: [suiteOf(0x00ae)] });
  const client = gnutlsCbc(server.port, '+PSK', 'GROUP-X25519:%NO_ETM');
  await server.until(() => server.failed.length > 0);
  t.match(server.failed[0], { fault: 'no-common-suite', detail: /TLS_PSK_WITH_AES_128_CBC_SHA256/ });
  await client.kill();
  server.close();
});

t.test('our client agrees with an OpenSSL server on keys, and speaks CBC with it', { skip: noOpenssl }, async t => {
  for (const { id, openssl: cipher } of cbcNames) {
    for (const curve of ['X25519', 'P-256']) {
      const answer = await askOpenssl([suiteOf(id)], `-cipher ${cipher} -curves ${curve}`);
      t.equal(answer, 'and hello from openssl', `${cipher}, ${curve}`);
    }
  }
});

t.test('OpenSSL resumes its session, with each suite', { skip: noOpenssl }, async t => {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-'));
  for (const { id, openssl: cipher } of [...names, ...cbcNames]) {
    const server = await UdpServer.open({ suites: [suiteOf(id)] });
    const file = join(directory, `${id}.pem`);
    for (const [option, printed] of [
      ['-sess_out', /New, TLSv1/],
      ['-sess_in', /Reused, TLSv1/],
    ] as const) {
      const client = openssl(server.port, cipher, `${option} ${file}`);
      client.say('hello again\n');
      await client.printed(/HELLO AGAIN/);
      t.match(client.output, printed, `${cipher} ${option}`);
      await client.finish();
    }
    await server.until(() => server.closed.length === 2);
    t.strictSame(server.received, ['hello again\n', 'hello again\n']);
    t.equal(server.verified[1]!.lastFlight, undefined, 'the abbreviated handshake');
    server.close();
  }
  await rm(directory, { recursive: true });
});

t.test('GnuTLS resumes its session', { skip: noGnutls }, async t => {
  const server = await UdpServer.open();
  const client = gnutls(server.port, 'AES-128-CCM-8', '', '-r');
  await server.until(() => server.verified.length === 2);
  client.say('hello again\n');
  await client.printed(/HELLO AGAIN/);
  t.match(client.output, /This is a resumed session/);
  t.equal(server.verified[1]!.lastFlight, undefined, 'the abbreviated handshake');
  await client.finish();
  server.close();
});

async function askOpenssl(suites: readonly CipherSuite[], more: string): Promise<string> {
  const port = await freePort();
  const server = run('openssl', `s_server -dtls1_2 -accept 127.0.0.1:${port} -nocert -psk ${testKeyHex} ${more}`);
  await server.printed(/ACCEPT/);
  const answer = askOverUdp(port, suites, 'hello from us\n');
  await server.printed(/hello from us/);
  server.say('and hello from openssl\n');
  const text = await answer;
  await server.kill();
  return text.trim();
}

function run(command: string, args: string): Program {
  return new Program(
    command,
    args.split(' ').filter(arg => arg !== ''),
  );
}
