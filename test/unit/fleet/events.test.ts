import { readFile } from 'node:fs/promises';
import { Ajv } from 'ajv';
import t from 'tap';
import schema from '../../../schemas/event.schema.json' with { type: 'json' };
import type { WallTime } from '../../../src/base/time.ts';
import { eventJson } from '../../../src/cli/events.ts';
import { eventTypes } from '../../../src/fleet/event.ts';
import type { EndpointName, Row } from '../../../src/fleet/names.ts';

t.test('schema, docs and code know the same types of events', async t => {
  t.strictSame([...schema.properties.type.enum].sort(), [...eventTypes].sort());
  const page = await readFile('docs/events.md', 'utf8');
  const documented = [...page.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, type]) => type!);
  t.strictSame(documented.sort(), [...eventTypes].sort());
});

t.test('what the command line prints satisfies the schema', async t => {
  const validate = new Ajv({ strict: true, formats: { 'date-time': true } }).compile(schema);
  const event = { sequence: 7, at: 1e12 as WallTime, row: 1 as Row, name: 'node-1' as EndpointName };
  for (const type of eventTypes) t.ok(validate(eventJson({ ...event, type, details: { state: 'sent' } })), type);
  t.ok(validate(eventJson({ ...event, type: 'profile-set', row: 0 as Row, name: '' as EndpointName })));
});
