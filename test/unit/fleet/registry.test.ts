import fc from 'fast-check';
import t from 'tap';
import { BlockPermutation } from '../../../src/adapters/registrationIds.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import type { WallTime } from '../../../src/base/time.ts';
import { decodeDescription, encodeDescription, mergeDescription } from '../../../src/fleet/description.ts';
import { ExpiryIndex } from '../../../src/fleet/expiryIndex.ts';
import { parseEndpointName, parseSector, type Row } from '../../../src/fleet/names.ts';
import { RegistrationIds } from '../../../src/fleet/registrationId.ts';
import { type Description, emptyDescription } from '../../../src/lwm2m/registrationRequest.ts';

t.test('an endpoint name has 1 to 63 bytes and no control characters', async t => {
  for (const good of ['a', 'urn:dev:os:32473-123456', 'x'.repeat(63), 'Gerät 7', '名'.repeat(21), ' ']) {
    t.equal(parseEndpointName(good), good);
    t.equal(parseSector(good), good);
  }
  for (const bad of [
    '',
    'x'.repeat(64),
    '名'.repeat(22),
    'a\u0000b',
    'a\n',
    '\u007f',
    '\u0085',
    'a\ud800',
    '\u001b[2J',
  ]) {
    t.equal(parseEndpointName(bad), undefined, JSON.stringify(bad).slice(0, 30));
    t.equal(parseSector(bad), undefined);
  }
});

t.test('a registration id is short, opaque, and leads back to its row and generation', async t => {
  const ids = new RegistrationIds(new BlockPermutation(utf8('0123456789abcdef0123456789abcdef')));
  const others = new RegistrationIds(new BlockPermutation(utf8('fedcba9876543210fedcba9876543210')));
  const seen = new Set<string>();
  for (const row of [0, 1, 2, 3, 65_536, 4_294_967_295]) {
    for (const generation of [0, 1, 2, 4_294_967_295]) {
      const id = ids.of(row as Row, generation);
      t.match(id, /^[\w-]{11}$/);
      t.ok(id.length <= 16);
      t.same(ids.read(id), { row, generation });
      t.not(others.of(row as Row, generation), id, 'under another key it is another one');
      seen.add(id);
    }
  }
  t.equal(seen.size, 24);
  for (const wrong of [
    '',
    'a',
    'x'.repeat(12),
    'x'.repeat(10),
    '!!!!!!!!!!!',
    'AAAAAAAAAAB',
    '..........A',
    'é'.repeat(11),
  ]) {
    t.equal(ids.read(wrong), undefined, wrong);
  }
  const id = ids.of(5 as Row, 0);
  const guesses = Array.from(
    { length: 11 },
    (_, i) => `${id.slice(0, i)}${id[i] === 'A' ? 'E' : 'A'}${id.slice(i + 1)}`,
  );
  for (const guess of guesses) {
    const read = ids.read(guess);
    t.ok(read === undefined || read.row > 1_000_000 || read.generation > 1_000_000, 'a neighbouring id is nobody near');
  }
});

t.test('the index of lifetimes names each row once, never early, and forgets none', async t => {
  const index = new ExpiryIndex();
  const at = (seconds: number) => (1_700_000_000_000 + seconds * 1000) as WallTime;
  index.note(1 as Row, at(10));
  index.note(1 as Row, at(10));
  index.note(2 as Row, at(100));
  index.note(5000 as Row, at(10));
  t.equal(index.size, 3);
  t.same(index.takeDue(at(9), 10), []);
  t.ok((index.next() ?? 0) > at(10) && (index.next() ?? 0) <= at(14), 'at most four seconds late');
  t.same(new Set(index.takeDue(at(14), 10)), new Set([1, 5000]));
  t.same(index.takeDue(at(14), 10), []);

  index.note(2 as Row, at(300));
  t.same(index.takeDue(at(104), 10), [2], 'a row whose lifetime was prolonged is looked at and noted again');
  index.note(2 as Row, at(300));
  index.note(2 as Row, at(200));
  t.same(index.takeDue(at(204), 10), [2], 'a shorter lifetime counts at once');
  t.same(index.takeDue(at(400), 10), [], 'and its later place is stale');
  t.equal(index.size, 0);
});

t.test('a million lifetimes that end at once come in bounded portions', async t => {
  const index = new ExpiryIndex();
  const end = 1_700_000_000_000 as WallTime;
  for (let row = 1; row <= 10_000; row++) index.note(row as Row, end);
  const seen = new Set<number>();
  for (let portions = 0; portions < 100 && index.size > 0; portions++) {
    const due = index.takeDue((end + 10_000) as WallTime, 256);
    t.ok(due.length > 0 && due.length <= 256);
    for (const row of due) seen.add(row);
  }
  t.equal(seen.size, 10_000);
  t.equal(index.next(), undefined);
});

t.test('the index is right about any order of notes and looks', async t => {
  const row = fc.integer({ min: 1, max: 20 });
  const step = fc.oneof(
    fc.record({ note: row, in: fc.integer({ min: 0, max: 60 }) }),
    fc.record({ pass: fc.integer({ min: 1, max: 30 }), limit: fc.integer({ min: 1, max: 5 }) }),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const index = new ExpiryIndex();
        const due = new Map<number, number>();
        let now = 1_700_000_000_000;
        for (const action of steps) {
          if ('note' in action) {
            const at = now + action.in * 1000;
            // As the service does it: a later end than the noted one leaves the note where it is.
            due.set(action.note, Math.min(due.get(action.note) ?? Number.POSITIVE_INFINITY, at));
            index.note(action.note as Row, at as WallTime);
            continue;
          }
          now += action.pass * 1000;
          for (const taken of index.takeDue(now as WallTime, action.limit)) {
            if ((due.get(taken) ?? Number.POSITIVE_INFINITY) > now) throw new Error(`row ${taken} came early`);
            due.delete(taken);
          }
        }
        const rest = new Set<number>();
        while (index.size > 0) for (const taken of index.takeDue((now + 100_000) as WallTime, 3)) rest.add(taken);
        for (const left of due.keys()) if (!rest.has(left)) throw new Error(`row ${left} is forgotten`);
      }),
    ),
  );
});

t.test('a description comes back from the store as it was', async t => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(anyDescription, description => {
        t.strictSame(decodeDescription(encodeDescription(description).slice()), structuredClone(description));
      }),
      { numRuns: 60 },
    ),
  );
  t.strictSame(decodeDescription(new Uint8Array()), emptyDescription);
});

t.test('an update replaces lists and merges fields one by one', async t => {
  const before = encodeDescription({
    ...emptyDescription,
    objects: [{ id: 1, version: undefined, instances: [0] }],
    metadata: { manufacturer: 'ACME', firmware: '1.0' },
    extra: { 'x-a': 1, 'x-b': 2 },
    endpointType: 'sensor',
  });
  const after = decodeDescription(
    mergeDescription(before, {
      objects: [{ id: 3, version: [1, 1], instances: [0] }],
      metadata: { firmware: '1.1' },
      extra: { 'x-b': 3 },
    }),
  );
  t.match(after, { metadata: { manufacturer: 'ACME', firmware: '1.1' }, extra: { 'x-a': 1, 'x-b': 3 } });
  t.same(
    after.objects.map(({ id }) => id),
    [3],
  );
  t.equal(after.endpointType, 'sensor');
});

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const id = fc.nat({ max: 65_535 });
const key = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const text = fc.string({ maxLength: 20, unit: 'grapheme' });
const anyDescription: fc.Arbitrary<Description> = fc.record({
  root: fc.constantFrom('/', '/lwm2m'),
  contentFormats: fc.array(id, { maxLength: 4 }),
  objects: fc.array(
    fc.record({
      id,
      version: optional(fc.tuple(fc.nat({ max: 255 }), fc.nat({ max: 255 }))),
      instances: fc.array(id, { maxLength: 4 }),
    }),
    { maxLength: 4 },
  ),
  links: fc.array(
    fc.record({
      href: text,
      attributes: fc.dictionary(key, fc.oneof(text, fc.constant(true as const)), { noNullPrototype: true }),
    }),
    { maxLength: 3 },
  ),
  metadata: fc.dictionary(key, text, { noNullPrototype: true }),
  observations: fc.array(
    fc.record({ path: fc.constant('/3/0/9'), pmin: optional(fc.nat()), pmax: optional(fc.nat()) }),
    { maxLength: 3 },
  ),
  extra: fc.dictionary(key, fc.oneof(text, fc.nat(), fc.boolean()), { noNullPrototype: true }),
  endpointType: optional(text),
  base: optional(text),
  model: optional(fc.oneof(text, fc.nat())),
  awake: optional(fc.nat()),
  bootId: optional(fc.stringMatching(/^([0-9a-f]{2}){1,8}$/)),
});
