import t from 'tap';
import type { WallTime } from '../../../src/base/time.ts';
import { DeviceAttributes } from '../../../src/fleet/attributes.ts';
import type { Row } from '../../../src/fleet/names.ts';
import { type Condition, compile, isQueryFault, parseQuery } from '../../../src/fleet/query.ts';
import { findByScan } from '../../../src/fleet/store.ts';
import { termsOf } from '../../../src/fleet/terms.ts';
import { rules, sampleRecord, unregistered, wall } from '../../support/records.ts';

const device = sampleRecord(7, {
  name: 'node-7',
  sector: 'floor-3',
  lifetime: 300,
  lastContact: (wall - 60_000) as WallTime,
  description: {
    objects: [
      { id: 3, version: [1, 1], instances: [0] },
      { id: 3303, version: undefined, instances: [0, 1] },
    ],
    links: [{ href: '/sensors/temp', attributes: { rt: 'temperature-c tag:example.net,2020:sensor', obs: true } }],
    metadata: { manufacturer: 'Acme Corp', model: 'X-1' },
    extra: { tag: 'blue roof', site: 'north', '-7': 21, '-8': [true, { deep: 1 }] },
  },
});

function holds(text: string, now = wall): boolean {
  return compile(parsed(text), { now, rules }).every(test => test.passes(new DeviceAttributes(device)));
}

/** Whether the index, asked for the device by all conditions, has it among what it names. */
function isNamed(text: string): boolean {
  const kept = termsOf(device);
  return compile(parsed(text), { now: wall, rules }).every(({ terms }) => {
    if (terms === undefined || 'endpoint' in terms) return true;
    if ('any' in terms) return terms.any.some(term => kept.includes(term));
    return kept.some(term => terms.from <= term && term < terms.until);
  });
}

function parsed(text: string): readonly Condition[] {
  const conditions = parseQuery(text);
  if (isQueryFault(conditions)) throw new Error(`${conditions.position}: ${conditions.message}`);
  return conditions;
}

t.test('a device is found by everything that it is asked for by, and by nothing else', async t => {
  for (const text of [
    'object=3303',
    'object=3303;1.0',
    'object=3;1.1',
    'instance=/3303/1',
    'manufacturer="Acme Corp"',
    'manufacturer=Acme*',
    'tag=roof',
    'rt=tag:example.net,2020:sensor',
    'site=north and tag=blue',
    'endpoint=node-7 and sector=floor-3',
    'ep=node* and d=floor-3',
    'href=/sensors/temp',
    'obs=""',
    'state=registered',
    'state != lapsed',
    'lastContact<2m and lastContact>=1m',
    'lifetime>=5m',
    'lifetime=300',
    'lifetime!=299',
    'lifetime<=5m',
    'lastContact<=5d',
    'lastContact<5d',
    'lastContact>5s',
    '-7=21 and -8=true',
    'address=192.0.2.7',
    'serial!=5',
    'object=3303 AND model=X-1\n and lastContact < 1h',
  ]) {
    t.ok(holds(text), text);
    t.ok(isNamed(text), `${text}, of the index`);
  }
  for (const text of [
    'object=330',
    'object=3303;1.1',
    'instance=/3303/2',
    'manufacturer=Acme',
    'manufacturer="Acme*"',
    'rt=temperature',
    'tag=roo',
    'state=lapsed',
    'state!=registered',
    'lastContact<60s',
    'lastContact>1m',
    'lifetime>5m',
    'lifetime!=300',
    '-8=1',
    '-8="[object Object]"',
    'base=coap*',
    'object=3303 and model=X-2',
    'model!=X-1',
  ]) {
    t.notOk(holds(text), text);
  }
  t.ok(holds('state=lapsed', (wall + 300_000) as WallTime), 'and its lifetime ends it');
});

t.test('a device that is not registered has no address and no lifetime to be asked for', async t => {
  const known = new DeviceAttributes(unregistered(8, 'node-8'));
  for (const text of ['address=192.0.2.7', 'address!=192.0.2.7', 'lifetime<5m', 'lifetime!=300', 'lastContact>1m']) {
    const [test] = compile(parsed(text), { now: wall, rules });
    t.notOk(test!.passes(known), text);
  }
});

t.test('a search through all records goes on behind the page that was full', async t => {
  const all = Array.from({ length: 600 }, (_, n) => sampleRecord(n + 1));
  const store = { devices: (from: Row, limit: number) => all.slice(from - 1, from - 1 + limit) };
  const found = findByScan(store, { terms: [], questions: 1, accepts: ({ row }) => row % 100 === 0 }, 1 as Row, 10);
  t.strictSame(
    found.records.map(({ row }) => row),
    [100, 200, 300, 400, 500, 600],
  );
  const page = findByScan(store, { terms: [], questions: 1, accepts: () => true }, 200 as Row, 100);
  t.match([page.records.length, page.next], [100, 300]);
});

t.test('what is wrong is said, with its place', async t => {
  for (const [text, position, message] of [
    ['', 0, /expected a condition/],
    ['object', 6, /expected =, !=/],
    ['object=', 7, /expected a value for object/],
    ['object=3 manufacturer=x', 9, /expected "and"/],
    ['object=3 and', 12, /expected a field/],
    ['object=3 and ', 13, /expected a field/],
    ['object=3 and =4', 13, /expected a field/],
    ['model="open', 6, /expected a value/],
    ['state=asleep', 0, /state is one of registered, lapsed, none/],
    ['state<none', 0, /= and != only/],
    ['model=a and lastContact=1h', 12, /lastContact is compared with </],
    ['lastContact<soon', 0, /90s, 15m/],
    ['lastContact<99999999999d', 0, /90s, 15m/],
    ['model<b', 0, /model can be compared/],
  ] as const) {
    const fault = parseQuery(text);
    if (!isQueryFault(fault)) {
      t.fail(`${text} was accepted`);
      continue;
    }
    t.equal(fault.position, position, text);
    t.match(fault.message, message, text);
  }
  t.ok(isQueryFault(parseQuery(Array.from({ length: 17 }, () => 'a=b').join(' and '))), 'seventeen conditions');
});

t.test('a field named like a part of every object is an attribute like another', async t => {
  t.notOk(holds('constructor=x'));
  t.notOk(holds('__proto__=x'));
});
