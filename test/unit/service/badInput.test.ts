import t from 'tap';
import { codeOf, type Message, Registrar } from '../../support/registrar.ts';

const objects = { contentFormat: 40, payload: '</1/0>,</3/0>' };

// What a widely used server answers with 5.00, or accepts.
t.test('bad input is refused with 4.xx, by each dialect, and leaves nothing behind', async t => {
  const lwm2m: readonly [query: string, code: string, message?: Message][] = [
    ['ep=', '4.00'],
    ['ep=node&lt=abc', '4.00'],
    ['ep=node&lt=', '4.00'],
    ['ep=node&b=Z', '4.00'],
    ['ep=node&lt=-5', '4.00'],
    ['ep=node&lt=+5', '4.00'],
    ['ep=node&lt=5.5', '4.00'],
    ['ep=node&lt=1e3', '4.00'],
    ['ep=node&lt=0x10', '4.00'],
    ['ep=node&lt= 5', '4.00'],
    ['ep=node&lt=4294967296', '4.00'],
    ['ep=node&lt=99999999999999', '4.00'],
    ['ep=node&ep=node', '4.00'],
    ['ep=node&ep=other', '4.00'],
    ['ep=no\nde', '4.00'],
    ['ep=no\u0000de', '4.00'],
    ['ep=no\u0085de', '4.00'],
    ['ep=<script>alert(1)</script>', '4.00'],
    [`ep=${'n'.repeat(64)}`, '4.00'],
    [`ep=${'é'.repeat(32)}`, '4.00'],
    ['ep=node&d=', '4.00'],
    ['ep=node', '4.15', { ...objects, contentFormat: 0 }],
    ['ep=node', '4.15', { ...objects, contentFormat: 50 }],
    ['ep=node', '4.15', { ...objects, contentFormat: 64 }],
    ['ep=node', '4.00', { ...objects, payload: '</1/0>,,' }],
    ['ep=node', '4.00', { ...objects, payload: new Uint8Array([0x3c, 0xff, 0x3e]) }],
    ['ep=node', '4.00', { ...objects, payload: Array.from({ length: 257 }, (_, i) => `</${i + 30}>`).join() }],
  ];
  for (const [query, code, message = objects] of lwm2m) {
    for (const dialect of ['lwm2m=1.1&', '']) {
      // The Resource Directory has no binding and no objects: to it these are attributes and links.
      if (dialect === '' && (query.includes('b=Z') || String(message.payload).includes('</286>'))) continue;
      const registrar = new Registrar();
      t.equal(
        codeOf(registrar.register({ query: dialect + query, ...message })),
        code,
        JSON.stringify(dialect + query),
      );
      t.strictSame(registrar.events, [], `${JSON.stringify(query)} leaves nothing behind`);
    }
  }
});

t.test('what is no name, or the name of somebody else, would be taken for the own one of a credential', async t => {
  for (const [query, code, why] of [
    ['lwm2m=1.1&ep=', '4.00', 'bad-endpoint-name'],
    ['lwm2m=1.1&ep=no\nde', '4.00', 'bad-endpoint-name'],
    ['lwm2m=1.1&d=', '4.00', 'bad-endpoint-name'],
    ['lwm2m=1.1&d=floor-3', '4.00', 'foreign-sector'],
    ['lwm2m=1.1&ep=other', '4.00', 'foreign-endpoint-name'],
    ['lwm2m=1.1&ep=node', '2.01', undefined],
  ] as const) {
    const registrar = new Registrar();
    t.equal(codeOf(registrar.register({ query, ...objects }, { psk: 'node' })), code, query);
    t.equal(registrar.refused, why, query);
  }
});

t.test('lt=0 is infinite where LwM2M 1.1 says so, and refused elsewhere', async t => {
  const table: readonly [query: string, code: string][] = [
    ['ep=node&lt=0', '4.00'],
    ['ep=node&lwm2m=1.0&lt=0', '4.00'],
    ['ep=node&lwm2m=1.1&lt=0', '2.01'],
    ['ep=node&lwm2m=1.2&lt=0', '2.01'],
  ];
  for (const [query, code] of table) t.equal(codeOf(new Registrar().register({ query, ...objects })), code, query);
});

t.test('an endpoint name may be anything that is neither control character nor angle bracket', async t => {
  for (const name of [
    'urn:imei:123456789012345',
    "O'Brien und söhne",
    '日本',
    'n'.repeat(63),
    'a,b;c="d"',
    '__proto__',
  ]) {
    const registrar = new Registrar();
    t.equal(codeOf(registrar.register({ query: `lwm2m=1.1&ep=${name}`, ...objects })), '2.01', name);
  }
});

t.test('paths and methods that are not there are 4.04 and 4.05', async t => {
  const registrar = new Registrar();
  for (const path of ['/rd/x', '/rd/AAAAAAAAAAA', '/rd/', '/rd/AAAAAAAAAAA/more', '/else', '/']) {
    t.equal(codeOf(registrar.update(path)), '4.04', path);
  }
  t.equal(codeOf(registrar.deregister('/rd')), '4.05');
});

t.test('10,000 resources in one Send would fill the store, or half of it', async t => {
  const registrar = new Registrar();
  const caller = { psk: 'node-1' };
  registrar.register({ query: 'lwm2m=1.1&lt=300', contentFormat: 40, payload: '</3303/0>' }, caller);
  const send = (count: number) => {
    const records = Array.from({ length: count }, (_, n) => ({ n: `/3303/${n}/5700`, v: 1 }));
    const answer = registrar.update('/dp', { contentFormat: 110, payload: JSON.stringify(records) }, caller);
    return [codeOf(answer), registrar.refused];
  };
  const reports = () => registrar.events.filter(({ type }) => type === 'value').length;
  t.equal(send(10)[0], '2.04');
  t.equal(reports(), 1);
  t.strictSame(send(10_000), ['4.00', 'send-unreadable']);
  t.equal(reports(), 1, 'nothing of it is stored');
  t.equal(send(10)[0], '2.04', 'and the device goes on');
});

t.test('values that cannot be read, or are of the wrong type, would be stored as something', async t => {
  const registrar = new Registrar();
  const caller = { psk: 'node-1' };
  registrar.register({ query: 'lwm2m=1.1&lt=300', contentFormat: 40, payload: '</3303/0>' }, caller);
  const sent: readonly [
    what: string,
    contentFormat: number | undefined,
    payload: string | Uint8Array,
    reason: string,
  ][] = [
    ['TLV cut short', 11_542, Uint8Array.of(0xc8, 0x00, 0xff, 0x01), 'send-unreadable'],
    ['TLV at the root', 11_542, Uint8Array.of(0xc1, 0x00, 0x01), 'send-unreadable'],
    ['SenML JSON cut short', 110, '[{"n":"/3303/0/5700","v":1', 'send-unreadable'],
    ['SenML without a value', 110, '[{"n":"/3303/0/5700"}]', 'send-unreadable'],
    ['SenML of no path', 110, '[{"n":"/a/b","v":1}]', 'send-unreadable'],
    ['a field that must be understood', 110, '[{"n":"/3303/0/5700","v":1,"x_":1}]', 'send-unreadable'],
    ['SenML CBOR cut short', 112, Uint8Array.of(0x81, 0xa2, 0x00), 'send-unreadable'],
    ['SenML CBOR that is no list', 112, Uint8Array.of(0xa0), 'send-unreadable'],
    ['LwM2M CBOR cut short', 11_544, Uint8Array.of(0xbf, 0x19, 0x0c), 'send-unreadable'],
    ['a text for a number', 110, '[{"n":"/3303/0/5700","vs":"warm"}]', 'send-unreadable'],
    ['one of two wrong', 110, '[{"n":"/3303/0/5700","v":1},{"n":"/3303/0/5701","v":2}]', 'send-unreadable'],
    ['a text without a path', undefined, '21.5', 'send-unreadable'],
    ['a format that holds no values', 40, '</3303/0>', 'content-format'],
  ];
  for (const [what, contentFormat, payload, reason] of sent) {
    const answer = registrar.send({ ...(contentFormat === undefined ? {} : { contentFormat }), payload }, caller);
    t.strictSame([codeOf(answer), registrar.refused], [reason === 'content-format' ? '4.15' : '4.00', reason], what);
  }
  registrar.send({ contentFormat: 110, payload: '[{"n":"/3303/0/5700","s":1}]' }, caller);
  t.equal(registrar.refusedFor, 'unsupported-senml: a sum', 'the log has the word that the docs explain');
  t.notOk(
    registrar.events.some(({ type }) => type === 'value'),
    'nothing of it is stored',
  );
  t.strictSame(codeOf(registrar.send({ contentFormat: 110, payload: '[{"n":"/3303/0/5700","v":1}]' }, caller)), '2.04');
});
