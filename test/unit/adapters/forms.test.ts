import { readFile } from 'node:fs/promises';
import { Encoder } from 'cbor-x';
import t from 'tap';
import { openEnvironment } from '../../../src/adapters/lmdbEnvironment.ts';
import { decodeEvent, decodeName, encodeEvent, encodeName, rowOfEvent } from '../../../src/adapters/lmdbForms.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import type { WallTime } from '../../../src/base/time.ts';
import type { FleetEvent } from '../../../src/fleet/event.ts';
import type { EndpointName, RegistrationId, Row, Sector } from '../../../src/fleet/names.ts';

const encoder = new Encoder({ useRecords: false, tagUint8Array: false } as object);
const at = 1_795_000_000_000 as WallTime;
const name = 'größe-1' as EndpointName;

t.test('names and events survive their forms, with everything in them and with as little as may be', async t => {
  const events: FleetEvent[] = [
    { type: 'registered', at, row: 70_000 as Row, name },
    {
      type: 'command',
      at,
      row: 4_294_967_295 as Row,
      name,
      sector: 'north' as Sector,
      registrationId: 'abcdefghijk' as RegistrationId,
      details: { lifetime: 60, address: '192.0.2.1' },
    },
  ];
  for (const event of events) {
    const bytes = encodeEvent(event);
    t.strictSame(decodeEvent(7, bytes), { sequence: 7, ...event });
    t.equal(rowOfEvent(bytes), event.row);
  }
  for (const identities of [[], [utf8('one'), new Uint8Array(0), new Uint8Array(300).fill(9)]]) {
    t.strictSame(decodeName(encodeName({ row: 5 as Row, identities })), { row: 5, identities });
  }
});

t.test('a store of an earlier form has names and events in CBOR, and they are still read', async t => {
  const name = encoder.encode([9, [utf8('identity')]]);
  t.strictSame(decodeName(name), { row: 9, identities: [utf8('identity')] });
  const event = encoder.encode([1, at, 70_000, 'node', null, 'abcdefghijk', { lifetime: 60 }]);
  t.strictSame(decodeEvent(3, event), {
    sequence: 3,
    type: 'updated',
    at,
    row: 70_000,
    name: 'node',
    registrationId: 'abcdefghijk',
    details: { lifetime: 60 },
  });
  t.equal(rowOfEvent(event), 70_000);
});

t.test('docs/registry.md and the sources name each database', async t => {
  const environment = await openEnvironment(t.testdir(), true);
  const databases = Object.keys(environment).filter(name => !['directory', 'gate', 'root'].includes(name));
  await environment.root.close();
  const page = await readFile('docs/registry.md', 'utf8');
  const table = page.slice(page.indexOf('## What is in the store'), page.indexOf('A device is **one record'));
  const documented = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name!);
  t.strictSame(documented.sort(), databases.sort());
  const forms = await readFile('src/adapters/lmdbForms.ts', 'utf8');
  const coded = new Set([...forms.matchAll(/^ \* \| `(\w+)` \|/gm)].map(([, name]) => name!));
  t.strictSame([...coded].sort(), databases);
});
