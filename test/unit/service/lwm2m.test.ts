import t from 'tap';
import type { Reply } from '../../../src/coap/codec/message.ts';
import { type Caller, codeOf, locationOf, type Message, Registrar } from '../../support/registrar.ts';

const objects = '</1/0>,</3/0>';
const node: Caller = { psk: 'node' };

function registered(registrar: Registrar, query = 'lwm2m=1.1', caller: Caller = node, payload = objects): string {
  const reply = registrar.register({ query, contentFormat: 40, payload }, caller);
  if (codeOf(reply) !== '2.01') throw new Error(`registration answered ${codeOf(reply)}`);
  return locationOf(reply);
}

t.test('LwM2M Register reads every parameter as its version writes it', async t => {
  const table: readonly [query: string, expected: Record<string, unknown>][] = [
    ['lwm2m=1.1&ep=node&lt=60&b=U', { lwm2m: '1.1', lifetime: 60, binding: 'U', queueMode: false }],
    ['b=U&lt=60&ep=node&lwm2m=1.1', { lwm2m: '1.1', lifetime: 60, binding: 'U' }],
    ['lwm2m=1.1', { lifetime: 86_400, binding: 'U', queueMode: false }],
    ['lwm2m=1.1&Q', { queueMode: true }],
    ['Q&lwm2m=1.1&b=UT', { queueMode: true, binding: 'UT' }],
    ['lwm2m=1.1&Q=', { queueMode: true }],
    ['lwm2m=1.2&b=UMH&Q', { lwm2m: '1.2', binding: 'UMH', queueMode: true }],
    ['lwm2m=1.1&b=TSUN', { binding: 'TSUN' }],
    ['lwm2m=1.0&ep=node&b=UQ', { lwm2m: '1.0', binding: 'U', queueMode: true }],
    ['lwm2m=1.0&ep=node&b=SQ', { binding: 'S', queueMode: true }],
    ['lwm2m=1.0&ep=node&b=UQS', { binding: 'US', queueMode: true }],
    ['lwm2m=1.0&ep=node&b=UQT', { binding: 'UT', queueMode: true }],
    ['lwm2m=1.0&ep=node&b=US', { binding: 'US', queueMode: false }],
    ['lwm2m=1.0&ep=node&Q', { queueMode: true }],
    ['lwm2m=1.1&lt=0', { lifetime: 0, state: 'registered' }],
    ['lwm2m=1.2&lt=0', { lifetime: 0 }],
    ['lwm2m=1.1&lt=4294967295', { lifetime: 4_294_967_295 }],
    ['lwm2m=1.1&sms=%2B491701234567', { sms: '%2B491701234567' }],
    ['lwm2m=1.1&x-site=north', { description: { extra: { 'x-site': 'north' } } }],
    ['lwm2m=1.1&pid=abc', { description: { extra: { pid: 'abc' } } }],
    ['lwm2m=1.1&constructor=a&toJSON=b', { description: { extra: { constructor: 'a', toJSON: 'b' } } }],
  ];
  for (const [query, expected] of table) {
    const registrar = new Registrar();
    registered(registrar, query);
    t.match(registrar.device('node'), { endpoint: 'node', dialect: 'lwm2m', ...expected }, query);
  }
});

t.test('LwM2M Register answers what is wrong with a code that clients act on', async t => {
  const table: readonly [query: string, code: string, message?: Message, caller?: Caller][] = [
    ['lwm2m=1.1&ep=node&ep=node', '4.00'],
    ['lwm2m=1.1&lt=1&lt=2', '4.00'],
    ['lwm2m=1.1&Q&Q', '4.00'],
    ['lwm2m=1.1&Q=1', '4.00'],
    ['lwm2m=1.1&=1', '4.00'],
    ['lwm2m=1.1&lt', '4.00'],
    ['lwm2m=1.1&b=Z', '4.00'],
    ['lwm2m=1.1&b=UU', '4.00'],
    ['lwm2m=1.1&b=', '4.00'],
    ['lwm2m=1.1&b=UQ', '4.00'],
    ['lwm2m=1.1&b=UM', '4.00'],
    ['lwm2m=1.0&ep=node&b=Q', '4.00'],
    ['lwm2m=1.0&ep=node&b=UQQ', '4.00'],
    ['lwm2m=1.0&ep=node&lt=0', '4.00'],
    ['lwm2m=1.0', '4.00'],
    ['lwm2m=1.1', '4.00', {}, {}],
    ['lwm2m=1.1&ep=other', '4.00'],
    ['lwm2m=1', '4.00'],
    ['lwm2m=', '4.00'],
    ['lwm2m=one', '4.00'],
    ['lwm2m=1.3', '4.12'],
    ['lwm2m=1.10', '4.12'],
    ['lwm2m=2.0', '4.12'],
    ['lwm2m=0.9', '4.12'],
    // A version that we do not speak is told so before anything else, since clients step down on this code only.
    ['lwm2m=2.0&b=Z', '4.12', { contentFormat: 11_542, payload: 'x' }],
    ['lwm2m=1.1', '4.15', { contentFormat: 0 }],
    ['lwm2m=1.1', '4.15', { contentFormat: 50 }],
    ['lwm2m=1.1', '4.15', { contentFormat: 11_543 }],
    ['lwm2m=1.1', '4.00', { contentFormat: 40, payload: '</1' }],
    ['lwm2m=1.1', '4.00', { contentFormat: 40, payload: '</1/0>;ver=x' }],
    ['lwm2m=1.1', '4.00', { contentFormat: 40, payload: '</1/0>;ver' }],
    ['lwm2m=1.1', '4.00', { contentFormat: 40, payload: '</>;rt="oma.lwm2m";ct="60 x"' }],
    ['lwm2m=1.2&pid=unheard-of', '4.09', {}],
    ['lwm2m=1.2&pid=', '4.09', {}],
    ['lwm2m=1.1', '4.06', { accept: 50 }],
  ];
  for (const [query, code, message = { contentFormat: 40, payload: objects }, caller = node] of table) {
    const registrar = new Registrar();
    registrar.claim('node');
    const label = `${query} ${message.contentFormat ?? ''} ${message.payload?.toString() ?? ''}`;
    t.equal(codeOf(registrar.register({ query, ...message }, caller)), code, label);
    t.equal(registrar.device('node')?.state, 'none', `${label} leaves nothing behind`);
  }
});

t.test('LwM2M object lists are read in all their spellings', async t => {
  const ct = [60, 110, 112, 11_542, 11_543];
  const versioned = { id: 1, version: [1, 1], instances: [0] };
  const device = { id: 3, version: undefined, instances: [0] };
  const table: readonly [payload: string, expected: Record<string, unknown>][] = [
    ['</>;rt="oma.lwm2m";ct="60 110 112 11542 11543",</1>;ver=1.1,</1/0>,</3/0>', { contentFormats: ct, root: '/' }],
    ['</>;ct=11543;rt=oma.lwm2m,</3/0>', { contentFormats: [11_543], objects: [device] }],
    ['</>;rt="oma.lwm2m";ct="60",</3/0>', { contentFormats: [60], objects: [device] }],
    ['</>;rt="core.rd-group oma.lwm2m";ct=60,</3/0>', { contentFormats: [60] }],
    ['</3/0>,</1/0>;ver="1.1"', { objects: [versioned, device], contentFormats: [], root: '/' }],
    ['</1>;ver=1.1,</1/0>,</3/0>', { objects: [versioned, device], links: [] }],
    ['</1>;ver="1.1",</1/0>,</3/0>', { objects: [versioned, device] }],
    ['</1/0>;ver=1.1,</3/0>', { objects: [versioned, device] }],
    ['</lwm2m>;rt="oma.lwm2m",</lwm2m/1>;ver=1.1,</lwm2m/1/0>,</lwm2m/3/0>', { objects: [versioned, device] }],
    ['</lwm2m/>;rt="oma.lwm2m",</lwm2m/3/0>', { root: '/lwm2m', objects: [device] }],
    // Another root's objects are links like any other.
    ['</lwm2m>;rt="oma.lwm2m",</lwm2m/3/0>,</9/0>', { objects: [device], links: [{ href: '/9/0', attributes: {} }] }],
    ['</0/0>,</0/1>,</3/0>,</21/0>', { objects: [device] }],
    ['</3/0>;title="a, b";if=x;sz=12;unknown', { objects: [device] }],
    ['</3/1>,</3/0>,</3>', { objects: [{ id: 3, version: undefined, instances: [0, 1] }] }],
    ['</65535/65535>', { objects: [{ id: 65_535, version: undefined, instances: [65_535] }] }],
    ['</5>', { objects: [{ id: 5, version: undefined, instances: [] }] }],
    ['</3303>;ver=1.10', { objects: [{ id: 3303, version: [1, 10], instances: [] }] }],
    ['</3/0>,</sensors/temp>;rt=ucum:Cel', { links: [{ href: '/sensors/temp', attributes: { rt: 'ucum:Cel' } }] }],
    [
      '</3/0>,</a>;__proto__=x;constructor=y;toJSON=z',
      { links: [{ href: '/a', attributes: JSON.parse('{"__proto__":"x","constructor":"y","toJSON":"z"}') }] },
    ],
  ];
  for (const [payload, expected] of table) {
    for (const contentFormat of [{ contentFormat: 40 }, {}]) {
      const registrar = new Registrar();
      const reply = registrar.register({ query: 'lwm2m=1.1', payload, ...contentFormat }, node);
      t.equal(codeOf(reply), '2.01', payload);
      t.match(registrar.device('node')?.description, expected, payload);
    }
  }
});

t.test('a client from before 1.0 is known by its root link alone', async t => {
  const registrar = new Registrar();
  registered(registrar, 'ep=node&b=UQ', node, '</>;rt="oma.lwm2m",</1/0>,</3/0>');
  t.match(registrar.device('node'), { dialect: 'lwm2m', lwm2m: '1.0', queueMode: true, lifetime: 86_400 });
});

t.test('without lwm2m= and without a root link it is a Resource Directory registration', async t => {
  const registrar = new Registrar();
  registered(registrar, 'ep=node&b=anything&Q&pid=1');
  t.match(registrar.device('node'), {
    dialect: 'rd',
    lifetime: 90_000,
    description: { extra: { b: 'anything', Q: '', pid: '1' }, links: [{ href: '/1/0' }, { href: '/3/0' }] },
  });
});

t.test('a profile id that nobody knows does no harm to a client that sends its list all the same', async t => {
  const registrar = new Registrar();
  registered(registrar, 'lwm2m=1.2&pid=abc');
  t.match(registrar.device('node')?.description?.objects, [{ id: 1 }, { id: 3 }]);
});

t.test('with --strict-parameters what LwM2M does not know is refused', async t => {
  const strict = new Registrar({ strictParameters: true });
  const message = { query: 'lwm2m=1.1&x-site=north', payload: objects };
  t.equal(codeOf(strict.register(message, node)), '4.00');
  const location = registered(strict);
  t.equal(codeOf(strict.update(location, { query: 'x-site=north' }, node)), '4.00');
  t.equal(codeOf(strict.register({ query: 'ep=other&x-site=north', payload: objects })), '2.01', 'RFC 9176 stores it');
});

// OMA-ETS-LightweightM2M_INT, as far as the server's part of the registration interface goes.

t.test('LightweightM2M-1.1-int-101 initial registration', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'ep=node&lt=300&lwm2m=1.1&b=U', node, '</>;rt="oma.lwm2m",</1/0>,</3/0>');
  t.match(location, /^\/rd\/[\w-]{1,16}$/);
  t.match(registrar.device('node'), { state: 'registered', lifetime: 300, lwm2m: '1.1', binding: 'U' });
  t.match(
    registrar.events.map(({ type }) => type),
    ['credential-added', 'registered'],
  );
});

t.test('LightweightM2M-1.1-int-102 registration update', async t => {
  const registrar = new Registrar();
  const location = registered(registrar);
  t.equal(codeOf(registrar.update(location, { query: 'lt=310' }, node)), '2.04');
  t.match(registrar.device('node'), { lifetime: 310, binding: 'U' });
  t.equal(codeOf(registrar.update(location, { query: 'b=UT&Q&sms=0170' }, node)), '2.04');
  t.match(registrar.device('node'), { lifetime: 310, binding: 'UT', queueMode: true, sms: '0170' });
});

t.test('LightweightM2M-1.1-int-103 deregistration', async t => {
  const registrar = new Registrar();
  const location = registered(registrar);
  t.equal(codeOf(registrar.deregister(location, node)), '2.02');
  t.match(registrar.device('node'), { state: 'none' });
  t.equal(codeOf(registrar.deregister(location, node)), '4.04', 'and again there is nothing');
  t.equal(codeOf(registrar.update(location, {}, node)), '4.04');
});

t.test('LightweightM2M-1.1-int-104 an update without parameters restarts the lifetime', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1&lt=60');
  registrar.wait(50);
  t.equal(codeOf(registrar.update(location, {}, node)), '2.04');
  registrar.wait(50);
  t.match(registrar.device('node'), { state: 'registered', lifetime: 60 });
});

t.test('LightweightM2M-1.1-int-105 an update that comes too late hears 4.04, and a registration follows', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1&lt=20');
  registrar.wait(20 + 93 + 4);
  t.equal(codeOf(registrar.update(location, {}, node)), '4.04');
  const next = registered(registrar, 'lwm2m=1.1&lt=20');
  t.not(next, location, 'at another location, so that what is still under way to the old one meets nothing');
});

t.test('LightweightM2M-1.1-int-107 a longer lifetime counts from the update on', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1&lt=20');
  registrar.wait(10);
  t.equal(codeOf(registrar.update(location, { query: 'lt=120' }, node)), '2.04');
  t.equal(registrar.wait(119), 0);
  t.match(registrar.device('node'), { state: 'registered' });
});

t.test('LightweightM2M-1.1-int-108 queue mode is turned on and off by updates', async t => {
  const registrar = new Registrar();
  for (const [version, on] of [
    ['1.0', 'b=UQ'],
    ['1.1', 'b=U&Q'],
  ]) {
    const location = registered(registrar, `lwm2m=${version}&ep=node&b=U`);
    registrar.update(location, { query: on! }, node);
    t.match(registrar.device('node'), { queueMode: true, binding: 'U' });
    registrar.update(location, { query: 'lt=60' }, node);
    t.match(registrar.device('node'), { queueMode: true }, 'what is not said stays');
    registrar.update(location, { query: 'b=U' }, node);
    t.match(registrar.device('node'), { queueMode: false, binding: 'U' });
  }
});

t.test('an update changes links, binding, lifetime and address, and keeps the rest', async t => {
  const registrar = new Registrar();
  const list = '</lwm2m>;rt="oma.lwm2m";ct=60,</lwm2m/1/0>,</lwm2m/3/0>';
  const location = registered(registrar, 'lwm2m=1.1&lt=60&b=U&Q&x-site=north', node, list);
  const moved = { ...node, address: '198.51.100.7', port: 40_000 };
  // Without a Content-Format and without a root link, as clients send it.
  t.equal(codeOf(registrar.update(location, { payload: '</lwm2m/3/0>,</lwm2m/4/0>' }, moved)), '2.04');
  t.match(registrar.device('node'), {
    address: '198.51.100.7',
    port: 40_000,
    lifetime: 60,
    queueMode: true,
    description: {
      root: '/lwm2m',
      contentFormats: [60],
      objects: [{ id: 3 }, { id: 4 }],
      extra: { 'x-site': 'north' },
    },
  });
  registrar.update(location, { contentFormat: 40, payload: '</>;rt="oma.lwm2m";ct=112,</5/0>' }, moved);
  t.match(registrar.device('node')?.description, { root: '/', contentFormats: [112], objects: [{ id: 5 }] });
});

t.test('an update that is malformed changes nothing', async t => {
  const table: readonly [message: Message, code: string][] = [
    [{ query: 'lt=abc' }, '4.00'],
    [{ query: 'lt=60&lt=60' }, '4.00'],
    [{ query: 'b=Z' }, '4.00'],
    [{ query: 'ep=other' }, '4.00'],
    [{ query: 'lwm2m=1.2' }, '4.00'],
    [{ query: 'd=elsewhere' }, '4.00'],
    [{ payload: '</1' }, '4.00'],
    [{ contentFormat: 50, payload: '[]' }, '4.15'],
    [{ accept: 40 }, '4.06'],
  ];
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1&ep=node&lt=60');
  const before = registrar.device('node');
  for (const [message, code] of table) {
    t.equal(codeOf(registrar.update(location, message, node)), code, JSON.stringify(message));
  }
  t.equal(codeOf(registrar.deregister(location, node, { payload: 'x' })), '4.00');
  t.strictSame(registrar.device('node'), before);
  t.equal(
    codeOf(registrar.update(location, { query: 'ep=node&lwm2m=1.1' }, node)),
    '2.04',
    'the same may be said again',
  );
});

t.test('an update by profile id hears 4.09, where 1.2 has profile ids', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.2');
  t.equal(codeOf(registrar.update(location, { query: 'pid=abc' }, node)), '4.09');
});

t.test('registering again replaces links and keeps the location, though the datagram came twice', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1&x-site=north');
  t.equal(registered(registrar, 'lwm2m=1.1', node, '</5/0>'), location);
  t.match(registrar.device('node')?.description, { objects: [{ id: 5 }], extra: {} });
  t.notOk(registrar.device('node')?.description?.extra['x-site']);
  t.equal(registrar.events.filter(({ type }) => type === 'registered').length, 2);
});

t.test('an update within the grace revives a registration that lookups no longer show', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1&lt=60');
  registrar.wait(60 + 92);
  t.match(registrar.device('node'), { state: 'lapsed' });
  t.equal(codeOf(registrar.update(location, {}, node)), '2.04');
  t.match(registrar.device('node'), { state: 'registered' });
});

t.test('an infinite lifetime does not end', async t => {
  const registrar = new Registrar();
  registered(registrar, 'lwm2m=1.1&lt=0');
  t.equal(registrar.wait(10 * 365 * 86_400), 0);
  t.match(registrar.device('node'), { state: 'registered' });
});

t.test('a stranger who knows the location changes nothing: 4.04 to LwM2M, 4.03 to the others', async t => {
  const registrar = new Registrar();
  const lwm2m = registered(registrar);
  const rd = registered(registrar, 'ep=sensor', { psk: 'sensor' });
  for (const stranger of [{ psk: 'other' }, {}]) {
    t.equal(codeOf(registrar.update(lwm2m, { query: 'lt=1' }, stranger)), '4.04');
    t.equal(codeOf(registrar.deregister(lwm2m, stranger)), '4.04');
    t.equal(codeOf(registrar.update(rd, { query: 'lt=1' }, stranger)), '4.03');
    t.equal(codeOf(registrar.deregister(rd, stranger)), '4.03');
  }
  t.match(registrar.device('node'), { state: 'registered', lifetime: 86_400 });
  t.match(registrar.device('sensor'), { state: 'registered', lifetime: 90_000 });
});

t.test('on plain CoAP a registration is changed from its address only, whatever the port', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1&ep=node', { port: 1000 });
  t.equal(codeOf(registrar.update(location, {}, { port: 2000 })), '2.04');
  t.equal(codeOf(registrar.deregister(location, { address: '203.0.113.9' })), '4.04');
  t.equal(codeOf(registrar.register({ query: 'lwm2m=1.1&ep=node' }, { address: '203.0.113.9' })), '4.03');
});

t.test('a name that was given a credential is out of reach for plain CoAP, also where it had registered', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1&ep=node', {});
  registrar.claim('node');
  t.equal(codeOf(registrar.update(location, { query: 'lt=1' })), '4.04');
  t.equal(codeOf(registrar.deregister(location)), '4.04');
  t.equal(codeOf(registrar.register({ query: 'lwm2m=1.1&ep=node' })), '4.03');
  t.equal(registered(registrar, 'lwm2m=1.1', node), location);
});

t.test('a new key does not lock a device out, and the old one can do no more', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1', { ...node, key: 1, association: 1 });
  const rotated = { ...node, key: 2, association: 2 };
  t.equal(codeOf(registrar.update(location, {}, rotated)), '4.04', 'so that it registers again');
  t.equal(registered(registrar, 'lwm2m=1.1', rotated), location);
  t.equal(codeOf(registrar.update(location, {}, rotated)), '2.04');
  t.equal(codeOf(registrar.deregister(location, { ...node, key: 1, association: 1 })), '4.04');
});

t.test('an update on another association of the same credential is accepted', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1', { ...node, association: 1, sequence: 900 });
  t.equal(codeOf(registrar.update(location, {}, { ...node, association: 2, sequence: 1 })), '2.04');
});

t.test('a removal that was delayed does not end the registration that came after it', async t => {
  const registrar = new Registrar();
  const location = registered(registrar, 'lwm2m=1.1', { ...node, sequence: 10 });
  registered(registrar, 'lwm2m=1.1', { ...node, sequence: 12 });
  t.equal(codeOf(registrar.deregister(location, { ...node, sequence: 11 })), '4.01');
  t.match(registrar.device('node'), { state: 'registered' });
});

t.test('a location that is over meets nothing, whoever has the name now', async t => {
  const registrar = new Registrar();
  const old = registered(registrar);
  registrar.deregister(old, node);
  const next = registered(registrar);
  t.not(next, old);
  t.equal(codeOf(registrar.deregister(old, node)), '4.04');
  t.match(registrar.device('node'), { state: 'registered' });
});

t.test('a request that comes again hears what it heard, and is not carried out again', async t => {
  const registrar = new Registrar();
  const same = (first: Reply, again: Reply) => t.strictSame(wire(again), wire(first));
  const message = { query: 'lwm2m=1.1&Q', payload: objects, accept: 60 };
  const exchange = { ...node, messageId: 100, sequence: 10 };
  const first = registrar.register(message, exchange);
  registrar.wait(5);
  same(first, registrar.register(message, { ...exchange, sequence: 11 }));

  const location = locationOf(first);
  const update = { ...node, messageId: 101, sequence: 12 };
  const changed = registrar.update(location, { query: 'lt=60', accept: 60 }, update);
  registrar.wait(5);
  same(changed, registrar.update(location, { query: 'lt=60', accept: 60 }, { ...update, sequence: 13 }));

  const removal = { ...node, messageId: 102, sequence: 14 };
  same(registrar.deregister(location, removal), registrar.deregister(location, { ...removal, sequence: 15 }));
  t.match(
    registrar.events.map(({ type }) => type),
    ['credential-added', 'registered', 'updated', 'deregistered'],
  );
});

t.test('lifetimes that end together end a batch at a time', async t => {
  const registrar = new Registrar();
  for (let i = 0; i < 1000; i++) registered(registrar, `lwm2m=1.1&lt=60&ep=node-${i}`, {});
  registrar.now = (registrar.now + 200_000) as typeof registrar.now;
  const batches = registrar.expireInBatches();
  t.ok(Math.max(...batches) <= 64, batches.join());
  t.equal(
    batches.reduce((sum, batch) => sum + batch, 0),
    1000,
  );
});

function wire({ code, options, payload }: Reply): unknown {
  return { code, options: options.list.map(({ number, value }) => [number, [...value]]), payload: [...payload] };
}

t.test('a new name that finds no row is put off, and one that is known needs none', async t => {
  const registrar = new Registrar();
  const query = 'ep=node-1&lwm2m=1.1';
  t.equal(codeOf(registrar.register({ query }, { rowless: true })), '5.03');
  t.equal(registrar.refused, 'names-too-fast');
  t.equal(registrar.device('node-1'), undefined);
  t.equal(codeOf(registrar.register({ query })), '2.01');
  t.equal(codeOf(registrar.register({ query }, { rowless: true })), '2.01');
});
