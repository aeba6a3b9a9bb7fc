import { fromHex, utf8 } from '../../../src/base/bytes.ts';
import { ContentFormats } from '../../../src/coap/codec/contentFormat.ts';
import { decodeDiscover, encodeDiscover } from '../../../src/lwm2m/content/discover.ts';
import { isContentFault } from '../../../src/lwm2m/content/fault.ts';
import { decodeContent, decodePaths, encodeContent, encodePaths } from '../../../src/lwm2m/content/select.ts';
import { isOfType } from '../../../src/lwm2m/content/typing.ts';
import { Definitions } from '../../../src/lwm2m/definitions.ts';
import { containsPath, type Path, parsePath, pathIds, type ValuePath } from '../../../src/lwm2m/path.ts';
import { type Entry, isTime, type ResourceValue, sameValue } from '../../../src/lwm2m/value.ts';
import { Choices } from '../choices.ts';
import { ensure, ensureSame, shown, type Target } from '../target.ts';

/** Bases of each level, and one value of each type: the first byte of an input says which one is asked for. */
const bases = [
  '/',
  '/3',
  '/3/0',
  '/3303/0',
  '/3/0/0',
  '/3/0/13',
  '/3303/0/5700',
  '/3/0/6',
  '/3/0/17',
  '/6/0/0',
  '/10/0/2',
  '/31000/0',
  '/31000/0/1',
  '/3336/0/5514',
  '/5/0/0',
  '/10244/0/1',
].map(text => parsePath(text)!);
const definitions = Definitions.registry();

const entries: readonly Entry[] = [
  { path: '/3/0/0' as ValuePath, value: 'ACME' },
  { path: '/3/0/6/0' as ValuePath, value: 1 },
  { path: '/3/0/6/1' as ValuePath, value: 5 },
  { path: '/3/0/9' as ValuePath, value: -1000 },
  { path: '/3/0/13' as ValuePath, value: { unix: 1_700_000_000 } },
];
const temperature: readonly Entry[] = [{ path: '/3303/0/5700' as ValuePath, value: 21.5, time: -3, unit: 'Cel' }];

function written(format: number): Uint8Array[] {
  const bytes = encodeContent(format, bases[2]!, entries, definitions);
  const timed = encodeContent(format, bases[3]!, temperature, definitions);
  return [bytes, timed].flatMap((one, i) => (isContentFault(one) ? [] : [new Uint8Array([i + 2, ...one])]));
}

export const targets: readonly Target[] = [
  content('tlv', ContentFormats.lwm2mTlv, [
    // An identifier of two bytes, a length of its own, and an instance around both.
    '2\xe1\x01\x2c\x05\xc8\x00\x09ACME GmbH',
    '1\x08\x00\x10\xe1\x01\x2c\x05\xc8\x00\x09ACME GmbH',
  ]),
  content('senml-json', ContentFormats.senmlJson, [
    '0[{"bn":"/3/0/","n":"0","vs":"x"},{"n":"13","v":1},{"bt":1e9,"bu":"%","n":"9","v":100,"t":-1}]',
    '0[{"bn":"/31000/0/","bv":5,"n":"1","v":1e2},{"n":"2","vd":"AAE"},{"n":"3","vlo":"3:0"},{"n":"4","vb":true}]',
  ]),
  content('senml-cbor', ContentFormats.senmlCbor, []),
  content('lwm2m-json', ContentFormats.lwm2mJson, [
    '0{"bn":"/3/0/","bt":25,"e":[{"n":"0","sv":"a"},{"n":"9","v":100,"t":1},{"n":"11/0","v":0},{"n":"1","ov":"3:0"}]}',
  ]),
  content('lwm2m-cbor', ContentFormats.lwm2mCbor, []),
  content('cbor-value', ContentFormats.cbor, ['0\x18\x2a', '6\x19\x01\x02', '5\xc0\x6a2020-01-01']),
  content('text-value', ContentFormats.text, ['4ACME', '5123', '621.5', '71', '8UDP', '9+12.5e3', ':dGV4dA==']),
  {
    name: 'composite-paths',
    holds: 'a list of paths comes back from the format it was read from',
    seeds: [ContentFormats.senmlJson, ContentFormats.senmlCbor, ContentFormats.lwm2mCbor].flatMap((format, i) => {
      const bytes = encodePaths(format, bases.slice(1, 7));
      return isContentFault(bytes) ? [] : [new Uint8Array([i, ...bytes])];
    }),
    check: bytes => {
      const choices = new Choices(bytes);
      const format = choices.of([ContentFormats.senmlJson, ContentFormats.senmlCbor, ContentFormats.lwm2mCbor]);
      const paths = decodePaths(format, choices.rest());
      if (isContentFault(paths)) return;
      for (const path of paths) ensure(parsePath(path) === path, 'no path in canonical form', path);
      const again = encodePaths(format, paths);
      ensure(!isContentFault(again), 'cannot be written', again, paths);
      ensureSame(decodePaths(format, again), paths, 'other paths');
    },
  },
  {
    name: 'discover',
    holds: 'what a device says it has lies under what was asked for, or above it, and comes back',
    seeds: ['2</3/0>;pmin=10;pmax=60,</3/0/1>,</3/0/6>;dim=8', '0</>;rt="oma.lwm2m",</3/0>;ver=1.2'].map(utf8),
    words: ['</3/0', '>,', ';pmin=', ';gt=', ';dim='].map(utf8),
    check: bytes => {
      const choices = new Choices(bytes);
      const base = choices.of(bases);
      const found = decodeDiscover(base, choices.rest());
      if (isContentFault(found)) return;
      for (const { path } of found)
        ensure(containsPath(base, path) || containsPath(path, base), 'elsewhere', path, base);
      const again = decodeDiscover(base, encodeDiscover(found));
      ensureSame(again, found, 'something else');
    },
  },
];

function content(name: string, format: number, more: readonly string[]): Target {
  return {
    name,
    holds: 'each value is of its type, once, below the path that was asked for; the same comes back from the format',
    seeds: [
      ...written(format),
      ...more.map(text =>
        Uint8Array.from(text, (character, i) => (i === 0 ? character.charCodeAt(0) - 48 : character.charCodeAt(0))),
      ),
    ],
    words: [
      '"n":"',
      '"bn":"/3/0/',
      '"v":',
      '"vs":"',
      '"vd":"',
      '"vlo":"',
      '"bt":',
      '"t":',
      '"ov":"3:0"',
      '{"',
      '},{',
      '1e',
      '\\u0000',
      '9007199254740993',
    ]
      .map(utf8)
      .concat(
        [
          'd9d9f7',
          'fb',
          'f97e00',
          'c1',
          'c482',
          '9f',
          'ff',
          'bf',
          '1b',
          '3b',
          '21',
          '22',
          '00',
          '02',
          '03',
          '04',
          '08',
        ].map(hex => fromHex(hex)!),
      ),
    check: bytes => {
      const choices = new Choices(bytes);
      checkContent(format, choices.of(bases), choices.rest());
    },
  };
}

function checkContent(format: number, base: Path, payload: Uint8Array): void {
  const found = decodeContent(format, base, payload, definitions);
  if (isContentFault(found)) return;
  ensure(found.length <= payload.length + 1, 'more values than bytes', found.length);
  const seen = new Set<string>();
  for (const { path, value, time } of found) {
    ensure(parsePath(path) === path && containsPath(base, path), 'not below what was asked for', path, base);
    ensure(!seen.has(`${path} ${time}`), 'twice', path, time);
    seen.add(`${path} ${time}`);
    ensure(time === undefined || Number.isFinite(time), 'no time', time);
    const [object, , resource] = pathIds(path);
    const type = definitions.resource(object!, undefined, resource!)?.type;
    ensure(type === undefined || isOfType(type, value), `no ${type}`, path, value);
    // A view would change with the datagram.
    ensure(!(value instanceof Uint8Array) || value.buffer !== payload.buffer, 'a view into the payload', path);
  }
  // One that is said to have a value and instances at once: each format that nests has room for one of them only.
  const isSplit = found.some(({ path }) => found.some(one => one.path !== path && containsPath(path, one.path)));
  if (isSplit) return;
  const again = encodeContent(format, base, found, definitions);
  if (isContentFault(again)) {
    ensure(again.reason === 'not-representable' || found.length === 0, 'cannot be written', again, found);
    return;
  }
  const back = decodeContent(format, base, again, definitions);
  ensure(!isContentFault(back), 'what was written cannot be read', back, found);
  const order = (list: readonly Entry[]) => list.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
  const [left, right] = [order(back), order(found)];
  ensure(
    left.length === right.length &&
      left.every((one, i) => key(one) === key(right[i]!) && isAsGood(one.value, right[i]!.value)),
    'other values came back',
    left,
    right,
  );
}

/** What nobody defined: a time is written as the number it is, and a number beyond 2^53 may come back as an integer. */
function isAsGood(back: ResourceValue, value: ResourceValue): boolean {
  if (typeof back === 'bigint' && typeof value === 'number') return Number(back) === value;
  return sameValue(back, value) || (isTime(value) && back === value.unix);
}

function key({ path, time, unit }: Entry): string {
  return shown([path, time, unit]);
}
