import fc from 'fast-check';
import t from 'tap';
import { type Bytes, concatBytes, fromHex, utf8 } from '../../../src/base/bytes.ts';
import { isContentFault } from '../../../src/lwm2m/content/fault.ts';
import { decodeContent, decodePaths, encodeContent, encodePaths } from '../../../src/lwm2m/content/select.ts';
import { objectDefinition, type ResourceType } from '../../../src/lwm2m/definition.ts';
import { Definitions } from '../../../src/lwm2m/definitions.ts';
import { type Path, parsePath, pathOf } from '../../../src/lwm2m/path.ts';
import { type Entry, type ResourceValue, sameValue } from '../../../src/lwm2m/value.ts';

const types: readonly Exclude<ResourceType, 'none'>[] = [
  'string',
  'integer',
  'unsigned integer',
  'float',
  'boolean',
  'opaque',
  'time',
  'objlnk',
  'corelnk',
];

// Object 32800 has every type, single (resources 0 to 8) and multiple (300 to 308).
const object = 32_800;
const definitions = Definitions.registry().with([
  objectDefinition({
    id: object,
    name: 'Everything',
    multiple: true,
    resources: types.flatMap((type, index) => [
      { id: index, name: type, operations: 'RW' as const, type },
      { id: 300 + index, name: `${type} list`, operations: 'RW' as const, type, multiple: true },
    ]),
  }),
]);

const bigintOutside = (min: bigint, max: bigint) =>
  fc.bigInt({ min, max }).filter(value => value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER);
const values: Readonly<Record<(typeof types)[number], fc.Arbitrary<ResourceValue>>> = {
  string: fc.string({ unit: 'grapheme', maxLength: 300 }),
  integer: fc.oneof(fc.maxSafeInteger(), fc.integer(), bigintOutside(-(2n ** 63n), 2n ** 63n - 1n)),
  'unsigned integer': fc.oneof(fc.maxSafeNat(), fc.nat(), bigintOutside(0n, 2n ** 64n - 1n)),
  float: fc.double({ noNaN: true, noDefaultInfinity: true }),
  boolean: fc.boolean(),
  opaque: fc.uint8Array({ maxLength: 300 }),
  time: fc.integer().map(unix => ({ unix })),
  objlnk: fc.record({ object: fc.nat(0xffff), instance: fc.nat(0xffff) }),
  corelnk: fc.constant('</3303/0/5700>;rt="x"'),
};

const instance = fc.nat(3);
const entry: fc.Arbitrary<Entry> = fc.nat(types.length - 1).chain(index =>
  fc.tuple(instance, values[types[index]!], fc.option(fc.nat(400), { nil: undefined })).map(([of, value, inner]) => ({
    path: pathOf([object, of, ...(inner === undefined ? [index] : [300 + index, inner])]) as Entry['path'],
    value,
  })),
);
const entries = fc.uniqueArray(entry, { selector: ({ path }) => path, maxLength: 20 });

t.test('whatever the type, what is written in a format is read again as it was', async t => {
  const whole: readonly [format: number, base: string][] = [
    [11542, `/${object}`],
    [11543, `/${object}`],
    [11544, '/'],
    [110, '/'],
    [112, `/${object}`],
  ];
  for (const [format, base] of whole) {
    fc.assert(
      fc.property(entries, list => sameEntries(list, throughFormat(format, parsePath(base)!, list))),
      {
        numRuns: 150,
      },
    );
    t.pass(`${format}`);
  }
  for (const format of [0, 60, 11542, 11543, 11544, 110, 112]) {
    fc.assert(
      fc.property(entry, one => sameEntries([one], throughFormat(format, one.path, [one]))),
      { numRuns: 300 },
    );
    t.pass(`${format}, one value`);
  }
});

t.test('a NaN of a broken sensor arrives in the binary formats, and has no form in the others', async t => {
  const broken = [{ path: '/3303/0/5700' as Entry['path'], value: Number.NaN }];
  for (const format of [60, 112, 11542, 11544]) {
    t.same(throughFormat(format, broken[0]!.path, broken), broken, String(format));
  }
  for (const format of [0, 110, 11543]) {
    t.match(encodeContent(format, broken[0]!.path, broken, definitions), { reason: 'not-representable' });
  }
});

t.test('times and units are kept by the formats that have them, and refused by the others', async t => {
  const path = '/3303/0/5700' as Entry['path'];
  const timed: Entry[] = [
    { path, value: 21.5, time: 1_700_000_000.5, unit: 'Cel' },
    { path, value: 22.5, time: -10 },
  ];
  for (const format of [110, 112]) t.same(throughFormat(format, '/3303/0' as Path, timed), timed, String(format));
  for (const format of [11542, 11544]) {
    t.match(encodeContent(format, '/3303/0' as Path, timed, definitions), { reason: 'not-representable' });
  }
});

t.test('what nobody defined keeps the type it had on the wire', async t => {
  const path = parsePath('/40000/0/1') as Entry['path'];
  const table: readonly [format: number, payload: Bytes, value: ResourceValue][] = [
    [0, utf8('12'), '12'],
    [42, utf8('x'), utf8('x')],
    [60, fromHex('0c')!, 12],
    [11542, fromHex('c1010c')!, Uint8Array.of(12)],
    [110, utf8('[{"n":"/40000/0/1","vlo":"3:0"}]'), { object: 3, instance: 0 }],
    [112, fromHex('81a2006a2f34303030302f302f3102fb3ff8000000000000')!, 1.5],
    [11543, utf8('{"e":[{"n":"","bv":true}]}'), true],
    [11544, fromHex('a183199c4000011b0020000000000001')!, 2n ** 53n + 1n],
  ];
  for (const [format, payload, value] of table) {
    t.same(decodeContent(format, path, payload, definitions), [{ path, value }], String(format));
  }
  for (const format of [60, 110, 112, 11543, 11544]) {
    const written = encodeContent(format, path, [{ path, value: -0 }], definitions) as Bytes;
    const [entry] = decodeContent(format, path, written, definitions) as readonly Entry[];
    t.ok(Object.is(entry?.value, -0), `${format} keeps the sign of zero`);
  }
});

t.test('a value of another type than its resource has is refused by name', async t => {
  const table: readonly [format: number, path: string, payload: Bytes][] = [
    [0, '/3303/0/5700', utf8('warm')],
    [0, '/3303/0/5700', utf8('')],
    [0, '/3303/0/5700', utf8('0x10')],
    [0, '/3303/0/5700', utf8('1e999')],
    [0, '/3/0/9', utf8('1.5')],
    [0, '/3/0/9', utf8('9223372036854775808')],
    [0, '/1/0/6', utf8('true')],
    [0, '/5/0/0', utf8('a')],
    [42, '/3/0/9', utf8('9')],
    [60, '/3/0/9', fromHex('fb3ff8000000000000')!],
    [60, '/3/0/9', fromHex('6139')!],
    [60, '/3/0/13', fromHex('f5')!],
    [60, '/3/0/4', fromHex('01')!],
    [11542, '/3/0/9', fromHex('c309000001')!],
    [11542, '/3/0/0', fromHex('c200c328')!],
    [11542, '/1/0/6', fromHex('c10602')!],
    [11542, '/3303/0/5700', fromHex('e11644 01'.replace(' ', ''))!],
    [110, '/3303/0/5700', utf8('[{"n":"/3303/0/5700","vs":"21"}]')],
    [110, '/3/0/0', utf8('[{"n":"/3/0/0","vlo":"3:0"}]')],
    [112, '/3303/0/5700', fromHex('81a2006c2f333330332f302f3537303004f5')!],
    [11543, '/3/0/9', utf8('{"e":[{"n":"","sv":"9"}]}')],
    [11544, '/3/0/9', fromHex('a183030009f5')!],
  ];
  for (const [format, path, payload] of table) {
    const found = decodeContent(format, parsePath(path)!, payload, definitions);
    t.match(
      found,
      { kind: 'content-fault', reason: 'wrong-type' },
      `${format} ${path} ${Buffer.from(payload).toString('hex')}`,
    );
  }
  const wrong = [{ path: '/3303/0/5700' as Entry['path'], value: '21' }];
  for (const format of [0, 42, 60, 110, 112, 11542, 11543, 11544]) {
    t.match(encodeContent(format, wrong[0]!.path, wrong, definitions), { reason: 'wrong-type' }, String(format));
  }
});

t.test('malformed, misplaced and oversized payloads are refused by name', async t => {
  const deepJson = utf8('['.repeat(100_000));
  const deepCbor = new Uint8Array(100_000).fill(0x81);
  const many = (count: number) =>
    utf8(`[${Array.from({ length: count }, (_, i) => `{"n":"/3/0/6/${i}","v":1}`).join(',')}]`);
  const table: readonly [format: number, base: string, payload: Bytes, reason: string][] = [
    [4711, '/3', utf8('x'), 'unknown-format'],
    [0, '/3', utf8('x'), 'not-one-value'],
    [0, '/3/0/0', fromHex('ff')!, 'malformed'],
    [42, '/3/0/0', new Uint8Array(70_000), 'too-long'],
    [60, '/3/0', fromHex('01')!, 'not-one-value'],
    [60, '/3/0/9', fromHex('')!, 'malformed'],
    [60, '/3/0/9', fromHex('0101')!, 'malformed'],
    [60, '/3/0/9', fromHex('8101')!, 'malformed'],
    [60, '/3/0/9', fromHex('f6')!, 'malformed'],
    [60, '/3/0/9', fromHex('f7')!, 'malformed'],
    [60, '/3/0/9', fromHex('1c')!, 'malformed'],
    [60, '/3/0/9', fromHex('c249010000000000000000')!, 'malformed'],
    [60, '/3/0/0', fromHex('7f6161ff')!, 'malformed'],
    [60, '/3/0/0', fromHex('61ff')!, 'malformed'],
    [60, '/3/0/0', fromHex('7b00000000ffffffff')!, 'too-long'],
    [60, '/3/0/0', deepCbor, 'too-deep'],
    // A hundred million items in nine bytes.
    [112, '/3', fromHex('9b0000000005f5e100')!, 'malformed'],
    [112, '/3', fromHex('9fff00')!, 'malformed'],
    [112, '/3', fromHex('bf00ff')!, 'malformed'],
    [112, '/3', fromHex('a0')!, 'malformed'],
    [112, '/3', fromHex('81a20060 0060'.replace(' ', ''))!, 'malformed'],
    [112, '/3', fromHex('81a1f502')!, 'malformed'],
    [112, '/3', deepCbor, 'too-deep'],
    [110, '/3', deepJson, 'too-deep'],
    [110, '/3', utf8('{}'), 'malformed'],
    [110, '/3', utf8('[{"n":"/3/0/0","vs":"a"}'), 'malformed'],
    [110, '/3', utf8('[{"n":"/3/0/0","vs":"a"}] x'), 'malformed'],
    [110, '/3', utf8('[{"n":"/3/0/0","n":"/3/0/1","vs":"a"}]'), 'malformed'],
    [110, '/3', utf8('[{"n":"/3/0/0"}]'), 'malformed'],
    [110, '/3', utf8('[{"n":"/3/0/0","vs":"a","v":1}]'), 'malformed'],
    [110, '/3', utf8('[{"n":"/3/0/9","v":null}]'), 'malformed'],
    [110, '/3', utf8('[{"n":"/3/0/9","v":01}]'), 'malformed'],
    [110, '/3', utf8('[{"n":"/3/0/9","v":1e999,"t":1e999}]'), 'malformed'],
    [110, '/3', utf8('[{"n":"/3/0/0","vd":"a+/="}]'), 'malformed'],
    [110, '/3', utf8('[{"n":3,"v":1}]'), 'malformed'],
    [110, '/3303', utf8('[{"n":"/3303/0/5700","v":1e999}]'), 'malformed'],
    [110, '/3', utf8(`[{"n":"/3/0/0","vs":"${'\\\\'.repeat(30_000)}`), 'malformed'],
    [110, '/3', utf8('["a"]'), 'malformed'],
    [110, '/3', utf8(`[{"n":"/3/0/9","v":${'9'.repeat(100_000)}}]`), 'too-long'],
    [110, '/3', utf8(`[{"n":"/3/0/0","vs":"${'a'.repeat(70_000)}"}]`), 'too-long'],
    [110, '/3', utf8('[{"n":"/3/0/9","v":1,"x_":1}]'), 'unsupported-senml'],
    [110, '/3', utf8('[{"bver":11,"n":"/3/0/9","v":1}]'), 'unsupported-senml'],
    [110, '/3', utf8('[{"n":"/3/0/9","v":1,"s":2}]'), 'unsupported-senml'],
    [110, '/3', utf8('[{"n":"/4/0/9","v":1}]'), 'wrong-path'],
    [110, '/3', utf8('[{"n":"/3/0","v":1}]'), 'wrong-path'],
    [110, '/3', utf8('[{"n":"../3/0/9","v":1}]'), 'wrong-path'],
    [110, '/3', utf8('[{"n":"/3/0/9","v":1},{"n":"/3/0/9","v":2}]'), 'duplicate-path'],
    [110, '/3', many(4097), 'too-many-entries'],
    [110, '/', many(10_000), 'too-many-entries'],
    [11543, '/3', deepJson, 'too-deep'],
    [11543, '/3', utf8('[]'), 'malformed'],
    [11543, '/3', utf8('{"bn":"/3/"}'), 'malformed'],
    [11543, '/3', utf8('{"e":[{"n":"0/9"}]}'), 'malformed'],
    [11543, '/3', utf8('{"e":[{"n":"0/9","v":1,"sv":"1"}]}'), 'malformed'],
    [11543, '/3', utf8('{"bn":"/4/","e":[{"n":"0/9","v":1}]}'), 'wrong-path'],
    [11542, '/', fromHex('c10901')!, 'wrong-path'],
    [11542, '/3', fromHex('c10901')!, 'wrong-path'],
    [11542, '/3/0', fromHex('c1')!, 'malformed'],
    [11542, '/3/0', fromHex('c80910')!, 'malformed'],
    [11542, '/3/0', fromHex('d809ffffff')!, 'malformed'],
    [11542, '/3', fromHex('0301410001')!, 'malformed'],
    [11542, '/3/0', fromHex('8306c10001')!, 'malformed'],
    [11542, '/3/0', fromHex('c10901c10902')!, 'duplicate-path'],
    [11542, '/3/0', fromHex('e1ffff01')!, 'wrong-path'],
    [11542, '/3/0/9', fromHex('c10a01')!, 'wrong-path'],
    [11544, '/', fromHex('80')!, 'malformed'],
    [11544, '/', fromHex('a10301')!, 'wrong-path'],
    [11544, '/', fromHex('a1613301')!, 'malformed'],
    [11544, '/', fromHex('a1200 1'.replace(' ', ''))!, 'wrong-path'],
    [11544, '/', fromHex('a1850102030405 01'.replace(' ', ''))!, 'malformed'],
    [11544, '/', fromHex('a18003')!, 'malformed'],
    [11544, '/', fromHex('a184030006 00a10001'.replace(' ', ''))!, 'wrong-path'],
    [11544, '/', fromHex('a28303000901830300 0902'.replace(' ', ''))!, 'duplicate-path'],
  ];
  for (const [format, base, payload, reason] of table) {
    const found = decodeContent(format, parsePath(base)!, payload, definitions);
    const shown = Buffer.from(payload.subarray(0, 40));
    t.match(
      found,
      { kind: 'content-fault', reason },
      `${format} ${base} ${format % 2 === 0 ? shown.toString('hex') : shown.toString()}`,
    );
  }
});

t.test('no bytes make a decoder throw, and none take it long', async t => {
  const formats = [0, 42, 60, 110, 112, 11542, 11543, 11544];
  const bases = ['/', `/${object}`, `/${object}/0`, `/${object}/0/300`, `/${object}/0/1`].map(text => parsePath(text)!);
  fc.assert(
    fc.property(
      fc.constantFrom(...formats),
      fc.constantFrom(...bases),
      fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json().map(utf8)),
      (format, base, payload) => {
        decodeContent(format, base, payload, definitions);
        decodePaths(format, payload);
      },
    ),
    { numRuns: 3000 },
  );
  // Damage to what was whole gets further than noise.
  fc.assert(
    fc.property(
      fc.constantFrom(110, 112, 11542, 11543, 11544),
      entries,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.nat(8),
      (format, list, changes, cut) => {
        const base = bases[1]!;
        const payload = encodeContent(format, base, list, definitions);
        if (isContentFault(payload)) throw new Error(payload.reason);
        const damaged = payload.slice(0, Math.max(0, payload.length - cut));
        for (const [at, byte] of changes) if (damaged.length > 0) damaged[at % damaged.length] = byte;
        const found = decodeContent(format, base, damaged, definitions);
        if (!isContentFault(found))
          for (const { path } of found) if (!path.startsWith(`${base}/`)) throw new Error(path);
      },
    ),
    { numRuns: 2000 },
  );
  t.pass();
});

t.test('entries hold copies: the datagram is used again for the next one', async t => {
  for (const [format, hex] of [
    [42, '616263'],
    [11542, 'c303616263'],
    [60, '43616263'],
    [11544, 'a18405000003 43616263'.replace(' ', '')],
  ] as const) {
    const datagram = concatBytes(fromHex(hex)!);
    const found = decodeContent(format, parsePath(format === 11544 ? '/' : '/40000/0/3')!, datagram, definitions);
    datagram.fill(0);
    t.match(found, [{ value: utf8('abc') }], String(format));
  }
});

t.test('lists of paths, as composite operations ask for', async t => {
  const paths = ['/3/0/0', '/3303', '/1/0', '/3/0/6/1'].map(text => parsePath(text)!);
  for (const format of [110, 112, 11544]) {
    const payload = encodePaths(format, paths);
    if (isContentFault(payload)) return t.fail(payload.reason);
    t.same(decodePaths(format, payload), paths, String(format));
  }
  t.match(encodePaths(11542, paths), { reason: 'unknown-format' });
  t.match(decodePaths(110, utf8('[{"n":"/3/0/0","v":1}]')), { reason: 'malformed' });
  t.match(decodePaths(11544, fromHex('a183030000 01'.replace(' ', ''))!), { reason: 'malformed' });
  return t.end();
});

function throughFormat(format: number, base: Path, list: readonly Entry[]): readonly Entry[] {
  const payload = encodeContent(format, base, list, definitions);
  if (isContentFault(payload)) throw new Error(`${format} ${payload.reason} ${payload.detail}`);
  const found = decodeContent(format, base, payload, definitions);
  if (isContentFault(found)) throw new Error(`${format} ${found.reason} ${found.detail}`);
  return found;
}

/** Formats group by instance, so that the order may change. */
function sameEntries(a: readonly Entry[], b: readonly Entry[]): boolean {
  const found = new Map(b.map(one => [one.path, one.value]));
  return a.length === b.length && a.every(({ path, value }) => found.has(path) && sameValue(found.get(path)!, value));
}
