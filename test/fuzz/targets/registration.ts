import { Decoder } from 'cbor-x';
import { decode as decodeByOthers, encode as encodeByOthers } from 'cborg';
import { type Bytes, fromHex, textOf, utf8 } from '../../../src/base/bytes.ts';
import { formatLinks } from '../../../src/coap/codec/linkFormat.ts';
import { scanCbor, withoutSelfDescription } from '../../../src/lwm2m/cborScan.ts';
import { writeObjectLinks } from '../../../src/lwm2m/objectLinks.ts';
import { parseRegister, parseUpdate } from '../../../src/lwm2m/parse.ts';
import { isRefusal } from '../../../src/lwm2m/refusal.ts';
import { readRegistrationMap } from '../../../src/lwm2m/registrationMap.ts';
import type { RegistrationRequest } from '../../../src/lwm2m/registrationRequest.ts';
import { writeRegisterQuery } from '../../../src/lwm2m/writeRegisterQuery.ts';
import { writeRegistrationMap } from '../../../src/lwm2m/writeRegistrationMap.ts';
import { answers } from '../../../src/service/answer.ts';
import { Choices } from '../choices.ts';
import { ensure, ensureSame, shown, type Target } from '../target.ts';

const maps: readonly Bytes[] = [
  writeRegistrationMap({ endpoint: 'node', lifetime: 60, version: [1, 1], binding: 'U' }, 'compact'),
  ...(['compact', 'text'] as const).map(form =>
    writeRegistrationMap(
      {
        endpoint: 'node',
        lifetime: 3600,
        version: [1, 2],
        queueMode: true,
        sms: '+491',
        sector: 's',
        description: {
          contentFormats: [60, 112],
          objects: [
            { id: 1, version: [1, 1], instances: [0] },
            { id: 3303, version: undefined, instances: [0, 1] },
          ],
          links: [{ href: '/a', attributes: { rt: 'temp', obs: true, ct: '60' } }],
          metadata: { manufacturer: 'ACME', '-1': 'x' },
          observations: [{ path: '/3303/0/5700', pmin: 1, pmax: 60 }],
          extra: { '-5': [1, { a: null }], 'x-site': 'north' },
          endpointType: 't',
          base: 'coap://h',
          model: 7,
          awake: 20,
          bootId: '0102',
        },
      },
      form,
    ),
  ),
];
const cborWords = [
  'd9d9f7',
  '9f',
  'ff',
  'bf',
  'a0',
  'f6',
  'f5',
  'fb',
  'f97e00',
  '1b001fffffffffffff',
  '3b',
  '20',
  '7818',
  '5818',
  'c2',
  '0001',
].map(hex => fromHex(hex)!);

export const targets: readonly Target[] = [
  {
    name: 'cbor-scan',
    holds: 'what passes two other decoders read, and read the same; nothing that passes is deep, tagged or twice there',
    seeds: [
      ...maps,
      encodeByOthers([1, -2, 'a', new Uint8Array(2), { b: [true, null, 1.5] }]),
      fromHex('9f01bf6161f93c00ffff')!,
    ],
    words: cborWords,
    check: checkScan,
  },
  {
    name: 'registration-map',
    holds: 'a map that is read comes back from both of its forms; what is refused has a word for it',
    seeds: maps,
    words: cborWords,
    check: bytes => {
      const map = readRegistrationMap(bytes);
      if (isRefusal(map)) return ensure(map.reason === 'bad-cbor' || map.reason === 'bad-map', 'another word', map);
      // Names that integer keys stand for are at most as long as a tag with its value.
      ensure(shown(map).length <= 64 + 16 * bytes.length, 'a map that grows', shown(map).length, bytes.length);
      checkRequest([], 60, bytes);
    },
  },
  {
    name: 'registration-query',
    holds: 'a registration in any dialect comes back from that dialect; an update of it is read by the same rules',
    seeds: [
      requestOf(
        0,
        ['ep=node', 'lt=60', 'lwm2m=1.1', 'b=U', 'Q'],
        utf8('</>;rt="oma.lwm2m";ct=60,</1/0>,</3303/0>;ver=1.1'),
      ),
      requestOf(1, ['ep=node', 'lt=60', 'lwm2m=1.0', 'b=UQ', 'sms=1'], utf8('</lwm2m>;rt="oma.lwm2m",</lwm2m/3/0>')),
      requestOf(
        0,
        ['ep=node', 'd=s', 'base=coap://[::1]', 'et=x', 'foo=bar'],
        utf8('</a>;rt="a b",<//h/b>;anchor="/c"'),
      ),
      requestOf(2, ['ep=node', 'lwm2m=1.2', 'pid=p'], maps[0]!),
    ],
    words: [
      'ep=',
      'lt=',
      'lwm2m=1.',
      'b=UQ',
      'Q',
      'sms=',
      'd=',
      'pid=',
      'base=',
      'et=',
      '</',
      '>;',
      'ver=1.1',
      'rt="oma.lwm2m"',
      'ct="60 112"',
      '__proto__=',
      '4294967295',
    ].map(utf8),
    check: bytes => {
      const choices = new Choices(bytes);
      const contentFormat = choices.of([40, undefined, 60]);
      const query = Array.from({ length: choices.below(9) }, () => textOf(choices.some(40)) ?? '');
      checkRequest(query, contentFormat, choices.rest());
    },
  },
];

/** As the target reads it: the Content-Format, how many parameters, each with its length, and the payload. */
function requestOf(format: number, query: readonly string[], payload: Bytes): Bytes {
  const parameters = query.flatMap(text => [text.length, ...utf8(text)]);
  return new Uint8Array([format, query.length, ...parameters, ...payload]);
}

function checkScan(bytes: Bytes): void {
  if (scanCbor(bytes) !== undefined) return;
  const ours: unknown = decoder.decode(bytes);
  const theirs: unknown = decodeByOthers(bytes, { allowIndefinite: true, useMaps: true, rejectDuplicateMapKeys: true });
  // The one integer that a number holds exactly and others do not trust it with.
  ensureSame(shown(ours), shown(theirs).replaceAll(`"${-(2 ** 53)}n"`, `${-(2 ** 53)}`), 'two decoders');
  ensure(depthOf(ours) <= 8, 'deep', bytes);
  ensureSame(scanCbor(withoutSelfDescription(bytes)), undefined, 'without a tag in front');
  ensure(scanCbor(new Uint8Array([...bytes, 0])) === 'bytes-after-the-end', 'a byte more');
  ensure(bytes.length === 0 || scanCbor(bytes.subarray(0, -1)) !== undefined, 'a byte less');
}

function depthOf(value: unknown): number {
  const inner = Array.isArray(value) ? value : value instanceof Map ? [...value.values()] : undefined;
  return inner === undefined ? 0 : 1 + Math.max(0, ...inner.map(depthOf));
}

function checkRequest(query: readonly string[], contentFormat: number | undefined, payload: Bytes): void {
  const raw = { query, contentFormat, payload };
  const request = parseRegister(raw);
  if (isRefusal(request)) {
    ensure(request.reason in answers, 'a refusal without an answer', request.reason);
    ensure((request.detail?.length ?? 0) <= 200, 'a long detail');
    return;
  }
  ensure(
    request.lifetime === undefined || (request.lifetime >= 0 && request.lifetime < 2 ** 32),
    'a lifetime',
    request.lifetime,
  );
  // A query beside a map may have names that no map can have.
  if (request.dialect !== 'cbor' || query.length === 0) ensureSame(parseAgain(request), request, 'another came back');
  const { dialect, version, description } = request;
  const registered = {
    dialect,
    version,
    name: request.endpoint ?? 'node',
    sector: request.sector,
    root: () => description.root,
  };
  const update = parseUpdate({ query: [], contentFormat: undefined, payload: new Uint8Array() }, registered);
  ensure(!isRefusal(update), 'an update that says nothing is refused', update);
  const again = parseUpdate({ ...raw, query: query.filter(parameter => !parameter.startsWith('pid=')) }, registered);
  ensure(!isRefusal(again) || again.reason in answers, 'a refusal without an answer');
}

/** Written by the device's side, in each form that the dialect has. */
function parseAgain(request: RegistrationRequest): RegistrationRequest {
  if (request.dialect === 'cbor') {
    const [compact, text] = (['compact', 'text'] as const).map(form =>
      parseRegister({ query: [], contentFormat: 60, payload: writeRegistrationMap(request, form) }),
    );
    ensureSame(compact, text, 'two forms of one map');
    return compact as RegistrationRequest;
  }
  const links = request.dialect === 'lwm2m' ? writeObjectLinks(request.description) : request.description.links;
  const payload = utf8(formatLinks(links));
  return parseRegister({ query: writeRegisterQuery(request), contentFormat: 40, payload }) as RegistrationRequest;
}

const decoder = new Decoder({ mapsAsObjects: false, useRecords: false, int64AsNumber: true } as object);
