import { decodeRecord, encodeRecord } from '../../../src/adapters/lmdbForms.ts';
import { type Bytes, fromHex, textOf, utf8 } from '../../../src/base/bytes.ts';
import type { WallTime } from '../../../src/base/time.ts';
import { parseLinks } from '../../../src/coap/codec/linkFormat.ts';
import { UriQuery } from '../../../src/coap/codec/option.ts';
import { encodeAllocation } from '../../../src/fleet/allocation.ts';
import { type Attribute, DeviceAttributes } from '../../../src/fleet/attributes.ts';
import type { DeviceRecord } from '../../../src/fleet/device.ts';
import { isQueryFault, parseQuery, selectionOf } from '../../../src/fleet/query.ts';
import type { Selection } from '../../../src/fleet/store.ts';
import { overflow, type TermTest, termsOf } from '../../../src/fleet/terms.ts';
import { isRefusal } from '../../../src/lwm2m/refusal.ts';
import { writeRegistrationMap } from '../../../src/lwm2m/writeRegistrationMap.ts';
import { answers } from '../../../src/service/answer.ts';
import { maxCount, parseSearch, SearchView } from '../../../src/service/search.ts';
import { rules, sampleRecord, unregistered, wall } from '../../support/records.ts';
import { codeOf, locationOf, Registrar } from '../../support/registrar.ts';
import { Choices } from '../choices.ts';
import { ensure, ensureSame, type Target } from '../target.ts';

/** Devices of many kinds: what a search asks for is looked for among them. */
const records: readonly DeviceRecord[] = [
  unregistered(1, 'node-1'),
  sampleRecord(2, { sector: 'cellar', lifetime: 60, lastContact: (wall - 3_600_000) as WallTime }),
  sampleRecord(3, {
    version: undefined,
    dialect: 'lwm2m',
    transport: 'coaps',
    description: {
      objects: [
        { id: 3, version: [1, 0], instances: [0] },
        { id: 3303, version: [1, 1], instances: [0, 1] },
        { id: 5, version: undefined, instances: [] },
      ],
      metadata: { manufacturer: 'Acme', serial: '17', model: 'a b' },
    },
    allocation: encodeAllocation({
      profile: 'meters',
      tags: ['a', 'b c'],
      queue: { limit: 1, awake: 1 },
      events: { count: 1, age: 1, bytes: 1 },
      values: { limit: 1 },
      observations: 0,
    }),
  }),
  sampleRecord(4, {
    name: 'node-44',
    lifetime: 0,
    dialect: 'rd',
    lastContact: (wall - 90_000_000) as WallTime,
    description: {
      root: '/lwm2m',
      objects: [{ id: 1, version: undefined, instances: [0] }],
      links: [
        { href: '/sensors/temp', attributes: { rt: 'temperature core.s', if: 'sensor', ct: '40', obs: true } },
        { href: 'coap://h/1/0', attributes: { anchor: '/a', title: 'x'.repeat(100) } },
        { href: '/3303/0', attributes: {} },
      ],
      endpointType: 'oma.lwm2m',
      base: 'coap://[fe80::1]:61616/p/',
      extra: { 'x-site': 'north', '-1': 7, n: true },
    },
  }),
  sampleRecord(5, {
    description: { links: Array.from({ length: 70 }, (_, i) => ({ href: `/l/${i}`, attributes: { rt: 'many' } })) },
  }),
];
/** Everything that they can be asked for by, whole and by its beginning. */
const asked = records
  .flatMap(record => [...new DeviceAttributes(record).all()])
  .filter(([, value], at, all) => at === all.findIndex(([, other]) => other === value));
const terms = new Map(records.map(record => [record, new Set(termsOf(record))]));
const now = { now: wall, rules, address: '192.0.2.9', only: undefined };

const conditions = [
  'object=3303;1.1 and manufacturer=Acme',
  'lastContact<24h and state!=lapsed',
  'rt=temp* and lifetime>=60',
  'serial="17" AND profile=meters',
  'ep=node-4* and instance=/3303/0',
  'address=192.0.2.* and d!=cellar',
];
const words = [
  ' and ',
  '!=',
  '<=',
  '>',
  '*',
  '"',
  '\\',
  'object=',
  'instance=/',
  'href=',
  'rt=',
  'ep=node-',
  'd=',
  'state=registered',
  'lapsed',
  'lastContact<',
  'lifetime=',
  '24h',
  'serial=17',
  'ver=',
  'tag=b c',
  'anchor=',
  'base=',
  '/rd/',
  'x-site=north',
  'many',
  'title=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
].map(utf8);

export const targets: readonly Target[] = [
  {
    name: 'where',
    holds: 'a condition means something or says where it does not, and the index loses no device that it is true of',
    seeds: [...conditions, ...asked.map(([name, value]) => `${name}="${value}"`), ...asked.map(beginning)].map(utf8),
    words,
    check: bytes => {
      const text = textOf(bytes);
      if (text === undefined) return;
      const found = parseQuery(text);
      if (!isQueryFault(found)) return ensureSound(selectionOf(found, now), text);
      ensure(found.position >= 0 && found.position <= text.length, 'a place beyond the text', found, text);
    },
  },
  {
    name: 'search',
    holds: 'a search is bounded, shows the links of the devices that it accepts, and the index loses none of them',
    seeds: [
      ...asked.flatMap(([name, value], n) => `${n % 2}${name}=${value}`),
      '0ep=node-4*\nrt=core.rd-ep',
      '1rt=temperature\ncount=10\npage=2',
      '0where=object=3303 and lifetime>1h',
      '1href=/sensors/temp',
      '1anchor=coap://h/a\nif=sensor',
    ].map(utf8),
    words: [...words, ...['\n', 'page=', 'count=', 'where=', '=*'].map(utf8)],
    check: bytes => {
      const text = textOf(bytes.subarray(1));
      if (text === undefined) return;
      const search = parseSearch((bytes[0] ?? 0) % 2 === 0 ? 'ep' : 'res', text.split('\n'));
      if (isRefusal(search)) return ensure(search.reason in answers, 'a refusal without an answer', search);
      ensure(search.count >= 1 && search.count <= maxCount, 'how many', search);
      const view = new SearchView(search, now);
      ensureSound(view, text);
      for (const record of records) {
        const links = view.linksOf(record);
        ensure(view.accepts(record) === links.length > 0, 'accepted without a link');
        ensure(search.kind === 'res' || links.length <= 1, 'an endpoint twice', text);
      }
    },
  },
  {
    name: 'directory',
    holds:
      'whatever registers is stored, shown, found and removed again, and the lookup has no other links than its own',
    seeds: [
      registrationOf(0, 'ep=node&lt=60&b a=1', utf8('</a>;rt="x y",</b>;title="<c>,</d>"')),
      registrationOf(0, 'ep=node&lwm2m=1.1&x,</rd/evil>;ep=admin', utf8('</>;rt="oma.lwm2m",</1/0>,</3303/0>;ver=1.1')),
      registrationOf(
        2,
        '',
        writeRegistrationMap(
          {
            lifetime: 60,
            description: {
              extra: { 'x-a b': 'c"d', '-1': [null] },
              links: [{ href: '/a> ,<b', attributes: { 'n n': 'v' } }],
              base: 'coap://x> ,<y',
            },
          },
          'compact',
        ),
      ),
    ],
    words: [
      ...['ep=', '&', '</', '>,', ';rt="', '"', '\\', '<evil>', 'base=', 'et=', 'd=', '__proto__=', 'toJSON='].map(
        utf8,
      ),
      ...['a20001', 'bf', 'ff', '20', '0a81', 'a101'].map(hex => fromHex(hex)!),
    ],
    weight: 20,
    check: checkDirectory,
  },
];

function beginning([name, value]: Attribute): string {
  return `${name}=${value.split(' ')[0]!.slice(0, 5)}*`;
}

/** What is read as: the Content-Format, how long the query is, the query with `&` between its parameters, and the payload. */
function registrationOf(format: number, query: string, payload: Bytes): Bytes {
  const bytes = utf8(query);
  return new Uint8Array([format, bytes.length, ...bytes, ...payload]);
}

function checkDirectory(bytes: Bytes): void {
  const choices = new Choices(bytes);
  const contentFormat = choices.of([40, undefined, 60]);
  const query = (textOf(choices.some(255)) ?? '').split('&');
  const payload = choices.rest();
  const registrar = new Registrar();
  const options = (options: Parameters<NonNullable<Parameters<Registrar['get']>[1]>['options'] & object>[0]) =>
    query.reduce((all, parameter) => all.with(UriQuery, parameter), options);
  const message = { payload, options, ...(contentFormat !== undefined && { contentFormat }) };
  const reply = registrar.register(message, { psk: 'node' });
  const code = codeOf(reply);
  if (code !== '2.01') {
    ensure(code.startsWith('4.'), 'refused with', code);
    ensure(registrar.refused !== undefined && registrar.refused in answers, 'a refusal without an answer', code);
    return ensure(registrar.device('node')?.state === 'none', 'refused, and registered');
  }
  const record = registrar.record('node')!;
  ensureSame(decodeRecord(record.row, encodeRecord(record)), record, 'another record comes from the store');
  const shown = JSON.stringify(registrar.device('node'));
  ensure(shown.length <= 4000 + 32 * bytes.length, 'shows more than was said', shown.length, bytes.length);
  checkLookups(registrar, locationOf(reply));
  ensureSame(codeOf(registrar.update(locationOf(reply), {}, { psk: 'node' })), '2.04', 'an update that says nothing');
  ensureSame(codeOf(registrar.deregister(locationOf(reply), { psk: 'node' })), '2.02', 'deregistration');
  ensure(registrar.get('/rd-lookup/ep').payload.length === 0, 'gone, and found');
}

function checkLookups(registrar: Registrar, location: string): void {
  const inLinks = linksIn(registrar.get('/rd-lookup/ep').payload);
  ensureSame(
    inLinks?.map(({ href }) => href),
    [location],
    'another endpoint',
  );
  ensureSame(inLinks![0]!.attributes.ep, 'node', 'another name');
  ensure(registrar.get('/rd-lookup/ep?ep=node').payload.length > 0, 'not found by its name');
  const description = registrar.device('node')!.description!;
  const resources = linksIn(registrar.get('/rd-lookup/res?count=500').payload);
  const most =
    description.links.length + description.objects.reduce((sum, { instances }) => sum + instances.length + 1, 0);
  ensure(resources !== undefined && resources.length <= most, 'links that nobody registered', resources?.length, most);
  ensure(resources.length >= description.links.length, 'links that are not found', resources.length);
  const inCbor = registrar.get('/rd-lookup/res?count=500', { accept: 60 }).payload;
  ensure(inCbor.length > 0, 'no CBOR');
}

function linksIn(payload: Bytes): ReturnType<typeof parseLinks> {
  const text = textOf(payload);
  return text === undefined ? undefined : parseLinks(text, 2000);
}

/** Every device that is accepted has a term of each test: the index would not pass it over. */
function ensureSound(selection: Selection, text: string): void {
  for (const record of records) {
    if (!selection.accepts(record)) continue;
    for (const test of selection.terms) ensure(isFoundBy(test, record), 'the index loses it', text, record.name, test);
  }
}

function isFoundBy(test: TermTest, record: DeviceRecord): boolean {
  const known = terms.get(record)!;
  if (known.has(overflow)) return true;
  if ('endpoint' in test) return test.prefix ? record.name.startsWith(test.endpoint) : record.name === test.endpoint;
  if ('any' in test) return test.any.some(term => known.has(term));
  return [...known].some(term => compareUtf8(term, test.from) >= 0 && compareUtf8(term, test.until) < 0);
}

/** As the store orders its keys. */
function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
