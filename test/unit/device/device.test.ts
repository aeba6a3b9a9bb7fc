import t from 'tap';
import { textOf, utf8 } from '../../../src/base/bytes.ts';
import { seconds } from '../../../src/base/time.ts';
import { Method } from '../../../src/coap/codec/code.ts';
import { ContentFormat, UriPath, UriQuery } from '../../../src/coap/codec/option.ts';
import type { Behaviour } from '../../../src/device/behaviour.ts';
import { counter } from '../../../src/device/behaviour.ts';
import { DeviceObjects } from '../../../src/device/objects.ts';
import { decodeDiscover } from '../../../src/lwm2m/content/discover.ts';
import { isContentFault } from '../../../src/lwm2m/content/fault.ts';
import { decodeContent, encodeContent, encodePaths } from '../../../src/lwm2m/content/select.ts';
import { Definitions } from '../../../src/lwm2m/definitions.ts';
import { parseRegister } from '../../../src/lwm2m/parse.ts';
import { type Path, parsePath, type ValuePath } from '../../../src/lwm2m/path.ts';
import { isRefusal } from '../../../src/lwm2m/refusal.ts';
import type { Entry, ResourceValue } from '../../../src/lwm2m/value.ts';
import { type Answer, type Asked, DevicePair } from '../../support/devicePair.ts';

const definitions = Definitions.registry();
const temperature = '/3303/0/5700' as ValuePath;
const text = 0;
const linkFormat = 40;
const senmlJson = 110;
const senmlCbor = 112;
const tlv = 11542;
const lwm2mCbor = 11544;

t.test('a server reads what is there, in the format it accepts', async t => {
  const pair = newPair();
  t.match(pair.get(temperature, { accept: text }).answers, [{ code: '2.05', format: text, payload: utf8('21.5') }]);
  for (const accept of [tlv, lwm2mCbor, senmlJson, senmlCbor]) {
    const { answers } = pair.get('/3303/0', { accept });
    t.same(valuesOf(answers[0], '/3303/0'), { '/3303/0/5700': 21.5, '/3303/0/5701': 'Cel' }, String(accept));
  }
  t.same(valuesOf(pair.get('/3/0/6').answers[0], '/3/0/6'), { '/3/0/6/0': 1, '/3/0/6/1': 5 });
  const codes: readonly [path: string, accept: number | undefined, code: string][] = [
    ['/3303/0/5700', undefined, '2.05'],
    ['/3303', undefined, '2.05'],
    ['/3303/1', undefined, '4.04'],
    ['/3303/0/9999', undefined, '4.04'],
    ['/40000', undefined, '4.04'],
    ['/x', undefined, '4.04'],
    ['/3/0/4', undefined, '4.05'],
    ['/3303/0', text, '4.06'],
    ['/3303/0', 4711, '4.06'],
  ];
  for (const [path, accept, code] of codes) {
    t.equal(pair.get(path, accept === undefined ? {} : { accept }).answers[0]?.code, code, `${path} as ${accept}`);
  }
});

t.test('a server writes: replace takes away what it does not name, update does not', async t => {
  const pair = newPair();
  const put = (path: string, values: Record<string, ResourceValue>, format = senmlCbor) =>
    codeOf(pair.ask(Method.PUT, path, { format, payload: payloadOf(format, path, values) }));
  const post = (path: string, values: Record<string, ResourceValue>, format = senmlCbor) =>
    codeOf(pair.ask(Method.POST, path, { format, payload: payloadOf(format, path, values) }));
  const value = (path: string) => pair.device.objects?.get(path as ValuePath);

  t.equal(put('/3/0/14', { '/3/0/14': '+02:00' }, text), '2.04');
  t.equal(value('/3/0/14'), '+02:00');
  t.equal(post('/3/0', { '/3/0/15': 'Europe/Berlin' }, tlv), '2.04');
  t.equal(value('/3/0/14'), '+02:00');
  t.equal(put('/3/0', { '/3/0/15': 'Asia/Tokyo' }, lwm2mCbor), '2.04');
  t.equal(value('/3/0/14'), undefined, 'replaced');
  t.equal(value('/3/0/0'), 'ACME', 'what a server may not write stays');
  t.same(pair.events.slice(-1), ['written /3/0/14 /3/0/15']);

  t.equal(put('/3/0/0', { '/3/0/0': 'x' }, text), '4.05', 'read only');
  t.equal(put('/3303/7/5750', { '/3303/7/5750': 'x' }, text), '4.04', 'no such instance');
  t.equal(codeOf(pair.ask(Method.PUT, '/3/0/14', { format: 4711, payload: utf8('x') })), '4.15');
  t.equal(codeOf(pair.ask(Method.PUT, '/3/0/13', { format: text, payload: utf8('now') })), '4.00');
  t.equal(codeOf(pair.ask(Method.PUT, '/1/0/7', { format: tlv, payload: utf8('\u00ff') })), '4.00');
  t.equal(put('/1/0/0', { '/1/0/0': 7 }, text), '4.05');
});

t.test('a write with one bad value changes nothing', async t => {
  const pair = newPair();
  const composite = (values: Record<string, ResourceValue>) =>
    codeOf(pair.ask(Method.iPATCH, '/', { format: senmlCbor, payload: payloadOf(senmlCbor, '/', values) }));
  t.equal(composite({ '/3/0/14': '+05:00', '/3303/0/5700': 99 }), '4.05');
  t.equal(composite({ '/3/0/14': '+05:00', '/3303/9/5750': 'x' }), '4.04');
  t.equal(pair.device.objects?.get('/3/0/14' as ValuePath), '+01:00');
  t.equal(composite({ '/3/0/14': '+05:00', '/3303/0/5750': 'roof' }), '2.04');
  t.equal(pair.device.objects?.get('/3303/0/5750' as ValuePath), 'roof');
});

t.test('a server executes, with arguments, what is executable', async t => {
  const pair = newPair();
  t.equal(codeOf(pair.ask(Method.POST, '/3/0/4')), '2.04');
  t.equal(codeOf(pair.ask(Method.POST, '/3303/0/5605', { payload: utf8("0='all',1") })), '2.04');
  t.same(pair.events, ['executed /3/0/4', "executed /3303/0/5605 0='all',1"]);
  t.equal(codeOf(pair.ask(Method.POST, '/3/0/4', { payload: utf8('now!') })), '4.00');
  t.equal(codeOf(pair.ask(Method.POST, '/3/0/0')), '4.05');
  t.equal(codeOf(pair.ask(Method.POST, '/3/1/4')), '4.04');
});

t.test('a server creates and deletes instances', async t => {
  const pair = newPair();
  const created = pair.ask(Method.POST, '/3303', {
    format: tlv,
    payload: payloadOf(tlv, '/3303/0', { '/3303/0/5750': 'roof' }),
  });
  t.match(created.answers, [{ code: '2.01', location: '/3303/1' }]);
  t.equal(pair.device.objects?.get('/3303/1/5750' as ValuePath), 'roof');
  const named = payloadOf(senmlJson, '/3303', { '/3303/7/5750': 'cellar' });
  t.match(pair.ask(Method.POST, '/3303', { format: senmlJson, payload: named }).answers, [
    { code: '2.01', location: '/3303/7' },
  ]);
  t.equal(codeOf(pair.ask(Method.POST, '/3303', { format: senmlJson, payload: named })), '4.00', 'there already');
  t.equal(codeOf(pair.ask(Method.POST, '/3')), '4.05', 'one instance only');
  t.equal(codeOf(pair.ask(Method.DELETE, '/3303/7')), '2.02');
  t.equal(codeOf(pair.ask(Method.DELETE, '/3303/7')), '4.04');
  t.equal(codeOf(pair.ask(Method.DELETE, '/3303')), '4.05');
  t.equal(codeOf(pair.ask(Method.DELETE, '/3/0')), '4.05');
  t.equal(codeOf(pair.get('/3303/7')), '4.04');
});

t.test('a server discovers what there is, with attributes', async t => {
  const pair = newPair();
  t.equal(codeOf(pair.ask(Method.PUT, '/3303/0', { query: ['pmin=10', 'pmax=60'] })), '2.04');
  t.equal(codeOf(pair.ask(Method.PUT, temperature, { query: ['gt=30.5'] })), '2.04');
  const { answers } = pair.get('/3303/0', { accept: linkFormat });
  t.equal(textOf(answers[0]!.payload)?.split(',').slice(0, 1).join(), '</3303/0>;pmin=10;pmax=60');
  const found = decodeDiscover('/3303/0' as Path, answers[0]!.payload);
  if (isContentFault(found)) return t.fail(found.reason);
  t.match(Object.fromEntries(found.map(({ path, attributes }) => [path, { ...attributes }])), {
    '/3303/0': { pmin: '10', pmax: '60' },
    '/3303/0/5700': { gt: '30.5' },
    '/3303/0/5605': {},
  });
  t.match(textOf(pair.get('/3/0/6', { accept: linkFormat }).answers[0]!.payload), '</3/0/6>;dim=2');
  t.equal(codeOf(pair.ask(Method.PUT, temperature, { query: ['gt'] })), '2.04');
  t.equal(textOf(pair.get(temperature, { accept: linkFormat }).answers[0]!.payload), '</3303/0/5700>');
  for (const query of [['pmin=-1'], ['pmin=a'], ['colour=red'], ['pmin=1', 'pmin=2'], ['gt=1e5']]) {
    t.equal(codeOf(pair.ask(Method.PUT, temperature, { query })), '4.00', query.join('&'));
  }
  t.equal(codeOf(pair.ask(Method.PUT, '/3303/5', { query: ['pmin=1'] })), '4.04');
  return t.end();
});

t.test('changes are reported, not before pmin and not later than pmax', async t => {
  const pair = newPair();
  pair.ask(Method.PUT, temperature, { query: ['pmin=10', 'pmax=60'] });
  const start = pair.now.instant;
  const observed = pair.get(temperature, { accept: text, observe: true });
  const heard = () => observed.answers.map(({ at, payload }) => [(at - start) / 1000, textOf(payload)]);
  t.same(heard(), [[0, '21.5']]);
  pair.run(seconds(2));
  pair.does((device, now, out) => device.set(now, temperature, 22, out));
  pair.run(seconds(3));
  pair.does((device, now, out) => device.set(now, temperature, 23, out));
  pair.run(seconds(30));
  t.same(heard().slice(1), [[10, '23']], 'two changes within pmin are one report, of the newest value');
  pair.run(seconds(70));
  t.same(heard().slice(2), [[70, '23']], 'and without a change one after pmax');
  pair.unobserve(observed);
  pair.run(seconds(300));
  t.equal(pair.device.observations, 0);
  t.equal(heard().length, 4, 'the answer to Observe 1 is the last one');
});

t.test('thresholds: a report when the value crosses, or steps far enough', async t => {
  const reports = (query: readonly string[], values: readonly number[]) => {
    const pair = newPair();
    pair.ask(Method.PUT, temperature, { query });
    const observed = pair.get(temperature, { accept: text, observe: true });
    for (const value of values) {
      pair.run(seconds(1));
      pair.does((device, now, out) => device.set(now, temperature, value, out));
    }
    return observed.answers.slice(1).map(({ payload }) => Number(textOf(payload)));
  };
  t.same(reports([], [22, 23, 23, 24]), [22, 23, 24]);
  t.same(reports(['gt=30'], [25, 31, 32, 29, 28]), [31, 29]);
  t.same(reports(['lt=10'], [15, 9, 8, 11]), [9, 11]);
  t.same(reports(['st=2'], [22, 23, 23.5, 25, 26, 24.5, 23]), [23.5, 26, 23]);
  t.same(reports(['gt=30', 'st=5'], [25, 27, 31]), [27, 31]);
});

t.test(
  'an observation ends by Observe 1, by RST, by a new registration, and when what it observes is gone',
  async t => {
    const pair = newPair();
    const move = (value: number) => pair.does((device, now, out) => device.set(now, temperature, value, out));
    const rejected = pair.get(temperature, { observe: true });
    pair.cancel(rejected);
    t.equal(pair.device.observations, 1, 'the device cannot know yet');
    move(1);
    t.equal(pair.device.observations, 0, 'RST to its notification');

    pair.get(temperature, { observe: true });
    pair.does((device, now, out) => device.register(now, {}, out));
    t.equal(pair.device.observations, 0, 'a new registration');

    const instance = payloadOf(tlv, '/3303/0', { '/3303/0/5750': 'roof' });
    pair.ask(Method.POST, '/3303', { format: tlv, payload: instance });
    const observed = pair.get('/3303/1', { observe: true });
    pair.ask(Method.DELETE, '/3303/1');
    t.same(
      observed.answers.map(({ code }) => code),
      ['2.05', '4.04'],
    );
    t.equal(pair.device.observations, 0);
  },
);

t.test('a device whose notifications nobody acknowledges stops', async t => {
  const pair = newPair({ confirmable: true });
  pair.get(temperature, { observe: true });
  pair.loses = true;
  pair.does((device, now, out) => device.set(now, temperature, 30, out));
  pair.run(seconds(100));
  t.equal(pair.device.observations, 0);
});

t.test('a device has so many observations and no more', async t => {
  const pair = newPair();
  for (let i = 0; i < 80; i++) pair.get(temperature, { observe: true });
  t.equal(pair.device.observations, 64);
});

t.test('several paths are read and observed at once', async t => {
  const pair = newPair();
  const paths = ['/3/0/0', '/3303/0/5700', '/3303/5/5700'].map(path => parsePath(path)!);
  const payload = encodePaths(senmlJson, paths);
  if (isContentFault(payload)) return t.fail(payload.reason);
  const observed = pair.ask(Method.FETCH, '/', { format: senmlJson, accept: senmlCbor, payload, observe: true });
  t.same(valuesOf(observed.answers[0], '/'), { '/3/0/0': 'ACME', '/3303/0/5700': 21.5 });
  pair.does((device, now, out) => device.set(now, temperature, 25, out));
  t.same(valuesOf(observed.answers[1], '/'), { '/3/0/0': 'ACME', '/3303/0/5700': 25 });
  t.equal(codeOf(pair.ask(Method.FETCH, '/', { format: text, payload })), '4.15');
  t.equal(codeOf(pair.ask(Method.FETCH, '/', { format: senmlJson, payload: utf8('[') })), '4.00');
  return t.end();
});

t.test('values move by themselves, and are sent without being asked', async t => {
  const pair = newPair({ moving: [{ path: temperature, every: seconds(60), next: counter(20) }] });
  pair.does((device, now, out) => device.connect(now, out));
  const observed = pair.get(temperature, { accept: text, observe: true });
  pair.run(seconds(200));
  t.same(
    observed.answers.map(({ payload }) => textOf(payload)),
    ['21.5', '21', '22', '23'],
  );
  pair.does((device, now, out) => device.send(now, [temperature, '/3/0/9' as Path], senmlCbor, out));
  t.same(pair.events.slice(-1), ['send 2.04']);
  const { options, payload } = pair.requests.at(-1)!;
  t.same(options.all(UriPath), ['dp']);
  t.equal(options.get(ContentFormat), senmlCbor);
  t.same(decodeContent(senmlCbor, '/' as Path, payload, definitions), [
    { path: '/3303/0/5700', value: 23 },
    { path: '/3/0/9', value: 80 },
  ]);
});

t.test('a sleepy device hears nothing once its awake time is over, and hears again after its own message', async t => {
  const pair = newPair({ awake: seconds(20) });
  pair.does((device, now, out) => device.register(now, {}, out));
  pair.run(seconds(15));
  t.equal(codeOf(pair.get(temperature)), '2.05', 'awake');
  pair.run(seconds(19));
  t.equal(codeOf(pair.get(temperature)), '2.05', 'each message restarts the window');
  pair.run(seconds(21));
  t.ok(pair.device.isAsleep(pair.now));
  const lost = pair.get(temperature);
  pair.run(seconds(200));
  t.match(lost.answers, [{ code: 'timeout' }]);
  pair.does((device, now, out) => device.update(now, undefined, out));
  t.equal(codeOf(pair.get(temperature)), '2.05', 'awake again');
});

t.test('a mute device neither answers nor acknowledges, but registers', async t => {
  const pair = newPair({ mute: true });
  pair.does((device, now, out) => device.register(now, {}, out));
  t.same(pair.events, ['register 2.01']);
  const asked = pair.get(temperature);
  pair.run(seconds(100));
  t.match(asked.answers, [{ code: 'timeout' }]);
});

t.test('the Registration Update Trigger makes the device update', async t => {
  const pair = newPair();
  pair.does((device, now, out) => device.register(now, {}, out));
  t.equal(codeOf(pair.ask(Method.POST, '/1/0/8')), '2.04');
  pair.run(1);
  t.same(pair.events, ['register 2.01', 'executed /1/0/8', 'update 2.04']);
});

t.test('it registers with the links of its objects, in the CBOR map and in link-format alike', async t => {
  for (const dialect of ['cbor', 'lwm2m'] as const) {
    const pair = new DevicePair({ objects: newObjects(), dialect });
    const registration = { endpoint: 'node-1', lifetime: 300, version: [1, 1] as const, queueMode: true, binding: 'U' };
    pair.does((device, now, out) => device.register(now, registration, out));
    const { options, payload } = pair.requests[0]!;
    const raw = { query: options.all(UriQuery), contentFormat: options.get(ContentFormat), payload };
    const parsed = parseRegister(raw);
    if (isRefusal(parsed)) return t.fail(`${parsed.reason} ${parsed.detail}`);
    t.match(parsed, {
      dialect,
      ...registration,
      description: {
        objects: [
          { id: 1, instances: [0] },
          { id: 3, instances: [0] },
          { id: 3303, version: [1, 1], instances: [0] },
        ],
      },
    });
    t.ok(parsed.description.contentFormats.includes(senmlCbor));
  }
  return t.end();
});

t.test('a registration that says nothing else says that it is one of ours', async t => {
  const pair = new DevicePair({});
  pair.does((device, now, out) => device.register(now, {}, out));
  pair.does((device, now, out) => device.update(now, undefined, out));
  t.same(
    pair.requests.map(({ options }) => options.get(ContentFormat)),
    [60, undefined],
  );
});

t.test(
  'a device that goes on with the registration of before would count on a lifetime that it does not have',
  async t => {
    const pair = new DevicePair({});
    pair.does((device, now, out) => device.register(now, { lifetime: 60 }, out));
    t.equal(pair.device.location, '/rd/x1');
    pair.loses = true;
    pair.does((device, now, out) => device.register(now, { lifetime: 600 }, out));
    pair.run(seconds(100));
    t.same(pair.events, ['register 2.01', 'register timeout']);
    t.equal(pair.device.location, undefined, 'either may be there: it has to register again');
  },
);

t.test('a device whose leaving was not confirmed has left once the server does not know it', async t => {
  const pair = new DevicePair({});
  pair.does((device, now, out) => device.register(now, {}, out));
  pair.loses = true;
  pair.does((device, now, out) => device.deregister(now, out));
  pair.run(seconds(100));
  t.equal(pair.device.location, '/rd/x1', 'it may be registered still');
  pair.loses = false;
  pair.does((device, now, out) => device.deregister(now, out));
  t.same(pair.events, ['register 2.01', 'deregister timeout', 'deregister 4.04']);
  t.equal(pair.device.location, undefined);
});

t.test('a device whose address is not proved would never get its long registration through', async t => {
  const echo = utf8('send it back');
  const echoes: (string | undefined)[] = [];
  const addresses = {
    isProved: (_: unknown, sent: Uint8Array | undefined) => {
      echoes.push(sent && textOf(sent));
      return sent !== undefined && textOf(sent) === textOf(echo);
    },
    challenge: () => echo,
  };
  const pair = new DevicePair({}, addresses);
  const instances = Array.from({ length: 400 }, (_, id) => 300 + id);
  const description = { objects: [{ id: 3303, version: undefined, instances }] };
  pair.does((device, now, out) => device.register(now, { description }, out));
  t.equal(echoes[0], undefined, 'the first block is asked for an Echo');
  t.ok(
    echoes.slice(1).every(sent => sent === textOf(echo)),
    'and comes again with it',
  );
  t.match(pair.requests, { length: 1 });
  t.ok(pair.requests[0]!.payload.length > 1024);
  t.same(pair.events, ['register 2.01'], 'whoever drives the device hears of none of it');
  t.equal(pair.device.location, '/rd/x1');
});

t.test('a server that is never content with an Echo is asked twice, and no more', async t => {
  const pair = new DevicePair({}, { isProved: () => false, challenge: () => utf8('again') });
  const description = {
    objects: [{ id: 3303, version: undefined, instances: Array.from({ length: 700 }, (_, id) => id + 300) }],
  };
  pair.does((device, now, out) => device.register(now, { description }, out));
  t.same(pair.events, ['register 4.01']);
});

t.test('a device without objects has nothing', async t => {
  const pair = new DevicePair({});
  t.equal(codeOf(pair.get('/3/0')), '4.04');
});

function newObjects(): DeviceObjects {
  return new DeviceObjects(
    definitions,
    {
      '/1/0/0': 1,
      '/1/0/1': 300,
      '/1/0/6': false,
      '/1/0/7': 'U',
      '/3/0/0': 'ACME',
      '/3/0/6/0': 1,
      '/3/0/6/1': 5,
      '/3/0/9': 80,
      '/3/0/14': '+01:00',
      '/3303/0/5700': 21.5,
      '/3303/0/5701': 'Cel',
    },
    new Map([[3303, [1, 1]]]),
  );
}

function newPair(behaviour: Behaviour = {}): DevicePair {
  return new DevicePair({ objects: newObjects(), behaviour });
}

function codeOf({ answers }: Asked): string | undefined {
  return answers[0]?.code;
}

function valuesOf(answer: Answer | undefined, base: string): Record<string, ResourceValue> {
  if (answer?.format === undefined) throw new Error(`${answer?.code} without a format`);
  const entries = decodeContent(answer.format, base as Path, answer.payload, definitions);
  if (isContentFault(entries)) throw new Error(entries.reason);
  return Object.fromEntries(entries.map(({ path, value }) => [path, value]));
}

function payloadOf(format: number, base: string, values: Record<string, ResourceValue>): Uint8Array {
  const entries = Object.entries(values).map(([path, value]) => ({ path: path as Entry['path'], value }));
  const payload = encodeContent(format, base as Path, entries, definitions);
  if (isContentFault(payload)) throw new Error(payload.reason);
  return payload;
}
