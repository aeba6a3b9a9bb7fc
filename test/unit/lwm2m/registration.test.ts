import t from 'tap';
import { fromHex, noBytes, utf8 } from '../../../src/base/bytes.ts';
import { parseRegister } from '../../../src/lwm2m/parse.ts';
import { isRefusal } from '../../../src/lwm2m/refusal.ts';
import { emptyDescription } from '../../../src/lwm2m/registrationRequest.ts';
import { writeRegistrationMap } from '../../../src/lwm2m/writeRegistrationMap.ts';

const cbor = 60;
const device = {
  endpoint: 'node-1',
  lifetime: 300,
  version: [1, 1] as const,
  description: {
    ...emptyDescription,
    metadata: { manufacturer: 'ACME', model: 'T1' },
    objects: [
      { id: 1, version: undefined, instances: [0] },
      { id: 3, version: [1, 1] as const, instances: [0] },
    ],
    observations: [{ path: '/3/0/9', pmin: 10, pmax: 60 }],
  },
};

t.test('a map says the same in integer keys and in text keys', async t => {
  for (const form of ['compact', 'text'] as const) {
    const parsed = parseRegister({ query: [], contentFormat: cbor, payload: writeRegistrationMap(device, form) });
    if (isRefusal(parsed)) return t.fail(`${form}: ${parsed.reason} ${parsed.detail}`);
    t.match(parsed, { dialect: 'cbor', ...device }, form);
  }
  return t.end();
});

t.test('what is malformed is refused with its reason', async t => {
  const table: readonly [query: string[], contentFormat: number | undefined, payload: string, reason: string][] = [
    [['lwm2m=1.1', 'lt=abc'], 40, '', 'bad-lifetime'],
    [['lwm2m=1.1', 'lt=-5'], 40, '', 'bad-lifetime'],
    [['lwm2m=1.1', 'lt=99999999999999'], 40, '', 'bad-lifetime'],
    [['lwm2m=1.0', 'lt=0'], 40, '', 'bad-lifetime'],
    [['lwm2m=1.1', 'ep=a', 'ep=b'], 40, '', 'bad-query'],
    [['lwm2m=1.1', 'b=Z'], 40, '', 'bad-binding'],
    [['lwm2m=2.0'], 40, '', 'unsupported-version'],
    [['lwm2m=1.1'], 50, '', 'content-format'],
    [[], cbor, '', 'bad-cbor'],
    [[], cbor, 'a200010001', 'bad-cbor'],
    [[], cbor, 'c100', 'bad-cbor'],
    [[], cbor, '818181818181818181818100', 'bad-cbor'],
    [[], cbor, 'a10062', 'bad-cbor'],
    [[], cbor, 'a2000101 61ff'.replace(' ', ''), 'bad-cbor'],
    [[], cbor, 'a200011503', 'bad-map'],
    [['lt=60'], cbor, 'a200010218c8', 'query-contradicts-map'],
  ];
  for (const [query, contentFormat, hex, reason] of table) {
    const payload = hex === '' ? noBytes : fromHex(hex)!;
    t.match(parseRegister({ query, contentFormat, payload }), { kind: 'refusal', reason }, `${query.join('&')} ${hex}`);
  }
  t.match(parseRegister({ query: ['lwm2m=1.1'], contentFormat: 40, payload: utf8('</1') }), { reason: 'bad-links' });
});
