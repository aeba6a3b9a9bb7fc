import fc from 'fast-check';
import t from 'tap';
import { type Bytes, utf8 } from '../../../src/base/bytes.ts';
import { type Description, emptyDescription } from '../../../src/lwm2m/registrationRequest.ts';
import { writeRegistrationMap } from '../../../src/lwm2m/writeRegistrationMap.ts';
import { codeOf, Registrar } from '../../support/registrar.ts';

// Whatever arrives is registered and can be shown, or is refused with 4.xx: nothing throws, and nothing is 5.xx.

function survives(query: string, contentFormat: number | undefined, payload: Bytes): void {
  const registrar = new Registrar();
  registrar.claim('node');
  const code = codeOf(
    registrar.register({ query, payload, ...(contentFormat !== undefined && { contentFormat }) }, { psk: 'node' }),
  );
  if (code !== '2.01' && !code.startsWith('4.')) throw new Error(code);
  const shown = registrar.device('node');
  if ((shown?.state === 'registered') !== (code === '2.01'))
    throw new Error(`${code}, and the device is ${shown?.state}`);
  JSON.stringify(shown);
}

const description: Description = {
  ...emptyDescription,
  contentFormats: [60, 112],
  objects: [
    { id: 1, version: [1, 1], instances: [0] },
    { id: 3303, version: undefined, instances: [0, 1] },
  ],
  links: [{ href: '/a', attributes: { rt: 'temp', obs: true } }],
  metadata: { manufacturer: 'ACME', '-1': 'x' },
  observations: [{ path: '/3303/0/5700', pmin: 1, pmax: 60 }],
  extra: { '-5': [1, { a: null }], 'x-site': 'north' },
  bootId: '0102',
};
const good = writeRegistrationMap(
  { endpoint: 'node', lifetime: 60, version: [1, 1], binding: 'U', description },
  'compact',
);
const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
const deep = fc.constantFrom(
  0x81,
  0xa1,
  0xa2,
  0x9f,
  0xbf,
  0xc2,
  0xd8,
  0xf9,
  0xfb,
  0x1b,
  0x3b,
  0x5b,
  0x7b,
  0x9b,
  0xbb,
  0xff,
);

t.test('any bytes as a map', async () => {
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.array(fc.oneof(deep, fc.nat(255)), { maxLength: 60 }));
  fc.assert(
    fc.property(bytes, any => survives('', 60, new Uint8Array(any))),
    { numRuns: 1500 },
  );
});

t.test('a good map with bytes changed, cut short or followed by more', async () => {
  const property = fc.property(
    changes,
    fc.nat(good.length),
    fc.uint8Array({ maxLength: 3 }),
    (changed, length, more) => {
      const bytes = good.slice();
      for (const [at, value] of changed) bytes[at] = value;
      survives('', 60, bytes);
      survives('', 60, good.subarray(0, length));
      survives('', 60, new Uint8Array([...good, ...more]));
    },
  );
  fc.assert(property, { numRuns: 700 });
});

t.test('a private value of any shape, with any names', async () => {
  const key = fc.oneof(fc.string(), fc.constantFrom('toJSON', 'constructor', '__proto__', 'then', 'length'));
  const value = fc.letrec(tie => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.string(),
      fc.double(),
      fc.maxSafeInteger(),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 3 }),
    ),
  })).value;
  const property = fc.property(value, any =>
    survives('', 60, writeRegistrationMap({ description: { extra: { '-1': any } } }, 'compact')),
  );
  fc.assert(property, { numRuns: 300 });
});

t.test('any text as a list of links', async () => {
  const piece = fc.constantFrom(
    '<',
    '>',
    ';',
    ',',
    '"',
    '=',
    '\\',
    '/',
    '0',
    '3',
    '65536',
    'rt',
    'oma.lwm2m',
    'ver',
    'ct',
    '1.1',
    ' ',
    'é',
    '\0',
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 40 }).map(pieces => pieces.join('')),
  );
  const property = fc.property(text, fc.constantFrom('lwm2m=1.1', 'lwm2m=1.0&ep=node', ''), (any, query) => {
    survives(query, 40, utf8(any));
    survives(query, undefined, utf8(`</>;rt="oma.lwm2m",</3/0>;${any}`));
  });
  fc.assert(property, { numRuns: 700 });
});

t.test('any query', async () => {
  const name = fc.constantFrom(
    'ep',
    'd',
    'lt',
    'lwm2m',
    'b',
    'Q',
    'sms',
    'pid',
    'base',
    'et',
    'x-a',
    '__proto__',
    'toJSON',
    '',
  );
  const value = fc.oneof(fc.constantFrom('node', '0', '1.1', '1.2', 'U', 'UQ', '60', ''), fc.string());
  const parameter = fc.oneof(
    fc.tuple(name, value).map(pair => pair.join('=')),
    name,
    fc.string(),
  );
  const property = fc.property(
    fc.array(parameter, { maxLength: 8 }),
    fc.constantFrom(undefined, 40, 60),
    (parameters, format) =>
      survives(parameters.join('&'), format, format === 60 ? new Uint8Array([0xa1, 0, 1]) : utf8('</3/0>')),
  );
  fc.assert(property, { numRuns: 1000 });
});
