import t from 'tap';
import { parseProfile } from '../../src/adapters/profiles.ts';
import { ProfileSet } from '../../src/fleet/profile.ts';
import { SmallWorld } from '../support/smallWorld.ts';
import { thermometer } from '../support/thermometer.ts';

t.test('Send is stored once, also if the answer is lost in a crash', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  device.send('/3303/0', '/3/0/0');
  t.strictSame(device.said.slice(2), ['send 2.04']);
  t.strictSame(world.values(device), { '/3/0/0': 'ACME', '/3303/0/5700': 21.5 });
  t.equal(world.story(device, 'value').length, 1);
  world.carries = to => to === 'server';
  device.send('/3303/0');
  world.run(500);
  world.restart();
  world.carries = () => true;
  world.run(10_000);
  t.strictSame(device.said.slice(3), ['send 2.04']);
  t.equal(world.story(device, 'value').length, 2);
});

t.test('more values than are kept for a device are refused, and what was there stays', async t => {
  const world = new SmallWorld({
    profiles: new ProfileSet([parseProfile('{name: default, values: {limit: 1}}', 'default')]),
  });
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  device.send('/3303/0/5700');
  device.send('/3/0/0', '/1/0/1');
  t.strictSame(device.said.slice(2), ['send 2.04', 'send 4.00']);
  t.strictSame(world.values(device), { '/3303/0/5700': 21.5 });
});

t.test('a device that is not registered sends nothing', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect();
  device.send('/3303/0/5700');
  t.strictSame(device.said, ['connected', 'send 4.04']);
});

t.test('LightweightM2M-1.1-int-306 Send', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  device.send('/3/0/0', '/3303/0/5700');
  t.equal(device.said.at(-1), 'send 2.04');
  t.strictSame(world.values(device), { '/3/0/0': 'ACME', '/3303/0/5700': 21.5 });
});

t.test('LightweightM2M-1.1-int-311 Send, of a whole object instance', async t => {
  const world = new SmallWorld();
  const objects = thermometer({ '/3/0/1': 'T1', '/3/0/2': 'S1', '/3303/1/5700': 5 });
  const device = world.device('node-1', { objects }).connect().register();
  device.send('/3/0', '/3303');
  t.equal(device.said.at(-1), 'send 2.04');
  t.match(world.values(device), {
    '/3/0/0': 'ACME',
    '/3/0/1': 'T1',
    '/3/0/2': 'S1',
    '/3303/0/5700': 21.5,
    '/3303/1/5700': 5,
  });
});
