import t from 'tap';
import { parseProfile } from '../../src/adapters/profiles.ts';
import { seconds } from '../../src/base/time.ts';
import { ContentFormats } from '../../src/coap/codec/contentFormat.ts';
import { DeviceObjects } from '../../src/device/objects.ts';
import { ProfileSet } from '../../src/fleet/profile.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import { observerLimits } from '../../src/service/observers.ts';
import { SmallWorld } from '../support/smallWorld.ts';

/** Last values over CoAP, for operators: `/device/{ep}/{object}/{instance}/{resource}`. */
function observed(more: object = {}) {
  const profile = parseProfile("{name: default, observe: [{path: '/3303/0/5700', pmin: 0, pmax: 3600}]}", 'default');
  const world = new SmallWorld({ profiles: new ProfileSet([profile]), ...more });
  const objects = new DeviceObjects(Definitions.registry(), {
    '/1/0/1': 300,
    '/3/0/0': 'ACME',
    '/3303/0/5700': 21.5,
    '/3303/0/5701': 'Cel',
  });
  const device = world.device('node-1', { objects }).connect().register();
  world.run(2000);
  const operator = world.operator('dashboard').connect();
  return { world, device, operator };
}

t.test('an operator reads the last value of a resource as text, and what stands above it as SenML', async t => {
  const { world, device, operator } = observed();
  t.match(operator.get('/device/node-1/3303/0/5700'), [{ code: '2.05', format: 0, text: '21.5' }]);
  device.send('/3303/0', '/3/0/0');
  const [whole] = operator.get('/device/node-1');
  t.match(whole, { code: '2.05', format: ContentFormats.senmlJson });
  const records = JSON.parse(whole!.text);
  t.match(records, [
    { bn: '/', n: '3/0/0', vs: 'ACME' },
    { n: '3303/0/5700', v: 21.5 },
    { n: '3303/0/5701', vs: 'Cel' },
  ]);
  const age = world.now.wall / 1000 - records[0].t;
  t.ok(age >= 0 && age < 60, 'each with the time when it was measured or received');
  for (const accept of [ContentFormats.senmlCbor, ContentFormats.lwm2mCbor, ContentFormats.lwm2mTlv]) {
    t.match(operator.get('/device/node-1/3303/0', { accept }), [{ code: '2.05', format: accept }]);
  }
  t.match(operator.get('/device/node-1/3303', { accept: 0 }), [{ code: '4.06' }], 'several values are no text');
  t.match(operator.get('/device/node-1/4'), [{ code: '2.05', text: '[]' }], 'nothing there yet');
});

t.test('what is not there would be told from what is', async t => {
  const { operator } = observed();
  for (const path of ['/device/nobody', '/device/node-1/3303/0/5701', '/device/node-1/x', '/device/node-1/3303/00']) {
    t.match(operator.get(path), [{ code: '4.04', text: '' }], path);
  }
  t.match(operator.get('/device/node-1?x=y'), [{ code: '4.00' }]);
});

t.test('of two who observe a device one leaves, and the other would not be told any more', async t => {
  const { world, device, operator } = observed();
  const other = world.operator('other').connect();
  operator.get('/device/node-1/3303', { observe: true });
  const heard = other.get('/device/node-1/3303', { observe: true });
  world.revoke('dashboard');
  world.run(2000);
  const before = heard.length;
  device.set('/3303/0/5700', 30.5).send('/3303/0');
  world.run(5000);
  t.ok(heard.length > before);
  t.match(heard.at(-1)!.text, /30\.5/);
});

t.test('a device that sleeps is readable, and an operator who observes is told when it has woken', async t => {
  const { world, device, operator } = observed();
  const heard = operator.get('/device/node-1/3303', { observe: true });
  t.match(heard, [{ code: '2.05', observe: Number }]);
  world.carries = (_, node) => node !== device;
  world.run(seconds(300));
  t.match(operator.get('/device/node-1/3303/0/5700'), [{ text: '21.5' }]);
  world.carries = () => true;
  device.set('/3303/0/5700', 24);
  world.run(5000);
  t.match(heard.at(-1), { code: '2.05', format: ContentFormats.senmlJson, text: /"n":"0\/5700".*"v":24/ });
  t.ok(heard.at(-1)!.observe! > heard[0]!.observe!);
});

t.test('a hundred changes a second would be a hundred notifications', async t => {
  const { world, device, operator } = observed();
  const heard = operator.get('/device/node-1/3303/0/5700', { observe: true });
  for (let i = 0; i < 50; i++) device.send('/3303/0/5700').set('/3303/0/5700', 30 + i);
  world.run(3000);
  t.equal(heard.at(-1)?.text, '79');
  t.ok(heard.length > 2 && heard.length < 15, `${heard.length} for 50 changes in 10 s`);
  device.set('/3303/0/5700', 79);
  world.run(3000);
  const before = heard.length;
  device.send('/3/0/0');
  world.run(3000);
  t.equal(heard.length, before, 'and what stands elsewhere is not told');
});

t.test('an observation of a device that has left ends with 4.04', async t => {
  const { world, device, operator } = observed();
  const heard = operator.get('/device/node-1', { observe: true });
  device.deregister();
  world.run(2000);
  t.match(heard.at(-1), { code: '4.04' });
  device.register();
  world.run(5000);
  t.match(heard.at(-1), { code: '4.04' }, 'and is not told of its next registration');
  const before = heard.length;
  t.match(operator.get('/device/node-1/3303', { observe: true }), [{ code: '2.05', observe: Number }]);
  t.equal(heard.length, before);
});

t.test('a revoked operator would go on hearing until its session ends by itself', async t => {
  const { world, device, operator } = observed();
  const heard = operator.get('/device/node-1/3303', { observe: true });
  const fleet = operator.get('/rd-lookup/ep', { observe: true });
  t.match(fleet, [{ code: '2.05', observe: Number }]);
  world.revoke('dashboard');
  world.run(500);
  t.ok(operator.closed, 'it is told at once that its session is over');
  device.set('/3303/0/5700', 99);
  device.deregister();
  world.run(5000);
  t.equal(heard.length, 1);
  t.equal(fleet.length, 1);
  operator.connect();
  t.strictSame(operator.get('/device/node-1'), [], 'and its key opens nothing');
});

t.test('after kill -9 an operator is an operator still, on the session that he had', async t => {
  const { world, operator } = observed();
  world.restart();
  t.match(operator.get('/device/node-1/3303/0/5700'), [{ code: '2.05', text: '21.5' }]);
  t.match(operator.get('/rd-lookup/ep'), [{ text: /node-1/ }]);
});

t.test('the devices whose values can be read are listed, by the criteria of a lookup', async t => {
  const { operator } = observed();
  t.match(operator.get('/.well-known/core?rt=rollcall.values'), [{ text: '</device>;rt="rollcall.values";obs' }]);
  t.match(operator.get('/device?object=3303'), [{ text: '</device/node-1>;ep="node-1";rt="rollcall.values";obs' }]);
  t.match(operator.get('/device?ep=other'), [{ code: '2.05', text: '' }]);
});

t.test('an operator at his limit would take the room of others', async t => {
  const { world, operator } = observed();
  const { each } = observerLimits.operators;
  for (let i = 0; i < each; i++) t.ok(operator.get('/device/node-1', { observe: true })[0]?.observe);
  t.match(operator.get('/device/node-1', { observe: true }), [{ code: '2.05', observe: undefined }]);
  t.equal(world.service.counters.observersOfOneRefused, 1);
  const other = world.operator('other').connect();
  t.match(other.get('/device/node-1', { observe: true }), [{ code: '2.05', observe: Number }]);
});
