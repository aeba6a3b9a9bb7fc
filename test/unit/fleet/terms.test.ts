import t from 'tap';
import { noBytes } from '../../../src/base/bytes.ts';
import type { WallTime } from '../../../src/base/time.ts';
import { decodeAllocation, encodeAllocation } from '../../../src/fleet/allocation.ts';
import type { DeviceRecord, Registration } from '../../../src/fleet/device.ts';
import { termChanges, termsOf, testFor } from '../../../src/fleet/terms.ts';
import { sampleRecord, unregistered, wall } from '../../support/records.ts';

const before = sampleRecord(1, { description: { objects: [{ id: 3, version: undefined, instances: [0, 1] }] } });

t.test('the name of each device, and what nearly all with an object have, would fill the index', async t => {
  t.strictSame(termsOf(before), [
    'state=registered',
    'day=020468',
    'dialect=cbor',
    'transport=coap',
    'profile=default',
    'object=3',
    'instance=/3/1',
  ]);
  t.strictSame(termsOf(unregistered(1, 'node-1')), ['state=none']);
  t.strictSame(
    testFor('object', '3;1.0', false),
    { any: ['object=3'] },
    'it is looked for among those with the object',
  );
  t.strictSame(testFor('instance', '/3/0', false), { any: ['object=3'] });
});

t.test('a device would be found by what it was, and not by what it is', async t => {
  const roof = encodeAllocation({ ...decodeAllocation(noBytes), tags: ['roof'] });
  const old = changed(before, { version: [1, 1] });
  for (const [what, change, removed, added] of [
    ['dialect', { dialect: 'rd' }, ['dialect=cbor'], ['dialect=rd']],
    ['transport', { transport: 'coaps' }, ['transport=coap'], ['transport=coaps']],
    ['major version', { version: [2, 1] }, ['lwm2m=1.1'], ['lwm2m=2.1']],
    ['minor version', { version: [1, 2] }, ['lwm2m=1.1'], ['lwm2m=1.2']],
    ['no version', { version: undefined }, ['lwm2m=1.1'], []],
    ['day', { lastContact: (wall + 86_400_000) as WallTime }, ['day=020468'], ['day=020469']],
    ['allocation', { allocation: roof }, [], ['tag=roof']],
    ['description', { description: noBytes }, ['object=3', 'instance=/3/1'], []],
    ['what it is not found by', { port: 9, lifetime: 60 }, [], []],
  ] as const satisfies readonly Row[]) {
    const changes = termChanges(old, changed(old, change));
    t.strictSame([[...changes.removed], [...changes.added]], [removed, added], what);
  }
});

type Row = readonly [what: string, change: Partial<Registration>, removed: readonly string[], added: readonly string[]];

function changed(record: DeviceRecord, change: Partial<Registration>): DeviceRecord {
  return { ...record, registration: { ...record.registration!, ...change } };
}
