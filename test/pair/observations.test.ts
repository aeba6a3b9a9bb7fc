import t from 'tap';
import { seconds } from '../../src/base/time.ts';
import { DeviceObjects } from '../../src/device/objects.ts';
import { objectDefinition } from '../../src/lwm2m/definition.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import { SmallWorld } from '../support/smallWorld.ts';
import { observing, profiles, thermometer } from '../support/thermometer.ts';

t.test('an observation is made after the 2.01, and not in the same breath', async t => {
  const world = observing();
  const device = world.device('node-1', { objects: thermometer() }).connect();
  device.register();
  t.strictSame(device.said, ['connected', 'register 2.01']);
  t.equal(device.device.observations, 0, 'a request that overtakes the 2.01 is lost');
  world.run(300);
  t.equal(device.device.observations, 0);
  world.run(700);
  t.equal(device.device.observations, 1);
  t.strictSame(world.values(device), { '/3303/0/5700': 21.5 });
  device.set('/3303/0/5700', 23);
  world.run(2000);
  t.strictSame(world.values(device), { '/3303/0/5700': 23 });
  t.match(world.story(device), ['credential-added', 'registered', 'observation active', 'value', 'value']);
  t.equal(world.service.devices.sizes().lines, 0, 'nothing is kept for a device of which nothing is wanted');
});

t.test('after kill -9 an observation still matches its notifications, without a new handshake', async t => {
  const world = observing();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  world.restart();
  t.equal(world.coap.sizes().observations, 1);
  device.set('/3303/0/5700', 25);
  world.run(2000);
  t.strictSame(world.values(device), { '/3303/0/5700': 25 });
  t.strictSame(device.said, ['connected', 'register 2.01'], 'the device noticed nothing');
  t.equal(device.device.observations, 1);
});

t.test('after kill -9 one observation of many would be taken for another, or for none', async t => {
  const paths = ['/3303/0/5700', '/3303/1/5700', '/3/0/0'];
  const world = new SmallWorld({
    profiles: profiles(paths.map(path => `{path: '${path}', pmin: 0, pmax: 3600}`).join(', ')),
  });
  const devices = Array.from({ length: 12 }, (_, n) =>
    world
      .device(`node-${n}`, { objects: thermometer({ '/3303/1/5700': 1 }) })
      .connect()
      .register(),
  );
  world.run(seconds(10));
  t.equal(world.coap.sizes().observations, 36);
  world.restart();
  t.equal(world.coap.sizes().observations, 36);
  const expected = (n: number) => ({ '/3/0/0': `ACME ${n}`, '/3303/0/5700': 30 + n, '/3303/1/5700': -n });
  // In another order than they were made in.
  for (const [n, device] of [...devices.entries()].reverse()) {
    for (const [path, value] of Object.entries(expected(n))) device.set(path, value);
  }
  world.run(seconds(10));
  for (const [n, device] of devices.entries()) {
    t.strictSame(world.values(device), expected(n), device.name);
    t.equal(device.device.observations, 3, 'none was rejected');
    t.strictSame(device.said, ['connected', 'register 2.01']);
    t.equal(world.story(device, 'observation').length, 3, 'nor made anew');
  }
});

t.test(
  'registering again, and an Update on another association, make the observation anew; other updates keep it',
  async t => {
    const world = observing();
    const device = world.device('node-1', { objects: thermometer() }).connect().register();
    world.run(2000);
    const made = () => world.story(device, 'observation').length;
    t.equal(made(), 1);
    device.update();
    world.run(2000);
    t.equal(made(), 1, 'an Update keeps it');
    device.register();
    world.run(2000);
    t.equal(made(), 2, 'a registration makes it anew');
    device.connect().update();
    world.run(2000);
    t.equal(made(), 3, 'so does an Update on another association');
    device.port = 50_001;
    device.set('/3303/0/5700', 30);
    world.run(3000);
    t.equal(made(), 3, 'a device that moves keeps it');
    t.strictSame(world.values(device), { '/3303/0/5700': 30 });
    device.deregister();
    t.strictSame(world.values(device), {}, 'everything goes with the registration');
    t.equal(world.disk.observations.size, 0);
    t.equal(world.story(device, 'address-changed').length, 1);
  },
);

t.test('an address at which nothing arrives would be proved by the answer to what went to another one', async t => {
  const world = observing();
  const dtls = { returnRoutability: false };
  const device = world.device('node-1', { objects: thermometer(), dtls }).connect().register();
  world.run(2000);
  // The ping goes to 50,001 and arrives there; its answer comes from 60,000, where nobody hears anything.
  device.port = 50_001;
  world.after(25, () => {
    device.port = 60_000;
    world.carries = to => to === 'server';
  });
  device.update();
  t.strictSame(world.story(device, 'address-changed'), []);
  world.carries = () => true;
  world.run(5000);
  t.equal(world.story(device, 'address-changed').length, 1, 'once it hears what goes there it is its address');
});

t.test('a value that the disk refused is not acknowledged, and comes again', async t => {
  const world = observing();
  const device = world
    .device('node-1', { objects: thermometer(), behaviour: { confirmable: true } })
    .connect()
    .register();
  world.run(2000);
  world.diskFails = true;
  device.set('/3303/0/5700', 40);
  world.run(1000);
  world.diskFails = false;
  t.strictSame(world.values(device), { '/3303/0/5700': 21.5 });
  world.run(10_000);
  t.strictSame(world.values(device), { '/3303/0/5700': 40 });
});

t.test('an observation that is made anew would leave its former token behind, for as long as the session', async t => {
  const world = observing();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  for (let times = 0; times < 3; times++) {
    device.register();
    world.run(2000);
  }
  world.observe(device, '/3303/0/5700');
  world.run(2000);
  t.equal(world.story(device, 'observation').filter(state => state === 'observation active').length, 5);
  t.equal(world.coap.sizes().observations, 1);
  device.set('/3303/0/5700', 30);
  world.run(2000);
  t.strictSame(world.values(device), { '/3303/0/5700': 30 });
  device.deregister();
  t.equal(world.coap.sizes().observations, 0, 'nor does its number stand for what is observed next');
});

t.test('a device that notifies no more is noticed, and observed again when it can be', async t => {
  const world = observing();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  world.carries = () => false;
  world.run(seconds(60 * 2 + 93 + 10));
  t.match(world.story(device, 'observation'), ['observation active', 'observation silent']);
  world.carries = () => true;
  world.run(seconds(600));
  t.equal(world.story(device, 'observation').at(-1), 'observation active');
});

t.test('an observation that has no pmax any more would end the server when the device is silent', async t => {
  const world = observing();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  world.observe(device, '/3303/0/5700');
  world.run(seconds(1000));
  t.strictSame(world.story(device, 'observation').slice(-1), ['observation active']);
});

t.test('an observation that was cancelled while it was made would take the place of the next one', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  world.carries = to => to === 'device';
  world.observe(device, '/3303/0/5700');
  world.run(1000);
  world.endObservation(device);
  world.observe(device, '/3/0/0');
  world.carries = () => true;
  world.run(seconds(10));
  t.strictSame(Object.keys(world.values(device)), ['/3/0/0']);
  device.set('/3/0/0', 'other');
  world.run(seconds(2));
  t.strictSame(world.values(device), { '/3/0/0': 'other' });
});

t.test('an observation that the disk took and refused at once would be one for the server and none', async t => {
  const world = observing();
  world.diskFault = 'flush';
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.diskFails = true;
  world.run(3000);
  world.diskFails = false;
  device.set('/3303/0/5700', 25);
  world.run(seconds(20));
  t.strictSame(world.values(device), { '/3303/0/5700': 25 });
  t.equal(device.device.observations, 1, 'its notification was not rejected');
});

t.test('an observation that is silent while the disk refuses would never be made again', async t => {
  const world = observing();
  world.diskFault = 'flush';
  const objects = thermometer();
  const device = world.device('node-1', { objects }).connect().register();
  world.run(2000);
  world.carries = () => false;
  world.run(seconds(200));
  world.diskFails = true;
  world.run(seconds(30));
  world.diskFails = false;
  world.carries = () => true;
  world.run(seconds(400));
  device.set('/3303/0/5700', 30);
  world.run(2000);
  t.strictSame(world.values(device), { '/3303/0/5700': 30 });
});

t.test('what a device has not is not observed, and what it refuses is told', async t => {
  const world = new SmallWorld({ profiles: profiles("{path: '/3303/0/5701'}, {path: '/9/0/1'}") });
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(3000);
  t.strictSame(world.story(device, 'observation'), ['observation refused 4.04']);
});

t.test('several paths are one Observe-Composite with LwM2M 1.2', async t => {
  const world = new SmallWorld({ profiles: profiles("{paths: ['/3303/0/5700', '/3/0/0']}") });
  const device = world
    .device('node-1', { objects: thermometer() })
    .connect()
    .register({ version: [1, 2] });
  world.run(3000);
  t.equal(device.device.observations, 1);
  t.strictSame(world.values(device), { '/3/0/0': 'ACME', '/3303/0/5700': 21.5 });
});

t.test(
  'a device that knows no Observe-Composite is observed path by path, and not asked for it at each registration',
  async t => {
    const world = new SmallWorld({ profiles: profiles("{paths: ['/3303/0/5700', '/3/0/0'], pmin: 0, pmax: 60}") });
    const device = world
      .device('node-1', { objects: thermometer(), behaviour: { withoutComposites: true } })
      .connect()
      .register({ version: [1, 2] });
    world.run(3000);
    const story = () => world.story(device, 'observation');
    t.strictSame(story(), ['observation split 4.05', 'observation active', 'observation active']);
    t.equal(device.device.observations, 2);
    device.set('/3303/0/5700', 30);
    world.run(2000);
    t.strictSame(world.values(device), { '/3/0/0': 'ACME', '/3303/0/5700': 30 });

    world.restart();
    device.register({ version: [1, 2] });
    world.run(3000);
    t.strictSame(story().slice(3), ['observation active', 'observation active']);
    t.equal(device.device.observations, 2);
    device.deregister().register({ version: [1, 2] });
    world.run(3000);
    t.equal(story()[5], 'observation split 4.05', 'a device that left may have learned it');
  },
);

t.test('what a device says and nobody can read changes nothing, is told, and is acknowledged', async t => {
  const world = observing();
  const odd = Definitions.registry().with([
    objectDefinition({
      id: 3303,
      name: 'Odd',
      version: '1.9',
      resources: [{ id: 5700, name: 'Text', operations: 'RW', type: 'string' }],
    }),
  ]);
  const objects = new DeviceObjects(odd, { '/1/0/1': 300, '/3303/0/5700': 'warm' });
  const device = world
    .device('node-1', { objects, behaviour: { confirmable: true } })
    .connect()
    .register();
  world.run(2000);
  device.set('/3303/0/5700', 'hot');
  world.run(2000);
  t.strictSame(world.values(device), {});
  const told = [...world.disk.events.values()].filter(({ type }) => type === 'value');
  t.strictSame(
    told.map(({ details }) => details?.unreadable),
    ['wrong-type', 'wrong-type'],
  );
  t.equal(device.device.observations, 1, 'it goes on: the next value may be readable');
  device.send('/3303/0/5700');
  t.equal(device.said.at(-1), 'send 4.00');
});

t.test('LightweightM2M-1.1-int-301 observation and notification of parameter values', async t => {
  const world = new SmallWorld({ profiles: profiles("{path: '/3303/0/5700', pmin: 5, pmax: 15}") });
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  const count = () => world.story(device, 'value').length;
  const before = count();
  device.set('/3303/0/5700', 30);
  world.run(seconds(10));
  t.ok(count() > before, 'a change is reported after pmin');
  t.strictSame(world.values(device), { '/3303/0/5700': 30 });
  const after = count();
  world.run(seconds(32));
  t.ok(count() >= after + 2, 'and without a change every pmax');
});

t.test('LightweightM2M-1.1-int-302 cancel observations using reset', async t => {
  const world = observing();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  device.deregister();
  device.set('/3303/0/5700', 30);
  world.run(2000);
  t.equal(device.device.observations, 0, 'the notification was answered RST');
});

t.test('LightweightM2M-1.1-int-303 cancel observations using Observe with cancel parameter', async t => {
  const world = observing();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  world.endObservation(device);
  world.run(2000);
  t.equal(device.device.observations, 0, 'without waiting for a notification');
  t.equal(world.disk.observations.size, 0);
  t.equal(world.story(device, 'observation').at(-1), 'observation cancelled');
});

for (const [id, ends] of [
  ['LightweightM2M-1.1-int-304 Observe-Composite', false],
  ['LightweightM2M-1.1-int-305 cancel Observe-Composite', true],
] as const) {
  t.test(id, async t => {
    const world = new SmallWorld({ profiles: profiles("{paths: ['/3303/0/5700', '/3/0/0'], pmin: 0, pmax: 60}") });
    const device = world
      .device('node-1', { objects: thermometer() })
      .connect()
      .register({ version: [1, 2] });
    world.run(3000);
    device.set('/3303/0/5700', 30);
    world.run(2000);
    t.strictSame(world.values(device), { '/3/0/0': 'ACME', '/3303/0/5700': 30 });
    if (!ends) return;
    world.endObservation(device);
    world.run(2000);
    t.equal(device.device.observations, 0);
  });
}
