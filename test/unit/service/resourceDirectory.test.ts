import { decode } from 'cborg';
import t from 'tap';
import { toHex } from '../../../src/base/bytes.ts';
import { ContentFormat, ETag } from '../../../src/coap/codec/option.ts';
import {
  type Caller,
  codeOf,
  hrefsOf,
  linksOf,
  Registrar,
  registerLinks,
  textOrCode,
} from '../../support/registrar.ts';

/** The examples of RFC 9176 and what stands around them, on `/rd`, `/rd-lookup/ep` and `/rd-lookup/res`. */
const sensorLinks =
  '</sensors/temp>;rt=temperature-c;if=sensor,<http://www.example.com/sensors/temp>;anchor="/sensors/temp";rel=describedby';
const rfc6690Links =
  '</sensors>;ct=40;title="Sensor Index",</sensors/temp>;rt=temperature-c;if=sensor,</sensors/light>;rt=light-lux;if=sensor,<http://www.example.com/sensors/t123>;rel=describedby;anchor="/sensors/temp",</t>;rel=alternate;anchor="/sensors/temp"';

t.test('URI discovery: each function by its resource type, with and without a wildcard (§4.3)', async t => {
  const registrar = new Registrar({ insecureCoap: false });
  const all = ['/rd', '/rd-lookup/ep', '/rd-lookup/res'];
  for (const [query, expected] of [
    ['?rt=core.rd*', all],
    ['?rt=core.rd', ['/rd']],
    ['?rt=core.rd-lookup*', all.slice(1)],
    ['?rt=core.rd-lookup-res', ['/rd-lookup/res']],
    ['?rt=core.rd-lookup-ep', ['/rd-lookup/ep']],
    ['?rt=core.rd-x', []],
    ['?href=/rd', ['/rd']],
    ['?obs', all.slice(1)],
  ] as const) {
    t.strictSame(hrefsOf(registrar.get(`/.well-known/core${query}`)), expected, query);
  }
});

t.test(
  'a filter that names what every object has would end the server, for anybody who sends one datagram',
  async t => {
    const registrar = new Registrar({ insecureCoap: false });
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      for (const filter of [name, `${name}=`, `${name}=a`, `${name}=a*`, `${name}=*`]) {
        t.strictSame(hrefsOf(registrar.get(`/.well-known/core?${filter}`, {}, { proved: false })), [], filter);
      }
    }
  },
);

t.test('§5.3, an update changes the base that links are shown with, a removal takes them away', async t => {
  const registrar = new Registrar();
  const location = registerLinks(registrar, 'ep=endpoint1&lt=500&base=coap://local-proxy-old.example.com', sensorLinks);
  t.strictSame(linksOf(registrar.get('/rd-lookup/res?ep=endpoint1')), [
    { href: 'coap://local-proxy-old.example.com/sensors/temp', rt: 'temperature-c', if: 'sensor' },
    {
      href: 'http://www.example.com/sensors/temp',
      anchor: 'coap://local-proxy-old.example.com/sensors/temp',
      rel: 'describedby',
    },
  ]);
  t.equal(codeOf(registrar.update(location, { query: 'base=coaps://new.example.com' })), '2.04');
  t.strictSame(linksOf(registrar.get('/rd-lookup/res?ep=endpoint1')), [
    { href: 'coaps://new.example.com/sensors/temp', rt: 'temperature-c', if: 'sensor' },
    {
      href: 'http://www.example.com/sensors/temp',
      anchor: 'coaps://new.example.com/sensors/temp',
      rel: 'describedby',
    },
  ]);
  t.equal(codeOf(registrar.deregister(location)), '2.02');
  t.equal(textOrCode(registrar.get('/rd-lookup/res?ep=endpoint1')), '', 'no link is an empty payload, and no error');
  t.equal(codeOf(registrar.update(location)), '4.04');
});

t.test('§5, without a base it is the source address, and follows it; a given one stays', async t => {
  const registrar = new Registrar();
  const location = registerLinks(registrar, 'ep=node1', '</t>', { address: '2001:db8:3::127', port: 61616 });
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/res?ep=node1')), ['coap://[2001:db8:3::127]:61616/t']);
  registrar.update(location, {}, { address: '2001:db8:3::127', port: 5683 });
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/res?ep=node1')), ['coap://[2001:db8:3::127]/t']);
  const given = registerLinks(registrar, 'ep=node2&base=coap://[2001:db8:3::1]:61616', '</t>');
  registrar.update(given, { query: 'lt=60' });
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/res?ep=node2')), ['coap://[2001:db8:3::1]:61616/t']);
  registerLinks(registrar, 'ep=node3', '</t>', { psk: 'node3', address: '192.0.2.3', port: 5684 });
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/res?ep=node3')), ['coaps://192.0.2.3/t']);
});

t.test('§6.2, a resource lookup by resource type, and by pages', async t => {
  const registrar = new Registrar();
  const payload = '</temp>;rt="tag:example.org,2020:temperature"';
  registerLinks(registrar, 'ep=n123&base=coap://[2001:db8:3::123]:61616', payload);
  const many = Array.from({ length: 12 }, (_, i) => `</res/${i}>;ct=60`).join(',');
  registerLinks(registrar, 'ep=many&base=coap://[2001:db8:3::123]:61616', many);
  t.strictSame(linksOf(registrar.get('/rd-lookup/res?rt=tag:example.org,2020:temperature')), [
    { href: 'coap://[2001:db8:3::123]:61616/temp', rt: 'tag:example.org,2020:temperature' },
  ]);
  const page = (number: number, count = 5) =>
    hrefsOf(registrar.get(`/rd-lookup/res?page=${number}&count=${count}&ct=60`));
  const resources = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `coap://[2001:db8:3::123]:61616/res/${from + i}`);
  t.strictSame(page(0), resources(0, 5));
  t.strictSame(page(1), resources(5, 10));
  t.strictSame(page(2), resources(10, 12));
  t.strictSame(page(3), []);
  t.strictSame(page(1, 7), resources(7, 12), 'a page that nobody came to by way of the one before');
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/res?count=3')).length, 3);
  t.strictSame(page(2), resources(10, 12), 'and again');
  for (const query of [
    'page=1',
    'count=0',
    'count=501',
    'count=x',
    'page=-1&count=5',
    'count=1&count=2',
    'page=1.5&count=1',
    'where=object',
    '=x',
  ]) {
    t.equal(codeOf(registrar.get(`/rd-lookup/res?${query}`)), '4.00', query);
    t.equal(registrar.refused, 'bad-search');
  }
});

t.test('a device would see the pages of others, and they would see its own', async t => {
  const registrar = new Registrar();
  const named = (name: string, payload: string) => registerLinks(registrar, `ep=${name}`, payload, { psk: name });
  for (const [name, payload] of [
    ['a', '</a/1>,</a/2>'],
    ['b', '</b/1>'],
    ['c', '</c/1>,</c/2>,</c/3>'],
  ] as const)
    named(name, payload);
  const page = (number: number, caller: Caller) =>
    hrefsOf(registrar.get(`/rd-lookup/res?page=${number}&count=1`, {}, caller)).map(href => href.slice(-4));
  const operator = { operator: 'meg' };
  t.strictSame(page(1, { psk: 'c' }), ['/c/2'], 'it has three, and they are all there is');
  t.strictSame(page(2, operator), ['/b/1'], "what it has gone through is nobody else's beginning");
  t.strictSame(page(3, { psk: 'c' }), [], 'nor is theirs its own');
});

t.test('§6.2, all links of all endpoints of an endpoint type', async t => {
  const registrar = new Registrar();
  for (const name of ['sensor1', 'sensor2']) {
    registerLinks(
      registrar,
      `ep=${name}&et=tag:example.com,2020:platform&base=coap://${name}.example.com`,
      rfc6690Links,
    );
  }
  registerLinks(registrar, 'ep=other&et=tag:example.com,2020:other', '</x>');
  const expected = ['sensor1', 'sensor2'].flatMap(name => [
    { href: `coap://${name}.example.com/sensors`, ct: '40', title: 'Sensor Index' },
    { href: `coap://${name}.example.com/sensors/temp`, rt: 'temperature-c', if: 'sensor' },
    { href: `coap://${name}.example.com/sensors/light`, rt: 'light-lux', if: 'sensor' },
    {
      href: 'http://www.example.com/sensors/t123',
      rel: 'describedby',
      anchor: `coap://${name}.example.com/sensors/temp`,
    },
    { href: `coap://${name}.example.com/t`, rel: 'alternate', anchor: `coap://${name}.example.com/sensors/temp` },
  ]);
  t.strictSame(linksOf(registrar.get('/rd-lookup/res?et=tag:example.com,2020:platform')), expected);
});

t.test('§6.3, an endpoint lookup shows names, base, sector and attributes, and no lifetime', async t => {
  const registrar = new Registrar();
  const et = 'et=tag:example.com,2020:platform';
  const five = registerLinks(registrar, `ep=node5&${et}&base=coap://[2001:db8:3::127]:61616&ct=40&lt=600`, '</a>');
  const seven = registerLinks(registrar, `ep=node7&${et}&base=coap://[2001:db8:3::129]:61616&ct=40&d=floor-3`, '</a>');
  const [type, rt] = ['tag:example.com,2020:platform', 'core.rd-ep'];
  t.strictSame(linksOf(registrar.get(`/rd-lookup/ep?${et}`)), [
    { href: five, et: type, ct: '40', base: 'coap://[2001:db8:3::127]:61616', ep: 'node5', rt },
    { href: seven, et: type, ct: '40', base: 'coap://[2001:db8:3::129]:61616', ep: 'node7', d: 'floor-3', rt },
  ]);
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/ep?d=floor-3')), [seven]);
  t.strictSame(hrefsOf(registrar.get(`/rd-lookup/ep?href=${five}`)), [five]);
  t.strictSame(hrefsOf(registrar.get(`/rd-lookup/ep?href=coap://rd.example.com${five}`)), [five], 'in URI form too');
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/ep?rt=core.rd-ep&base=coap://[2001:db8:3::129]*')), [seven]);
});

t.test('Appendix A.1, a lighting installation finds its group', async t => {
  const registrar = new Registrar();
  const light = 'rt="tag:example.com,2020:light"';
  const lamps = `</light/left>;${light},</light/middle>;${light},</light/right>;${light}`;
  const room = 'd=R2-4-015';
  registerLinks(registrar, `ep=lm_R2-4-015_wndw&base=coap://[2001:db8:4::1]&${room}`, lamps);
  registerLinks(registrar, `ep=lm_R2-4-015_door&base=coap://[2001:db8:4::2]&${room}`, lamps);
  registerLinks(
    registrar,
    `ep=ps_R2-4-015_door&base=coap://[2001:db8:4::3]&${room}`,
    '</ps>;rt="tag:example.com,2020:p-sensor"',
  );
  // The RFC's figure forgets the sector here, and its lookup asks for it.
  const group = registerLinks(registrar, `ep=grp_R2-4-015&et=core.rd-group&base=coap://[ff05::1]&${room}`, lamps);
  t.strictSame(linksOf(registrar.get(`/rd-lookup/ep?${room}&et=core.rd-group&rt=tag:example.com,2020:light`)), [
    { href: group, et: 'core.rd-group', base: 'coap://[ff05::1]', ep: 'grp_R2-4-015', d: 'R2-4-015', rt: 'core.rd-ep' },
  ]);
  t.equal(hrefsOf(registrar.get(`/rd-lookup/ep?${room}`)).length, 4);
  t.equal(hrefsOf(registrar.get(`/rd-lookup/ep?${room}&rt=tag:example.com,2020:p-sensor`)).length, 1);
});

t.test('every criterion has to match: of the link itself or of its endpoint, and the other way round', async t => {
  const registrar = new Registrar();
  const base = 'coap://a.example.com';
  const a = registerLinks(
    registrar,
    `ep=a&base=${base}&site=north`,
    '</s/1>;rt="temp humid";if="example.regname tag:example.net,2020:sensor",</s/2>;rt=light,<coap://other.example.com/x>;rt=light;anchor="/s/2"',
  );
  registerLinks(registrar, 'ep=b&site=south', '</s/1>;rt=temp');
  const res = (query: string) => hrefsOf(registrar.get(`/rd-lookup/res?${query}`));
  const ep = (query: string) =>
    linksOf(registrar.get(`/rd-lookup/ep?${query}`)).map(link => (link as { ep?: string }).ep);
  t.strictSame(res('if=tag:example.net,2020:sensor'), [`${base}/s/1`], 'one of several relation types');
  t.strictSame(res('rt=temp&site=north'), [`${base}/s/1`]);
  t.strictSame(res('rt=humid&rt=temp'), [`${base}/s/1`]);
  t.strictSame(res('rt=li*&ep=a'), [`${base}/s/2`, 'coap://other.example.com/x']);
  t.strictSame(res(`href=${base}/s/2`), [`${base}/s/2`]);
  t.strictSame(res(`href=${base}/s/*`), [`${base}/s/1`, `${base}/s/2`]);
  t.strictSame(res('href=coap://other.example.com/x'), ['coap://other.example.com/x']);
  t.strictSame(res(`anchor=${base}/s/2`), ['coap://other.example.com/x']);
  t.strictSame(res(`href=${a}&rt=temp`), [`${base}/s/1`], 'the registration resource of its endpoint');
  t.strictSame(res('href=/s/1'), [], 'a relative reference is no target');
  t.strictSame(res('rt=light&if=example.regname'), [], 'no one link has both');
  t.strictSame(res('rt=tem'), []);
  t.strictSame(ep('rt=light&if=example.regname'), ['a'], 'but two links of one endpoint have');
  t.strictSame(ep('rt=temp'), ['a', 'b']);
  t.strictSame(ep('site=*'), ['a', 'b']);
  t.strictSame(ep('site'), ['a', 'b']);
  t.strictSame(ep('site=no*'), ['a']);
  t.strictSame(ep(`href=${base}/s/2`), ['a']);
  t.strictSame(ep('where=site=north and rt=temp'), ['a'], 'and in the language of the command line');
});

t.test('LwM2M objects are links, and metadata are attributes', async t => {
  const registrar = new Registrar();
  const query = 'ep=meter&lwm2m=1.1&b=U';
  registerLinks(registrar, query, '</>;rt="oma.lwm2m",</1/0>,</3>;ver=1.1,</3/0>,</3303/0>,</3303/1>', {
    address: '192.0.2.9',
  });
  const res = (search: string) => hrefsOf(registrar.get(`/rd-lookup/res?${search}`));
  t.strictSame(res('object=3303').length, 5, 'all links of an endpoint that has it');
  t.strictSame(res('href=coap://192.0.2.9/3303/1'), ['coap://192.0.2.9/3303/1']);
  t.strictSame(res('href=coap://192.0.2.9/3303/0'), ['coap://192.0.2.9/3303/0']);
  t.strictSame(res('ver=1.1'), ['coap://192.0.2.9/3']);
  t.strictSame(res('instance=/3303/2'), []);
});

t.test('a registration is hidden when its lifetime is over, and can still be refreshed', async t => {
  const registrar = new Registrar();
  const location = registerLinks(registrar, 'ep=node1&lt=60', '</t>');
  registrar.now = (registrar.now + 61_000) as typeof registrar.now;
  t.equal(textOrCode(registrar.get('/rd-lookup/ep?ep=node1')), '');
  t.equal(codeOf(registrar.update(location)), '2.04');
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/ep?ep=node1')), [location]);
  for (const lt of ['0', '4294967296', '-1', 'x']) {
    t.equal(codeOf(registrar.register({ query: `ep=n&lt=${lt}`, contentFormat: 40 })), '4.00', `lt=${lt}`);
  }
});

t.test('unknown parameters are stored, shown and overridden one by one', async t => {
  const registrar = new Registrar();
  const location = registerLinks(registrar, 'ep=node1&foo=bar&rt=core.fake&x=1', '</t>');
  registrar.update(location, { query: 'foo=baz' });
  t.match(linksOf(registrar.get('/rd-lookup/ep?foo=baz')), [{ foo: 'baz', x: '1', rt: 'core.rd-ep', ep: 'node1' }]);
});

t.test('a parameter that nobody knows may stand there several times, and is found by each value', async t => {
  const registrar = new Registrar();
  const location = registerLinks(registrar, 'ep=node1&room=a&room=b c&room', '</t>');
  const shown = `<${location}>;room="a";room="b c";room="";base="coap://192.0.2.1";ep="node1";rt="core.rd-ep"`;
  for (const found of ['room=a', 'room=b c', 'room=b*', 'room=', 'where=room=a', 'where=room="b c"']) {
    t.equal(
      textOrCode(registrar.get(`/rd-lookup/ep?${found}`)).replace(/base="[^"]*"/, 'base="coap://192.0.2.1"'),
      shown,
      found,
    );
  }
  t.equal(textOrCode(registrar.get('/rd-lookup/ep?room=b')), '');
  t.equal(codeOf(registrar.update(location, { query: 'room=x' })), '2.04');
  t.match(textOrCode(registrar.get('/rd-lookup/ep')), /;room="x";base/, 'an update replaces all of them');
  t.equal(codeOf(registrar.update(location, { query: 'room=y&room=z' })), '2.04');
  t.match(textOrCode(registrar.get('/rd-lookup/ep')), /;room="y";room="z";base/);
  for (const twice of ['ep=n&ep=n', 'ep=n&d=a&d=a', 'ep=n&lt=60&lt=60', 'ep=n&base=coap://a&base=coap://b']) {
    t.equal(codeOf(registrar.register({ query: twice, contentFormat: 40 })), '4.00', twice);
  }
  t.equal(codeOf(registrar.register({ query: 'ep=n&lwm2m=1.1&lwm2m=1.1', contentFormat: 40 })), '4.00');
});

t.test('several endpoint types are several parameters, and several attributes', async t => {
  const registrar = new Registrar();
  registerLinks(registrar, 'ep=node1&et=oic.d.sensor&et=tag:example.com,2020:platform', '</t>');
  for (const type of ['oic.d.sensor', 'tag:example.com,2020:platform', 'oic.*']) {
    t.match(
      textOrCode(registrar.get(`/rd-lookup/ep?et=${type}`)),
      /;et="oic.d.sensor";et="tag:example.com,2020:platform";/,
      type,
    );
  }
  t.equal(textOrCode(registrar.get('/rd-lookup/ep?et=sensor')), '');
});

t.test('nothing that a device sent breaks out of the link it stands in', async t => {
  const registrar = new Registrar();
  registerLinks(registrar, 'ep=a;b\\c&a;b=c&q=x"y\\z&tab=a\tb', '</t>');
  const [link, more] = linksOf(registrar.get('/rd-lookup/ep'));
  t.equal(more, undefined);
  t.match(link, { ep: 'a;b\\c', q: 'x"y\\z' });
  t.notOk(Object.keys(link!).some(name => name === 'a;b' || name === 'b' || name === 'tab'));
});

t.test('first come, first remembered: a name is not taken while its registration lives', async t => {
  const registrar = new Registrar();
  const mine = { address: '192.0.2.1' };
  const location = registerLinks(registrar, 'ep=node1&lt=60', '</a>', mine);
  t.equal(codeOf(registrar.register({ query: 'ep=node1', contentFormat: 40 }, { address: '192.0.2.2' })), '4.03');
  t.equal(
    registerLinks(registrar, 'ep=node1&lt=60', '</b>', mine),
    location,
    'the same registration, the same location',
  );
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/res')), ['coap://192.0.2.1/b'], 'and its links are replaced');
  registrar.wait(60 + 93 + 5);
  t.not(registerLinks(registrar, 'ep=node1', '</c>', { address: '192.0.2.2' }), location);
});

t.test('link-local registrations are shown on their own link only, and never with a zone', async t => {
  const registrar = new Registrar();
  registerLinks(registrar, 'ep=near', '</t>', { address: 'fe80::1%eth0' });
  registerLinks(registrar, 'ep=far', '</t>', { address: '192.0.2.1' });
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/res', {}, { address: '192.0.2.7' })), ['coap://192.0.2.1/t']);
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/res?ep=near', {}, { address: 'fe80::2%eth0' })), [
    'coap://[fe80::1]/t',
  ]);
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/res?ep=near', {}, { address: 'fe80::2%eth1' })), []);
});

t.test('the pages of those on a link would begin where those of everybody else do, who see fewer devices', t => {
  const registrar = new Registrar();
  for (const name of ['a', 'b']) registerLinks(registrar, `ep=near-${name}`, '</t>', { address: 'fe80::1%eth0' });
  for (const name of ['a', 'b', 'c', 'd']) registerLinks(registrar, `ep=far-${name}`, '</t>');
  const names = (page: number, address: string) =>
    textOrCode(registrar.get(`/rd-lookup/ep?page=${page}&count=2`, {}, { address })).match(/(near|far)-./g);
  t.strictSame(names(0, 'fe80::2%eth0'), ['near-a', 'near-b']);
  t.strictSame(names(1, '192.0.2.7'), ['far-c', 'far-d']);
  t.strictSame(names(1, 'fe80::2%eth0'), ['far-a', 'far-b']);
  t.end();
});

t.test('results come as link-format, as CBOR, or not at all; and are known by their ETag', async t => {
  const registrar = new Registrar();
  registerLinks(registrar, 'ep=node1&base=coap://a', '</t>;rt=temp;obs;foo=bar');
  const cbor = registrar.get('/rd-lookup/res', { accept: 60 });
  t.equal(cbor.options.get(ContentFormat), 60);
  t.strictSame(decode(cbor.payload, { useMaps: true }), [
    new Map<number | string, unknown>([
      [1, 'coap://a/t'],
      [9, 'temp'],
      [13, true],
      ['foo', 'bar'],
    ]),
  ]);
  t.equal(codeOf(registrar.get('/rd-lookup/res', { accept: 50 })), '4.06');
  const first = registrar.get('/rd-lookup/res');
  t.equal(first.options.get(ContentFormat), 40);
  const etag = first.options.get(ETag)!;
  const again = registrar.get('/rd-lookup/res', { options: options => options.with(ETag, etag) });
  t.equal(codeOf(again), '2.03');
  t.equal(again.payload.length, 0);
  t.not(toHex(cbor.options.get(ETag)!), toHex(etag));
});

t.test('a lookup without a count answers a page and not the whole fleet', async t => {
  const registrar = new Registrar();
  for (let i = 0; i < 60; i++) registerLinks(registrar, `ep=node${i}`, '</t>');
  t.equal(hrefsOf(registrar.get('/rd-lookup/ep')).length, 50);
  t.equal(hrefsOf(registrar.get('/rd-lookup/ep?page=1&count=50')).length, 10);
  t.equal(hrefsOf(registrar.get('/rd-lookup/ep?count=60')).length, 60);
});

t.test('on plain CoAP nobody looks anything up unless the operator said so', async t => {
  const registrar = new Registrar({ insecureCoap: false });
  t.equal(codeOf(registrar.get('/rd-lookup/ep')), '4.01');
  t.equal(registrar.refused, 'lookup-needs-dtls');
  t.equal(codeOf(registrar.simple('ep=a', {})), '4.01');
  t.equal(codeOf(registrar.get('/rd-lookup/ep', {}, { operator: 'reader' })), '2.05');
  t.equal(codeOf(registrar.update('/rd-lookup/ep')), '4.05');
});
