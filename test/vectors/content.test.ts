import t from 'tap';
import { type Bytes, fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import { isContentFault } from '../../src/lwm2m/content/fault.ts';
import { decodeContent, decodePaths, encodeContent } from '../../src/lwm2m/content/select.ts';
import { type ResolvedRecord, resolveRecords } from '../../src/lwm2m/content/senml.ts';
import { readCborPack } from '../../src/lwm2m/content/senmlCbor.ts';
import { readJsonPack } from '../../src/lwm2m/content/senmlJson.ts';
import { objectDefinition } from '../../src/lwm2m/definition.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import type { ResourceJson } from '../../src/lwm2m/objectJson.generated.ts';
import { type Path, parsePath } from '../../src/lwm2m/path.ts';
import { type Entry, measuredAt } from '../../src/lwm2m/value.ts';

type Test = Pick<typeof t, 'same' | 'equal' | 'fail'>;

// The object that the LwM2M specification uses to illustrate links, and its weather station (LwM2M 1.0 §6.4).
const resource = (id: number, type: ResourceJson['type'], multiple = false): ResourceJson => ({
  id,
  name: `R${id}`,
  operations: 'RW',
  type,
  multiple,
});
const definitions = Definitions.registry().with([
  objectDefinition({
    id: 65,
    name: 'Links',
    resources: [resource(0, 'objlnk', true), resource(1, 'string'), resource(2, 'integer')],
  }),
  objectDefinition({ id: 72, name: 'Weather', resources: [resource(2, 'float')] }),
]);

const device: Record<string, Entry['value']> = {
  '/3/0/0': 'Open Mobile Alliance',
  '/3/0/1': 'Lightweight M2M Client',
  '/3/0/2': '345000123',
  '/3/0/3': '1.0',
  '/3/0/6/0': 1,
  '/3/0/6/1': 5,
  '/3/0/7/0': 3800,
  '/3/0/7/1': 5000,
  '/3/0/8/0': 125,
  '/3/0/8/1': 900,
  '/3/0/9': 100,
  '/3/0/10': 15,
  '/3/0/11/0': 0,
  '/3/0/13': { unix: 1367491215 },
  '/3/0/14': '+02:00',
  '/3/0/16': 'U',
};

const deviceTlv = [
  `c80014${text('Open Mobile Alliance')}`,
  `c80116${text('Lightweight M2M Client')}`,
  `c80209${text('345000123')}`,
  `c303${text('1.0')}`,
  '8606410001410105',
  '88070842000ed842011388',
  '870841007d42010384',
  'c10964',
  'c10a0f',
  '830b410000',
  'c40d5182428f',
  `c60e${text('+02:00')}`,
  'c11055',
].join('');

t.test('the examples of LwM2M 1.0 §6.4.3: TLV', async t => {
  both(t, 11542, '/3/0', deviceTlv, device);
  reads(t, 11542, '/3', `080079${deviceTlv}`, device);
  reads(t, 1542, '/3/0', deviceTlv, device);
  both(
    t,
    11542,
    '/2',
    '08000ec10001c1010083024 17f07c1037f0802 12c10003c1010087024 17f0761013601c1037f'.replace(/ /g, ''),
    {
      '/2/0/0': 1,
      '/2/0/1': 0,
      '/2/0/2/127': 7,
      '/2/0/3': 127,
      '/2/2/0': 3,
      '/2/2/1': 0,
      '/2/2/2/127': 7,
      '/2/2/2/310': 1,
      '/2/2/3': 127,
    },
  );
  both(t, 11542, '/1', '08000fc10001c40100015180c10601c10755', {
    '/1/0/0': 1,
    '/1/0/1': 86400,
    '/1/0/6': true,
    '/1/0/7': 'U',
  });
  both(
    t,
    11542,
    '/65/0',
    `88000c44000042000044010042000 1c8010d${text('8613800755500')}c40212345678`.replace(/ /g, ''),
    {
      '/65/0/0/0': { object: 66, instance: 0 },
      '/65/0/0/1': { object: 66, instance: 1 },
      '/65/0/1': '8613800755500',
      '/65/0/2': 0x12345678,
    },
  );
});

t.test('the examples of LwM2M 1.0 §6.4.4: JSON', async t => {
  const elements = [
    '{"n":"0","sv":"Open Mobile Alliance"}',
    '{"n":"1","sv":"Lightweight M2M Client"}',
    '{"n":"2","sv":"345000123"}',
    '{"n":"3","sv":"1.0"}',
    '{"n":"6/0","v":1}',
    '{"n":"6/1","v":5}',
    '{"n":"7/0","v":3800}',
    '{"n":"7/1","v":5000}',
    '{"n":"8/0","v":125}',
    '{"n":"8/1","v":900}',
    '{"n":"9","v":100}',
    '{"n":"10","v":15}',
    '{"n":"11/0","v":0}',
    '{"n":"13","v":1367491215}',
    '{"n":"14","sv":"+02:00"}',
    '{"n":"16","sv":"U"}',
  ];
  both(t, 11543, '/3/0', json(`{"bn":"/3/0/","e":[${elements.join(',')}]}`), device);
  reads(t, 11543, '/3/0', json(`{"e":[${elements.join(',')}]}`), device);
  reads(t, 11543, '/3/0/9', json('{"bn":"/3/0/9","e":[{"n":"","v":100}]}'), { '/3/0/9': 100 });
  reads(t, 11543, '/', json('{"bn":"/","e":[{"n":"65/0/0/0","ov":"66:0"},{"n":"65/0/1","sv":"x"}]}'), {
    '/65/0/0/0': { object: 66, instance: 0 },
    '/65/0/1': 'x',
  });
  const notified = decodeContent(
    11543,
    '/72' as Path,
    utf8('{"bn":"/72/","bt":1425462634,"e":[{"n":"1/2","v":22.4,"t":-5},{"n":"1/2","v":22.9,"t":-30}]}'),
    definitions,
  );
  t.same(notified, [
    { path: '/72/1/2', value: 22.4, time: 1425462629 },
    { path: '/72/1/2', value: 22.9, time: 1425462604 },
  ]);
});

t.test('the examples of LwM2M 1.1 §7.4.4 and §7.4.5: SenML in JSON and CBOR', async t => {
  const first = Object.fromEntries(Object.entries(device).slice(0, 4));
  const records =
    '[{"bn":"/3/0/","n":"0","vs":"Open Mobile Alliance"},{"n":"1","vs":"Lightweight M2M Client"},' +
    '{"n":"2","vs":"345000123"},{"n":"3","vs":"1.0"}]';
  both(t, 110, '/3/0', json(records), first);
  const cbor = [
    `84a321652f332f302f00613003 74${text('Open Mobile Alliance')}`,
    `a200613103 76${text('Lightweight M2M Client')}`,
    `a200613203 69${text('345000123')}`,
    `a200613303 63${text('1.0')}`,
  ];
  both(t, 112, '/3/0', cbor.join('').replace(/ /g, ''), first);
  // An object link in SenML CBOR (OMA_LwM2M_for_Developers#484).
  reads(t, 112, '/65/0', '81a200692f36352f302f302f3063766c6f6436363a30', { '/65/0/0/0': { object: 66, instance: 0 } });
  reads(t, 110, '/65/0', json('[{"n":"/65/0/0/0","vlo":"66:0"}]'), { '/65/0/0/0': { object: 66, instance: 0 } });
  t.same(decodePaths(110, utf8('[{"n":"/3/0/0"},{"n":"/3/0/9"},{"n":"/1/0"}]')), ['/3/0/0', '/3/0/9', '/1/0']);
});

t.test(
  'LwM2M CBOR: levels one by one, or several in one key, in maps of definite and of indefinite length',
  async t => {
    const wanted = { '/3/0/0': 'ACME', '/3/0/9': 100 };
    reads(t, 11544, '/', 'a103a100a2006441434d45091864', wanted);
    both(t, 11544, '/3/0', 'a1820300a2006441434d45091864', wanted);
    // As one client's library writes it: {_ [3, 0]: {_ 0: "ACME", 9: 100}}.
    reads(t, 11544, '/3/0', 'bf820300bf006441434d45091864ffff', wanted);
    both(t, 11544, '/3/0/9', 'a1830300091864', { '/3/0/9': 100 });
    both(t, 11544, '/3/0', 'a183030006a200010105', { '/3/0/6/0': 1, '/3/0/6/1': 5 });
    // Times as integer, with tag 1, and as text with tag 0 and without (Core 1.2 table C-2).
    for (const time of [
      '1a5182428f',
      'c11a5182428f',
      `c074${text('2013-05-02T10:40:15Z')}`,
      `74${text('2013-05-02T10:40:15Z')}`,
    ]) {
      reads(t, 60, '/3/0/13', time, { '/3/0/13': { unix: 1367491215 } });
    }
  },
);

t.test('the examples of RFC 8428 §5.1: base fields apply until they change', async t => {
  const name = 'urn:dev:ow:10e2073a01080063';
  t.same(resolve(`[{"n":"${name}","u":"Cel","v":23.1}]`), [record(name, 'Cel', undefined, 23.1)]);
  const resolved = resolve(`[
    {"bn":"${name}","bt":1.320067464e+09,"bu":"%RH","v":20},
    {"u":"lon","v":24.30621},{"u":"lat","v":60.07965},{"t":60,"v":20.3},{"u":"%EL","t":150,"v":98}]`);
  t.same(resolved, [
    record(name, '%RH', 1320067464, 20),
    record(name, 'lon', 1320067464, 24.30621),
    record(name, 'lat', 1320067464, 60.07965),
    record(name, '%RH', 1320067524, 20.3),
    record(name, '%EL', 1320067614, 98),
  ]);
  t.same(
    resolve(`[{"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":25.2},
      {"n":"humidity","u":"%RH","v":30},
      {"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},{"n":"humidity","u":"%RH","v":67}]`).map(
      ({ name: of, time }) => [of, time],
    ),
    [
      ['2001:db8::2/temperature', 1320078429],
      ['2001:db8::2/humidity', 1320078429],
      ['2001:db8::1/temperature', 1320078429],
      ['2001:db8::1/humidity', 1320078429],
    ],
  );
  t.same(
    resolve(`[{"bn":"${name}:","n":"temp","u":"Cel","v":23.1},{"n":"label","vs":"Machine Room"},
      {"n":"open","vb":false},{"n":"nfv-reader","vd":"aGkgCg"}]`).map(({ value }) => value),
    [23.1, 'Machine Room', false, utf8('hi \n')],
  );
  t.equal(resolve(`[{"bn":"${name}:"},{"n":"temp","u":"Cel","v":23.1}]`).length, 1, 'a record of base fields is none');
  t.same(
    resolve('[{"bn":"a","bv":20,"v":0.5},{"v":2}]').map(({ value }) => value),
    [20.5, 22],
  );
});

t.test('the example of RFC 8428 §6, byte for byte, is that of §5.1.2', async t => {
  const dump =
    '87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c746167650161' +
    '5602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302fb3ff4cccccccccccda30067' +
    '63757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00a3006763757272656e74062002fb3ff999999999999aa3' +
    '006763757272656e74060002fb3ffb333333333333';
  const fromCbor = [...resolveRecords(readCborPack(fromHex(dump)!))];
  const fromJson = resolve(`[
    {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
    {"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","t":-3,"v":1.4},
    {"n":"current","t":-2,"v":1.5},{"n":"current","t":-1,"v":1.6},{"n":"current","t":0,"v":1.7}]`);
  t.same(fromCbor, fromJson);
  t.equal(fromCbor[1]!.time, 1276020071.001);
});

t.test('a time below 2^28 counts from the receipt (RFC 8428 §4.5.3)', async t => {
  const received = 1_700_000_000_000 as WallTime;
  t.equal(measuredAt({ time: -5 }, received), 1_699_999_995_000);
  t.equal(measuredAt({ time: 0 }, received), received);
  t.equal(measuredAt({ time: 1320067464 }, received), 1_320_067_464_000);
  t.equal(measuredAt({}, received), undefined);
});

/** Decodes to these values, and these values encode to just these bytes. */
function both(t: Test, format: number, base: string, hex: string, wanted: Record<string, Entry['value']>): void {
  reads(t, format, base, hex, wanted);
  const written = encodeContent(format, parsePath(base)!, entriesOf(wanted), definitions);
  if (isContentFault(written)) t.fail(`${format} ${base}: ${written.reason} ${written.detail}`);
  else t.equal(toHex(written), hex, `${format} ${base} is written`);
}

function reads(t: Test, format: number, base: string, hex: string, wanted: Record<string, Entry['value']>): void {
  const found = decodeContent(format, parsePath(base)!, fromHex(hex)!, definitions);
  t.same(found, entriesOf(wanted), `${format} ${base} ${hex}`);
}

function entriesOf(values: Record<string, Entry['value']>): Entry[] {
  return Object.entries(values).map(([path, value]) => ({ path: parsePath(path) as Entry['path'], value }));
}

function resolve(pack: string): ResolvedRecord[] {
  return [...resolveRecords(readJsonPack(utf8(pack)))];
}

function record(
  name: string,
  unit: string | undefined,
  time: number | undefined,
  value: Entry['value'],
): ResolvedRecord {
  return { name, unit, time, value };
}

function text(content: string): string {
  return toHex(utf8(content));
}

function json(content: string): string {
  return toHex(utf8(content) as Bytes);
}
