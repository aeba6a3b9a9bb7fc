import { readFile } from 'node:fs/promises';
import t from 'tap';
import { noBytes } from '../../../src/base/bytes.ts';
import { allCipherSuites, cipherSuites } from '../../../src/dtls/codec/cipherSuite.ts';
import { ExtensionType } from '../../../src/dtls/codec/extension.ts';
import { decodeFragments, HandshakeType } from '../../../src/dtls/codec/handshake.ts';
import { decodeRecord } from '../../../src/dtls/codec/record.ts';
import { decodeServerHello } from '../../../src/dtls/codec/serverHello.ts';
import { handshakePair } from '../../support/handshakePair.ts';
import { rewriteHello } from '../../support/rewriting.ts';

// What the docs say is what the code does, or a test here fails.

const page = await readFile('docs/dtls.md', 'utf8');

t.test('docs/dtls.md has the suites, in the order of preference', async t => {
  const rows = [...page.matchAll(/^\| 0x([0-9a-f]{4}) \| `(\w+)` \| (yes|no) \| (yes|no) \| (RFC \d+) \|$/gm)];
  t.strictSame(
    rows.map(([, id, name, on, secret, document]) => [Number.parseInt(id!, 16), name, on, secret, document]),
    allCipherSuites.map(suite => [
      suite.id,
      suite.name,
      cipherSuites.includes(suite) ? 'yes' : 'no',
      suite.keyExchange === 'ecdhe-psk' ? 'yes' : 'no',
      suite.document,
    ]),
  );
});

t.test('docs/dtls.md has the extensions, by number, name and document', async t => {
  const source = await readFile('src/dtls/codec/extension.ts', 'utf8');
  const documents = new Map(
    [...source.matchAll(/^ {2}(\w+): \w+, \/\/ (RFC \d+)/gm)].map(([, name, rfc]) => [name, rfc]),
  );
  const rows = Object.entries(ExtensionType)
    .sort(([, a], [, b]) => a - b)
    .map(([name, type]) => [type, registeredName(name), documents.get(name)]);
  t.strictSame(
    table().map(({ type, name, document }) => [type, name, document]),
    rows,
  );
});

t.test('docs/dtls.md says of each extension what the server does with it', async t => {
  // All of them in one hello, in the one suite that has a use for each.
  const suites = [
    allCipherSuites.find(({ keyExchange, cipher }) => keyExchange === 'ecdhe-psk' && cipher === 'aes-128-cbc')!,
  ];
  const pair = handshakePair({ suites, clientSuites: suites, cid: noBytes });
  const offered = new Set<number>();
  rewriteHello(pair, 'client', hello => {
    const more = [
      [1, Uint8Array.of(1)],
      [0xff01, Uint8Array.of(0)],
      [4711, noBytes],
    ] as const;
    const extensions = new Map([...hello.extensions, ...more]);
    for (const type of extensions.keys()) offered.add(type);
    return { ...hello, extensions };
  });
  pair.client.connect();
  pair.pass(100);
  const flight = pair.datagramsFrom('server').find(datagram => datagram[13] === HandshakeType.serverHello)!;
  const answered = decodeServerHello(decodeFragments(decodeRecord(flight, 0)!.fragment)![0]!.body)!.extensions;
  for (const { type, name, does } of table()) {
    t.ok(offered.has(type), name);
    const [verb] = does.split(/\W/);
    t.ok(['granted', 'answered', 'read'].includes(verb!), `${name} is ${verb}`);
    t.equal(answered.has(type), verb !== 'read', `${name} is ${does}`);
  }
  t.match(page, /^Others are ignored\.$/m);
  t.notOk(answered.has(4711), 'others are ignored');
});

function table() {
  return [...page.matchAll(/^\| (\d+) \| (\w+) \| (RFC \d+) \| (.+) \|$/gm)].map(([, type, name, document, does]) => ({
    type: Number(type),
    name: name!,
    document: document!,
    does: does!,
  }));
}

/** As IANA calls it: `connectionId` is `connection_id`, and the return routability check has a short name. */
function registeredName(name: string): string {
  return name === 'returnRoutability' ? 'rrc' : name.replaceAll(/[A-Z]/g, capital => `_${capital.toLowerCase()}`);
}
