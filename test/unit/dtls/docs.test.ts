import { readFile } from 'node:fs/promises';
import t from 'tap';
import { allCipherSuites, cipherSuites } from '../../../src/dtls/codec/cipherSuite.ts';
import { ExtensionType } from '../../../src/dtls/codec/extension.ts';

// What the docs say is what the code does, or a test here fails.

const page = await readFile('docs/dtls.md', 'utf8');

t.test('docs/dtls.md has the suites, in the order of preference', async t => {
  const rows = [...page.matchAll(/^\| 0x([0-9a-f]{4}) \| `(\w+)` \| (yes|no) \| (yes|no) \| RFC \d+ \|$/gm)];
  t.strictSame(
    rows.map(([, id, name, on, secret]) => [Number.parseInt(id!, 16), name, on, secret]),
    allCipherSuites.map(suite => [
      suite.id,
      suite.name,
      cipherSuites.includes(suite) ? 'yes' : 'no',
      suite.keyExchange === 'ecdhe-psk' ? 'yes' : 'no',
    ]),
  );
});

t.test('docs/dtls.md has the extensions', async t => {
  const rows = [...page.matchAll(/^\| (\d+) \| (\w+) \| RFC \d+ \| .+ \|$/gm)];
  t.strictSame(
    rows.map(([, type]) => Number(type)),
    Object.values(ExtensionType).sort((a, b) => a - b),
  );
});
