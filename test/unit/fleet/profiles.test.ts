import t from 'tap';
import { OperatorError } from '../../../src/adapters/operatorError.ts';
import { parseProfile } from '../../../src/adapters/profiles.ts';
import type { WallTime } from '../../../src/base/time.ts';
import { allot, decodeAllocation, encodeAllocation } from '../../../src/fleet/allocation.ts';
import type { EndpointName, Row } from '../../../src/fleet/names.ts';
import { maxObservations, replaceObservations, wanted } from '../../../src/fleet/observation.ts';
import {
  checkAgainst,
  clampLifetime,
  matchesGlob,
  noProfiles,
  ProfileSet,
  wishesFor,
} from '../../../src/fleet/profile.ts';
import { isRefusal } from '../../../src/lwm2m/refusal.ts';
import { type Description, emptyDescription } from '../../../src/lwm2m/registrationRequest.ts';

const meters = parseProfile(
  `
name: meters
match:
  models: [T1, 17]
metadata:
  required: [manufacturer, serial]
  properties:
    manufacturer: { enum: [ACME] }
    serial: { pattern: '^S[0-9]{4}$' }
objects: { allowed: [1, 3, 3303], required: [3] }
lifetime: { min: 60, max: 3600 }
observe:
  - { path: '/3303/*/5700', pmin: 5, pmax: 60, st: 0.5 }
  - { paths: ['/3/0/9', '/3/0/7'] }
queue: { limit: 3, awake: 20 }
events: { count: 10 }
tags: [metering]
`,
  'meters.yaml',
);
const device: Description = {
  ...emptyDescription,
  model: 'T1',
  metadata: { manufacturer: 'ACME', serial: 'S0001' },
  objects: [
    { id: 3, version: undefined, instances: [0] },
    { id: 3303, version: undefined, instances: [0, 4] },
  ],
};
const wall = 1_000_000 as WallTime;
const row = 7 as Row;

t.test('a model outranks metadata, metadata a name, a name the default', async t => {
  const named = (name: string, match: string) => parseProfile(`{name: ${name}, match: ${match}}`, name);
  const set = new ProfileSet([
    parseProfile('name: default\ntags: [rest]', 'default'),
    named('a-by-name', '{names: ["node-*"]}'),
    named('b-by-metadata', '{metadata: {manufacturer: "AC*"}}'),
    named('c-by-model', '{models: [T1]}'),
    named('d-by-model-too', '{models: [T1]}'),
    named('e-all-must-hold', '{models: [T1], names: ["other-*"]}'),
  ]);
  const chosen = (name: string, description: Partial<Description>) =>
    set.choose(name as EndpointName, { ...emptyDescription, ...description }).file.name;
  t.equal(chosen('node-1', { model: 'T1', metadata: { manufacturer: 'ACME' } }), 'c-by-model');
  t.equal(chosen('node-1', { metadata: { manufacturer: 'ACME' } }), 'b-by-metadata');
  t.equal(chosen('node-1', { metadata: { manufacturer: 'Other' } }), 'a-by-name');
  t.equal(chosen('meter-1', { model: 17 }), 'default');
  t.equal(chosen('other-1', { model: 'T1' }), 'c-by-model', 'equal rank: the name that comes first');
  t.equal(noProfiles.choose('x' as EndpointName, emptyDescription).file.name, 'default');
});

t.test('a star stands for any text, and the parts around it never overlap', async t => {
  const table: [pattern: string, text: string, matches: boolean][] = [
    ['node-*', 'node-', true],
    ['node-*', 'node', false],
    ['*', '', true],
    ['a*b*c', 'a1b2c', true],
    ['a*b*c', 'acb', false],
    ['ab*ba', 'aba', false],
    ['exact', 'exact', true],
    ['exact', 'exactly', false],
  ];
  for (const [pattern, text, matches] of table) t.equal(matchesGlob(pattern, text), matches, `${pattern} ${text}`);
});

t.test(
  'a device that is not what its profile allows is refused, and the operator reads which field it was',
  async t => {
    const refusedFor = (change: Partial<Description>) => checkAgainst(meters, { ...device, ...change });
    t.equal(refusedFor({}), undefined);
    t.match(refusedFor({ metadata: { manufacturer: 'ACME', serial: 'X1' } }), {
      reason: 'profile-metadata',
      detail: /^meters: serial must match pattern/,
    });
    t.match(refusedFor({ metadata: { manufacturer: 'ACME' } }), { detail: /^meters: serial must have required/ });
    t.match(refusedFor({ metadata: { manufacturer: 'Other', serial: 'S0001' } }), { detail: /^meters: manufacturer/ });
    t.match(refusedFor({ objects: [...device.objects, { id: 5, version: undefined, instances: [0] }] }), {
      reason: 'profile-object',
      detail: 'meters: object 5 is not allowed',
    });
    t.match(refusedFor({ objects: [{ id: 3303, version: undefined, instances: [0] }] }), {
      reason: 'profile-object-missing',
      detail: 'meters: object 3 is required',
    });
    t.ok(isRefusal(refusedFor({ metadata: JSON.parse('{"__proto__": "x"}') as Record<string, string> })!));
  },
);

t.test('a lifetime is moved into its range, and an infinite one ends', async t => {
  t.equal(clampLifetime(meters, 10), 60);
  t.equal(clampLifetime(meters, 600), 600);
  t.equal(clampLifetime(meters, 86_400), 3600);
  t.equal(clampLifetime(meters, 0), 3600);
  t.equal(clampLifetime(parseProfile('{name: default, lifetime: {min: 60}}', ''), 0), 0);
});

t.test(
  'what is observed is what the device has: every instance for a star, one Observe-Composite from 1.2 on',
  async t => {
    const paths = (version: [number, number]) => wishesFor(meters, device, version).map(wish => wish.paths);
    t.strictSame(paths([1, 1]), [['/3303/0/5700'], ['/3303/4/5700'], ['/3/0/9'], ['/3/0/7']]);
    t.strictSame(paths([1, 2]), [['/3303/0/5700'], ['/3303/4/5700'], ['/3/0/9', '/3/0/7']]);
    const wished = {
      ...device,
      observations: [
        { path: '/3/0/13', pmin: 1, pmax: undefined },
        { path: '/9/0', pmin: 1, pmax: 2 },
      ],
    };
    t.match(wishesFor(meters, wished, [1, 1]).slice(4), [
      { paths: ['/3/0/13'], source: 'device', attributes: { pmin: 1 } },
    ]);
    t.equal(wishesFor(meters, wished, [1, 1]).length, 5, 'not what it does not have');
  },
);

t.test(
  'registering again wants everything anew, keeps the operator’s own and forgets what is wished no more',
  async t => {
    const wish = (path: string, source: 'profile' | 'operator' = 'profile') => ({
      paths: [path],
      attributes: {},
      source,
    });
    const before = [
      { ...wanted(wish('/3/0/9'), 1, 4, wall), state: 'active' as const },
      wanted(wish('/3/0/7'), 2, 1, wall),
      wanted(wish('/5/0/3', 'operator'), 3, 1, wall),
    ];
    const changes = replaceObservations(row, 0, before, [wish('/3/0/9'), wish('/3303/0/5700')], wall);
    t.match(changes, [
      { id: 1, expected: 4, observation: { version: 5, state: 'wanted' } },
      { id: 2, expected: 1, observation: undefined },
      { id: 3, expected: 1, observation: { source: 'operator', state: 'wanted' } },
      { id: 4, expected: 0, observation: { paths: ['/3303/0/5700'] } },
    ]);
    const many = Array.from({ length: 500 }, (_, i) => wish(`/3/0/${i}`));
    t.equal(replaceObservations(row, 0, [], many, wall).length, maxObservations, 'bounded');
  },
);

t.test('an allocation survives the record, and what a record of before lacks is the default', async t => {
  const { allocation, observations } = allot(
    meters,
    { row, generation: 2, version: [1, 1], description: device, observations: [] },
    wall,
  );
  t.strictSame(decodeAllocation(encodeAllocation(allocation).slice()), allocation);
  t.match(allocation, { profile: 'meters', tags: ['metering'], queue: { limit: 3, awake: 20 }, observations: 4 });
  t.match(allocation.events, { count: 10, age: 30 * 86_400 });
  t.equal(
    observations.every(({ generation }) => generation === 2),
    true,
  );
  t.equal(decodeAllocation(new Uint8Array()).profile, 'default');
});

t.test('what is wrong with a profile is said with its line and column', async t => {
  const table: [text: string, message: RegExp][] = [
    ['name: [', /^p\.yaml:1:\d+: /],
    ['name: meters\nmatch:\n  models: T1\n', /^p\.yaml:3:11: match\/models must be array/],
    ['name: meters\nmatsch: {}\n', /^p\.yaml:1:1: a profile must NOT have additional properties: matsch/],
    ['name: meters\n', /^p\.yaml:1:7: a profile other than default needs a match/],
    ['name: default\nlifetime:\n  min: 9\n  max: 8\n', /^p\.yaml:3:3: the minimum/],
    [
      'name: default\nmetadata:\n  properties: { serial: { patern: x } }\n',
      /^p\.yaml:3:3: .*unknown keyword: "patern"/,
    ],
    ['name: default\nname: twice\n', /^p\.yaml:2:1: /],
    ['name: default\nmatch: { metadata: { ? [a] : b } }\n', /^p\.yaml:2:24: .*keys must be strings/],
    ['a: &a [x]\nb: [*a, *a]\n', /^p\.yaml:/],
    ['', /^p\.yaml:1:1: /],
    ['name: default\nobserve: [{ path: "/3/x" }]\n', /^p\.yaml:2:19: observe\/0\/path/],
  ];
  for (const [text, message] of table) {
    t.throws(() => parseProfile(text, 'p.yaml'), { message }, text);
    t.throws(() => parseProfile(text, 'p.yaml'), OperatorError, text);
  }
});
