import { decode, encode } from 'cborg';
import t from 'tap';
import { decodeRecord, encodeRecord } from '../../../src/adapters/lmdbForms.ts';
import { type Bytes, fromHex, toHex } from '../../../src/base/bytes.ts';
import { ContentFormat } from '../../../src/coap/codec/option.ts';
import { readRegistrationReply, writeRegistrationReply } from '../../../src/lwm2m/registrationReply.ts';
import { type Caller, codeOf, locationOf, Registrar } from '../../support/registrar.ts';

const cbor = 60;
const node: Caller = { psk: 'node' };

/** Encoded by somebody else's encoder, in the order given. */
function map(...pairs: [number | string, unknown][]): Bytes {
  return encode(new Map(pairs), { mapSorter: () => 0 });
}

function register(registrar: Registrar, payload: Bytes, query = '', caller = node) {
  return registrar.register({ query, contentFormat: cbor, payload }, caller);
}

t.test('the smallest map registers with what the credential says and defaults', async t => {
  const registrar = new Registrar();
  t.equal(codeOf(register(registrar, map([0, 1]))), '2.01');
  t.match(registrar.device('node'), { dialect: 'cbor', endpoint: 'node', lifetime: 86_400, binding: 'U' });
});

t.test(
  'a number is the same in each length that CBOR has for it, so that none becomes what JSON cannot show',
  async t => {
    for (const lifetime of ['183c', '19003c', '1a0000003c', '1b000000000000003c']) {
      const registrar = new Registrar();
      const payload = fromHex(`a3000102${lifetime}203b000000000000003c`)!;
      t.equal(codeOf(register(registrar, payload)), '2.01', lifetime);
      t.match(registrar.device('node'), { lifetime: 60, description: { extra: { '-1': -61 } } });
      t.doesNotThrow(() => JSON.stringify(registrar.device('node')), 'as --json prints it');
    }
  },
);

t.test('a number that wakes the device is stored whole, however many bytes its characters take', async t => {
  const registrar = new Registrar();
  t.equal(codeOf(register(registrar, map([0, 1], [15, '𝟙'.repeat(63)]))), '2.01');
  const record = registrar.record('node')!;
  t.equal(decodeRecord(record.row, encodeRecord(record)).registration?.sms, '𝟙'.repeat(63));
  t.equal(codeOf(register(registrar, map([0, 1], [15, '𝟙'.repeat(64)]))), '4.00');
});

t.test('six objects take 20 bytes', async t => {
  const payload = map([0, 1], [8, [1, 3, 4, 5, [3303, null, [0, 1]], 3304]]);
  t.equal(payload.length, 20, toHex(payload));
  const registrar = new Registrar();
  t.equal(codeOf(register(registrar, payload)), '2.01');
  t.match(registrar.device('node')?.description?.objects, [
    { id: 1, instances: [0] },
    { id: 3, instances: [0] },
    { id: 4, instances: [0] },
    { id: 5, instances: [0] },
    { id: 3303, instances: [0, 1] },
    { id: 3304, instances: [0] },
  ]);
});

t.test('everything that the map can say, in integer keys and in text keys, is the same registration', async t => {
  const boot = new Uint8Array([1, 2, 3]);
  const compact = map(
    [0, 1],
    [1, 'node'],
    [2, 300],
    [3, [1, 2]],
    [4, 'UMH'],
    [5, true],
    [
      6,
      new Map<number | string, string>([
        [0, 'ACME'],
        [1, 'T1'],
        [2, 'S1'],
        [3, 'F1'],
        [17, 'sensor'],
        [18, 'H1'],
        [19, 'W1'],
        [-1, 'mine'],
        ['x-lot', '7'],
      ]),
    ],
    [7, [60, 112]],
    [8, [[3303, [1, 1], [1, 0]], 3, [0, null, [0]]]],
    [9, [[[3303, 0, 5700], 10, 60], ['/3/0']]],
    [
      10,
      [
        new Map<number | string, unknown>([
          [1, '/a'],
          [9, 'temp'],
          [11, 12],
          [13, true],
          ['title*', 'é'],
        ]),
      ],
    ],
    [11, boot],
    [13, 'coap://[2001:db8::1]'],
    [14, 'oic.d.light'],
    [15, '0170'],
    [16, 'T1'],
    [17, 22],
    [18, boot],
    [20, 'later'],
    [-5, [1, { deep: new Uint8Array([0xab]) }, 1.5, null, false]],
    ['x-site', 'north'],
  );
  const verbose = map(
    ['v', 1],
    ['ep', 'node'],
    ['lt', 300],
    ['lwm2m', '1.2'],
    ['b', 'UMH'],
    ['q', true],
    [
      'meta',
      new Map<number | string, string>([
        ['manufacturer', 'ACME'],
        ['model', 'T1'],
        ['serial', 'S1'],
        ['firmware', 'F1'],
        ['type', 'sensor'],
        ['hardware', 'H1'],
        ['software', 'W1'],
        [-1, 'mine'],
        ['x-lot', '7'],
      ]),
    ],
    ['ct', [60, 112]],
    ['obj', { 3303: { v: '1.1', i: [0, 1] }, 3: { i: [0] }, 21: {} }],
    ['obs', [{ p: '/3303/0/5700', pmin: 10, pmax: 60 }, { p: '/3/0' }]],
    ['links', [{ href: '/a', rt: 'temp', sz: '12', obs: true, rel: false, 'title*': 'é' }]],
    ['token', '010203'],
    ['base', 'coap://[2001:db8::1]'],
    ['et', 'oic.d.light'],
    ['sms', '0170'],
    ['model', 'T1'],
    ['awake', 22],
    ['boot', '010203'],
    [20, 'later'],
    [-5, [1, { deep: new Uint8Array([0xab]) }, 1.5, null, false]],
    ['x-site', 'north'],
  );
  const devices = [compact, verbose].map(payload => {
    const registrar = new Registrar();
    t.equal(codeOf(register(registrar, payload)), '2.01');
    return registrar.device('node');
  });
  t.strictSame(devices[0], devices[1]);
  t.match(devices[0], {
    lifetime: 300,
    lwm2m: '1.2',
    queueMode: true,
    sms: '0170',
    description: {
      metadata: { manufacturer: 'ACME', software: 'W1', '-1': 'mine', 'x-lot': '7' },
      objects: [
        { id: 3, instances: [0] },
        { id: 3303, version: [1, 1], instances: [0, 1] },
      ],
      observations: [{ path: '/3303/0/5700', pmin: 10, pmax: 60 }, { path: '/3/0' }],
      links: [{ href: '/a', attributes: { rt: 'temp', sz: '12', obs: true, 'title*': 'é' } }],
      extra: { 20: 'later', '-5': [1, { deep: "h'ab'" }, 1.5, null, false], 'x-site': 'north' },
      awake: 22,
      bootId: '010203',
    },
  });
  t.notMatch(JSON.stringify(devices[0]), /token/, 'a token is a secret');
});

t.test('what the map may not say is 4.00, and leaves nothing behind', async t => {
  const object = (entry: unknown) => map([0, 1], [8, [entry]]);
  const table: readonly [why: string, payload: Bytes][] = [
    ['no version of the map', map([2, 60])],
    ['another version of the map', map([0, 2])],
    ['an odd key above 18', map([0, 1], [19, 1])],
    ['a text key without x-', map([0, 1], ['site', 1])],
    ['x- alone', map([0, 1], ['x-', 1])],
    ['integer and text keys in one map', map([0, 1], ['ep', 'node'])],
    ['text and integer keys in one map', map(['v', 1], [2, 60])],
    ['a lifetime of 0 without a version', map([0, 1], [2, 0])],
    ['a lifetime of 0 in 1.0', map([0, 1], [2, 0], [3, [1, 0]])],
    ['a lifetime beyond 32 bits', map([0, 1], [2, 2 ** 32])],
    ['a lifetime as text', map([0, 1], [2, '60'])],
    ['a negative lifetime', map([0, 1], [2, -60])],
    ['a version that is a number', map([0, 1], [3, 1.1])],
    ['a binding letter that nobody knows', map([0, 1], [4, 'UZ'])],
    ['a binding letter twice', map([0, 1], [4, 'UU'])],
    ['a binding letter of 1.2 in 1.1', map([0, 1], [3, [1, 1]], [4, 'UM'])],
    ['an unknown metadata number', map([0, 1], [6, new Map([[4, 'x']])])],
    ['metadata that is no text', map([0, 1], [6, new Map([[0, 1]])])],
    [
      'a metadata field twice',
      map(
        [0, 1],
        [
          6,
          new Map<unknown, string>([
            [0, 'a'],
            ['manufacturer', 'b'],
          ]),
        ],
      ),
    ],
    ['an object beyond 16 bits', object(65_536)],
    ['a negative object', object(-1)],
    ['an object of two parts', object([3, null])],
    ['an object twice', map([0, 1], [8, [3, [3, null, [1]]]])],
    ['an instance twice', object([3, null, [0, 0]])],
    ['a version out of range', object([3, [1, 256], [0]])],
    ['an observation with four parts', map([0, 1], [9, [[[3], 1, 2, 3]]])],
    ['an observation of nothing', map([0, 1], [9, [[[]]]])],
    ['an observed path beyond 16 bits', map([0, 1], [9, [['/65536']]])],
    ['an observed path with a zero in front', map([0, 1], [9, [['/03']]])],
    ['an observed path of texts', map([0, 1], [9, [[['3/0']]]])],
    ['a link without href', map([0, 1], [10, [new Map([[9, 'x']])]])],
    [
      'a link with an unknown number',
      map(
        [0, 1],
        [
          10,
          [
            new Map<number, string>([
              [1, '/a'],
              [99, 'x'],
            ]),
          ],
        ],
      ),
    ],
    ['a Content-Format twice', map([0, 1], [7, [60, 60]])],
    ['no Content-Format in the list', map([0, 1], [7, []])],
    ['a boot id of 17 bytes', map([0, 1], [18, new Uint8Array(17)])],
    ['an empty boot id', map([0, 1], [18, new Uint8Array(0)])],
    ['a token that is no bytes', map(['v', 1], ['token', 'secret!'])],
    ['an empty name', map([0, 1], [1, ''])],
    ['a name of 64 bytes', map([0, 1], [1, 'n'.repeat(64)])],
    ['257 objects', map([0, 1], [8, Array.from({ length: 257 }, (_, i) => i + 30)])],
    ['a list instead of a map', encode([0, 1])],
    ['bytes after the end', new Uint8Array([...map([0, 1]), 0])],
  ];
  for (const [why, payload] of table) {
    const registrar = new Registrar();
    registrar.claim('node');
    t.equal(codeOf(register(registrar, payload)), '4.00', why);
    t.match(registrar.device('node'), { state: 'none' }, why);
  }
});

t.test('a version that we do not speak is 4.12, and 1.10 is one of those', async t => {
  for (const version of [
    [1, 3],
    [1, 10],
    [2, 0],
  ]) {
    t.equal(codeOf(register(new Registrar(), map([0, 1], [3, version]))), '4.12', version.join('.'));
  }
});

t.test('the tag that says "this is CBOR" is skipped, once', async t => {
  const tag = [0xd9, 0xd9, 0xf7];
  t.equal(codeOf(register(new Registrar(), new Uint8Array([...tag, ...map([0, 1])]))), '2.01');
  t.equal(codeOf(register(new Registrar(), new Uint8Array([...tag, ...tag, ...map([0, 1])]))), '4.00');
});

t.test('what stands in query and map must say the same', async t => {
  const table: readonly [query: string, payload: Bytes, code: string][] = [
    ['lt=60', map([0, 1], [2, 60]), '2.01'],
    ['lt=60', map([0, 1], [2, 61]), '4.00'],
    ['ep=node', map([0, 1], [1, 'node']), '2.01'],
    ['ep=other', map([0, 1], [1, 'node']), '4.00'],
    ['lwm2m=1.1', map([0, 1], [3, [1, 1]]), '2.01'],
    ['lwm2m=1.2', map([0, 1], [3, [1, 1]]), '4.00'],
    ['b=U', map([0, 1], [4, 'U']), '2.01'],
    ['b=T', map([0, 1], [4, 'U']), '4.00'],
    ['Q', map([0, 1], [5, true]), '2.01'],
    ['Q', map([0, 1], [5, false]), '4.00'],
    ['sms=1', map([0, 1], [15, '2']), '4.00'],
    ['base=coap://a', map([0, 1], [13, 'coap://b']), '4.00'],
    ['et=a', map([0, 1], [14, 'b']), '4.00'],
    ['x-site=north', map([0, 1], ['x-site', 'north']), '2.01'],
    ['x-site=north', map([0, 1], ['x-site', 'south']), '4.00'],
    ['-5=7', map([0, 1], [-5, 7]), '2.01'],
    ['-5=7', map([0, 1], [-5, 8]), '4.00'],
    ['awake=30', map([0, 1], [17, 20]), '4.00'],
    ['lt=0', map([0, 1], [3, [1, 1]]), '2.01'],
  ];
  for (const [query, payload, code] of table) {
    t.equal(codeOf(register(new Registrar(), payload, query)), code, `${query} ${toHex(payload)}`);
  }
  const registrar = new Registrar();
  register(registrar, map([0, 1], [-5, 7]), 'x-site=north&lt=60');
  t.match(registrar.device('node'), { lifetime: 60, description: { extra: { 'x-site': 'north', '-5': 7 } } });
});

t.test('Content-Format 60 outranks lwm2m=, and a name that is not that of the credential is 4.03', async t => {
  const registrar = new Registrar();
  t.equal(codeOf(register(registrar, map([0, 1]), 'lwm2m=1.1')), '2.01');
  t.match(registrar.device('node'), { dialect: 'cbor', lwm2m: '1.1' });
  t.equal(codeOf(register(registrar, map([0, 1], [1, 'other']))), '4.03');
  t.equal(codeOf(register(registrar, map([0, 1]), '', {})), '4.00', 'without a credential there is no name');
});

t.test('an update says what changed, and keeps the rest', async t => {
  const registrar = new Registrar();
  const location = locationOf(
    register(
      registrar,
      map(
        [0, 1],
        [2, 60],
        [
          6,
          new Map([
            [3, 'F1'],
            [2, 'S1'],
          ]),
        ],
        [8, [3]],
        ['x-site', 'north'],
      ),
    ),
  );
  const update = (...pairs: [number | string, unknown][]) =>
    codeOf(registrar.update(location, { contentFormat: cbor, payload: map([0, 1], ...pairs) }, node));
  t.equal(update([6, new Map([[3, 'F2']])], [-1, 5]), '2.04');
  t.match(registrar.device('node'), {
    lifetime: 60,
    description: {
      metadata: { firmware: 'F2', serial: 'S1' },
      objects: [{ id: 3 }],
      extra: { 'x-site': 'north', '-1': 5 },
    },
  });
  t.equal(update([8, [4]], [5, true]), '2.04');
  t.match(registrar.device('node'), { queueMode: true, description: { objects: [{ id: 4 }] } });
  t.equal(update([4, 'UT']), '2.04');
  t.match(registrar.device('node'), { queueMode: true, binding: 'UT' });
  t.equal(update([5, false]), '2.04');
  t.match(registrar.device('node'), { queueMode: false });
  t.equal(update([1, 'other']), '4.00');
  t.equal(update([3, [1, 1]]), '4.00');
  t.equal(update([2, 0]), '4.00');
  t.equal(codeOf(registrar.update(location, { query: 'lt=70' }, node)), '2.04', 'an update may do without a map');
  t.match(registrar.device('node'), { lifetime: 70 });
});

t.test('a device that accepts CBOR hears what it was granted; the others hear no byte more', async t => {
  const registrar = new Registrar();
  const payload = map([0, 1], [2, 60], [5, true], [17, 22], [8, [3]], [9, [['/3/0/9']]]);
  const silent = register(registrar, payload);
  t.equal(silent.payload.length, 0);
  const told = registrar.register({ contentFormat: cbor, payload, accept: cbor }, node);
  t.equal(told.options.get(ContentFormat), cbor);
  const time = Math.floor(registrar.now / 1000);
  t.strictSame(readRegistrationReply(told.payload), { lifetime: 60, observations: 1, awake: 22, time });
  t.strictSame(
    decode(told.payload, { useMaps: true }),
    new Map([
      [0, 1],
      [2, 60],
      [9, 1],
      [17, 22],
      [20, time],
    ]),
    'for another decoder too',
  );
  const changed = registrar.update(locationOf(told), { query: 'lt=70', accept: cbor }, node);
  t.match(readRegistrationReply(changed.payload), { lifetime: 70, observations: 1 });
  t.equal(registrar.deregister(locationOf(told), node, { accept: cbor }).payload.length, 0);
});

t.test('a reply that is none is not read', async t => {
  const reply = { lifetime: 60, observations: 0, time: 1 };
  t.strictSame(readRegistrationReply(writeRegistrationReply(reply)), reply);
  for (const bytes of [
    encode([1]),
    map([0, 2]),
    map([0, 1], [2, 60]),
    map([0, 1], [2, -1], [9, 0], [20, 0]),
    new Uint8Array([0xa1]),
  ]) {
    t.equal(readRegistrationReply(bytes), undefined, toHex(bytes));
  }
});
