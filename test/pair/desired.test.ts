import t from 'tap';
import { parseProfile } from '../../src/adapters/profiles.ts';
import { seconds } from '../../src/base/time.ts';
import { DeviceObjects } from '../../src/device/objects.ts';
import { ProfileSet } from '../../src/fleet/profile.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import { resourcePath } from '../../src/lwm2m/path.ts';
import { SmallWorld } from '../support/smallWorld.ts';

/** A set point on a thermostat: /3308/0/5900 is readable and writable. */
const setPoint = '/3308/0/5900';
const at = resourcePath(3308, 0, 5900);

function thermostat(observe = '') {
  const profile = parseProfile(`{name: default, observe: [${observe}], queue: {awake: 20}}`, 'default');
  const world = new SmallWorld({ profiles: new ProfileSet([profile]) });
  const objects = new DeviceObjects(Definitions.registry(), { '/1/0/1': 300, '/3/0/15': 'UTC', [setPoint]: 18 });
  const device = world.device('node-1', { objects });
  return { world, objects, device };
}
const told = (world: SmallWorld, device: Parameters<SmallWorld['story']>[0]) => world.story(device, 'desired');

t.test('a desired value is written once, and then left alone', async t => {
  const { world, objects, device } = thermostat();
  device.connect().register();
  world.run(1000);
  world.desire(device, setPoint, 21.5);
  world.run(2000);
  t.equal(objects.get(at), 21.5);
  t.match(world.desired(device, setPoint), { state: 'delivered', reason: undefined });
  t.strictSame(world.values(device), { [setPoint]: 21.5 }, 'it is the last value now');
  const before = world.disk.events.size;
  device.update();
  world.run(seconds(100));
  t.strictSame(told(world, device), ['desired set', 'desired delivered']);
  t.equal(world.disk.events.size, before + 1, 'but for the Update nothing happened');
  t.equal(world.service.devices.sizes().lines, 0, 'and nothing is kept for it');
});

t.test('set before the device was ever there, it is delivered after the registration', async t => {
  const { world, objects, device } = thermostat();
  world.desire(device, setPoint, 20);
  world.run(seconds(100));
  device.connect().register();
  t.equal(objects.get(at), 18, 'not in the same breath');
  world.run(2000);
  t.equal(objects.get(at), 20);
});

t.test('a device that sleeps gets it when it wakes', async t => {
  const { world, objects, device } = thermostat();
  device.connect().register({ queueMode: true });
  world.run(seconds(60));
  world.desire(device, setPoint, 20);
  world.run(seconds(600));
  t.match(world.desired(device, setPoint), { state: 'pending', tries: 0 });
  device.update();
  world.run(2000);
  t.equal(objects.get(at), 20);
});

t.test('what the device refuses is told with its code, and asked again when it registers again', async t => {
  const { world, device } = thermostat();
  device.connect().register();
  world.run(1000);
  world.desire(device, '/3308/7/5900', 20);
  world.run(2000);
  t.match(world.desired(device, '/3308/7/5900'), { state: 'refused', reason: '4.04' });
  device.update();
  world.run(2000);
  t.strictSame(told(world, device), ['desired set', 'desired refused 4.04'], 'not for an Update');
  device.register();
  world.run(2000);
  t.strictSame(told(world, device).slice(2), ['desired refused 4.04']);
});

t.test('a device that lost it gets it again when it registers', async t => {
  const { world, objects, device } = thermostat();
  device.connect().register();
  world.desire(device, setPoint, 20);
  world.run(2000);
  device.set(setPoint, 18);
  world.run(seconds(100));
  t.equal(objects.get(at), 18, 'nobody knows of it yet');
  device.register();
  world.run(2000);
  t.equal(objects.get(at), 20, 'only our own Write said that it was so');
  device.deregister();
  t.match(world.desired(device, setPoint), { state: 'delivered' }, 'it belongs to the name, and stays');
  device.set(setPoint, 17);
  device.register();
  world.run(2000);
  t.equal(objects.get(at), 20);
});

t.test('a device that has reported the value itself is not written to when it registers again', async t => {
  const { world, device } = thermostat();
  device.connect().register();
  world.desire(device, setPoint, 20);
  world.run(2000);
  device.send(setPoint);
  device.register();
  world.run(2000);
  t.strictSame(told(world, device), ['desired set', 'desired delivered']);
});

t.test(
  'a report of another value has it written again; a device that does not keep it would be written to for ever',
  async t => {
    const { world, objects, device } = thermostat(`{path: '${setPoint}', pmin: 0, pmax: 3600}`);
    device.connect().register();
    world.desire(device, setPoint, 20);
    world.run(3000);
    t.equal(objects.get(at), 20);
    device.set(setPoint, 25);
    world.run(3000);
    t.equal(objects.get(at), 20, 'turned by hand, and put back');
    for (let i = 0; i < 6; i++) {
      device.set(setPoint, 26 + i);
      world.run(3000);
    }
    t.equal(objects.get(at), 31);
    t.match(world.desired(device, setPoint), { state: 'refused', reason: 'not-kept' });
    t.equal(told(world, device).filter(text => text === 'desired delivered').length, 4, 'once, and three times again');
    world.desire(device, setPoint, 20);
    world.run(3000);
    t.equal(objects.get(at), 20, 'whoever sets it again has it tried again');
  },
);

t.test('a device in single precision reports 0.1 as another number', async t => {
  const { world, device } = thermostat(`{path: '${setPoint}', pmin: 0, pmax: 3600}`);
  device.connect().register();
  world.desire(device, setPoint, 0.1);
  world.run(3000);
  device.set(setPoint, Math.fround(0.1));
  world.run(3000);
  t.equal(told(world, device).filter(text => text === 'desired delivered').length, 1);
});

t.test('a mute device is asked three times, and then when it registers, updates or sends', async t => {
  const { world, objects } = thermostat();
  const mute = world.device('mute', { objects, behaviour: { mute: true } });
  mute.connect().register();
  world.desire(mute, setPoint, 20);
  world.run(seconds(3600));
  t.match(world.desired(mute, setPoint), { state: 'pending', tries: 3, reason: 'timeout' });
  t.equal(world.service.devices.sizes().lines, 0);
  mute.update();
  world.run(seconds(120));
  t.match(world.desired(mute, setPoint), { state: 'pending', tries: 1 });
});

t.test('a crash between the Write and its answer would lose it, or do it twice with harm', async t => {
  const { world, objects, device } = thermostat();
  device.connect().register();
  world.run(1000);
  world.carries = to => to === 'device';
  world.desire(device, setPoint, 20);
  world.run(1000);
  t.equal(objects.get(at), 20, 'the device has it, and its answer is lost');
  world.restart();
  world.carries = () => true;
  t.match(world.desired(device, setPoint), { state: 'pending' });
  world.run(seconds(10));
  t.match(world.desired(device, setPoint), { state: 'delivered' });
});

t.test('a value that the disk refused to note as delivered is written again', async t => {
  const { world, device } = thermostat();
  device.connect().register();
  world.run(1000);
  world.desire(device, setPoint, 20);
  world.diskFails = true;
  world.run(3000);
  t.match(world.desired(device, setPoint), { state: 'pending' });
  world.diskFails = false;
  world.run(seconds(20));
  t.match(world.desired(device, setPoint), { state: 'delivered' });
});

t.test('one that was unset is not written any more', async t => {
  const { world, objects, device } = thermostat();
  world.desire(device, setPoint, 20);
  world.desire(device, setPoint, undefined);
  device.connect().register();
  world.run(3000);
  t.equal(objects.get(at), 18);
});

t.test('a long value is written in blocks', async t => {
  const { world, objects, device } = thermostat();
  device.connect().register();
  const text = 'x'.repeat(4000);
  world.desire(device, '/3/0/15', text);
  world.run(seconds(10));
  t.match(world.desired(device, '/3/0/15'), { state: 'delivered' });
  t.equal(objects.get(resourcePath(3, 0, 15)), text);
  t.equal(world.values(device)['/3/0/15'], text);
});

t.test(
  'what was unset and set again meanwhile would be overwritten by the answer to what was wanted before',
  async t => {
    const { world, objects, device } = thermostat();
    device.connect().register();
    world.run(1000);
    world.carries = to => to === 'device';
    world.desire(device, setPoint, 20);
    world.run(1000);
    t.equal(objects.get(at), 20, 'its answer is on its way');
    world.desire(device, setPoint, undefined);
    world.desire(device, setPoint, 25);
    world.carries = () => true;
    world.run(seconds(10));
    t.match(world.desired(device, setPoint), { state: 'delivered', value: 25 });
    t.equal(objects.get(at), 25);
  },
);
