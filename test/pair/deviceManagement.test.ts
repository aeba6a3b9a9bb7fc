import t from 'tap';
import { parseProfile } from '../../src/adapters/profiles.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { seconds } from '../../src/base/time.ts';
import { DeviceObjects } from '../../src/device/objects.ts';
import type { Operation } from '../../src/fleet/command.ts';
import { ProfileSet } from '../../src/fleet/profile.ts';
import { objectDefinition } from '../../src/lwm2m/definition.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import { resourcePath } from '../../src/lwm2m/path.ts';
import type { ResourceValue } from '../../src/lwm2m/value.ts';
import { SmallWorld } from '../support/smallWorld.ts';

const definitions = Definitions.registry();
const read: Operation = { kind: 'read', paths: ['/3303/0/5700'] };
const reboot: Operation = { kind: 'execute', paths: ['/3/0/4'] };

function thermometer(more: Record<string, ResourceValue> = {}) {
  return new DeviceObjects(definitions, { '/1/0/1': 300, '/3/0/0': 'ACME', '/3303/0/5700': 21.5, ...more });
}

function profiles(observe: string): ProfileSet {
  return new ProfileSet([parseProfile(`{name: default, observe: [${observe}]}`, 'default')]);
}

const observing = () => new SmallWorld({ profiles: profiles("{path: '/3303/0/5700', pmin: 0, pmax: 60}") });

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

t.test('commands are carried out in order, the urgent one first, one at a time', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  const first = world.queue(device, read);
  const second = world.queue(device, reboot);
  const urgent = world.queue(device, { kind: 'delete', paths: ['/3303/9'] }, { priority: 9 });
  world.run(5000);
  t.match(world.command(device, first), { state: 'succeeded', reason: '2.05', answer: { code: 0x45 } });
  t.match(world.command(device, second), { state: 'succeeded', reason: '2.04' });
  t.match(world.command(device, urgent), { state: 'failed', reason: '4.04' });
  t.strictSame(device.executed, ['/3/0/4 ']);
  t.strictSame(world.values(device), { '/3303/0/5700': 21.5 }, 'what was read is a last value');
  const order = [...world.disk.events.values()].filter(({ details }) => details?.state === 'sent');
  t.strictSame(
    order.map(({ details }) => details?.command),
    [urgent, first, second],
  );
});

t.test('a sleepy device gets its command when it wakes, and not before', async t => {
  const world = new SmallWorld({
    profiles: new ProfileSet([parseProfile('{name: default, queue: {awake: 20}}', 'default')]),
  });
  const device = world
    .device('node-1', { objects: thermometer(), behaviour: { awake: seconds(20) } })
    .connect()
    .register({ queueMode: true });
  world.run(seconds(60));
  const id = world.queue(device, read);
  world.run(seconds(600));
  t.match(world.command(device, id), { state: 'queued', attempts: 3 }, 'nothing was sent to a device that sleeps');
  device.update();
  world.run(2000);
  t.match(world.command(device, id), { state: 'succeeded' });
  t.strictSame(world.story(device, 'asleep', 'awake'), ['asleep', 'awake']);
});

t.test('a mute device: what may be done twice is tried again, what may not ends as unknown', async t => {
  const world = new SmallWorld();
  const device = world
    .device('node-1', { objects: thermometer(), behaviour: { mute: true } })
    .connect()
    .register();
  const reading = world.queue(device, read, { attempts: 2 });
  const executing = world.queue(device, reboot);
  world.run(seconds(1200));
  t.match(world.command(device, reading), { state: 'failed', reason: 'timeout', attempts: 0 });
  t.match(world.command(device, executing), { state: 'unknown-outcome', reason: 'timeout' });
  t.equal(world.service.devices.sizes().lines, 0);
});

t.test('a sleepy device that falls asleep while it is asked would keep the server busy for ever', async t => {
  const world = new SmallWorld({
    profiles: new ProfileSet([parseProfile('{name: default, queue: {awake: 20}}', 'default')]),
  });
  const behaviour = { awake: seconds(5), mute: true };
  const device = world.device('node-1', { objects: thermometer(), behaviour }).connect().register({ queueMode: true });
  const asked = world.queue(device, read, { patience: seconds(200) });
  const disk = world.queue(device, reboot, { patience: 3000 });
  world.run(seconds(100));
  t.match(world.command(device, asked), { state: 'queued', reason: 'timeout' });
  t.match(world.command(device, disk), { state: 'expired' });
  t.strictSame(world.story(device, 'asleep', 'awake'), ['asleep']);
  world.run(seconds(200));
  t.match(world.command(device, asked), { state: 'expired' });
});

t.test('an outcome that the disk refused for a while is written when it can be', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(1000);
  const id = world.queue(device, reboot);
  // The command is sent, and the disk breaks before the answer comes.
  world.carries = to => {
    world.diskFails ||= to === 'server' && world.command(device, id)?.state === 'sent';
    return true;
  };
  world.run(1000);
  t.match(world.command(device, id), { state: 'sent' });
  world.carries = () => true;
  world.diskFails = false;
  device.update();
  world.run(seconds(10));
  t.match(world.command(device, id), { state: 'succeeded' });
  t.strictSame(device.executed, ['/3/0/4 ']);
});

t.test('a command of which the disk wrote that it was sent, and refused at once, would never be sent', async t => {
  const world = new SmallWorld();
  world.diskFault = 'flush';
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  const id = world.queue(device, reboot);
  world.diskFails = true;
  world.run(1000);
  t.match(world.command(device, id), { state: 'sent' });
  t.strictSame(device.executed, [], 'it did not leave');
  world.diskFails = false;
  world.run(seconds(20));
  t.match(world.command(device, id), { state: 'succeeded' });
  t.strictSame(device.executed, ['/3/0/4 ']);
});

t.test('an outcome that somebody else came before would leave its command on its way for ever', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  const id = world.queue(device, read);
  let late = 3;
  world.isTooLate = ({ commands = [] }) => commands.some(({ command }) => command?.state === 'succeeded') && late-- > 0;
  world.run(seconds(5));
  t.match(world.command(device, id), { state: 'succeeded' });
  t.ok(late < 0, 'after three times');
});

t.test('a deadline that comes while the disk is slow ends when the disk answers', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(1000);
  world.diskFails = true;
  const id = world.queue(device, read, { patience: 2000 });
  world.run(seconds(4));
  world.diskFails = false;
  world.run(seconds(10));
  t.match(world.command(device, id), { state: 'expired' });
});

t.test('a command that was sent before a crash is not sent again if it must not be done twice', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(1000);
  world.carries = to => to === 'device';
  const executing = world.queue(device, reboot);
  world.run(1000);
  t.strictSame(device.executed, ['/3/0/4 '], 'the device did it, and its answer is lost');
  world.restart();
  world.carries = () => true;
  world.run(seconds(600));
  t.match(world.command(device, executing), { state: 'unknown-outcome', reason: 'restart' });
  t.strictSame(device.executed, ['/3/0/4 ']);

  const reading = world.queue(device, read);
  world.carries = () => false;
  world.run(1000);
  t.match(world.command(device, reading), { state: 'sent' });
  world.restart();
  world.carries = () => true;
  world.run(seconds(10));
  t.match(world.command(device, reading), { state: 'succeeded' }, 'what may be done twice is');
});

t.test('what has no outcome by its deadline is given up, and an answer that comes later is rejected', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(1000);
  world.carries = () => false;
  const late = world.queue(device, reboot, { patience: 5000 });
  const waiting = world.queue(device, read, { patience: 6000 });
  world.run(8000);
  t.match(world.command(device, late), { state: 'unknown-outcome', reason: 'deadline' });
  t.match(world.command(device, waiting), { state: 'expired' });
  world.carries = () => true;
  world.run(seconds(120));
  t.match(world.command(device, late), { state: 'unknown-outcome' });
});

t.test('a device that answers a command twice would end it twice', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(1000);
  // On a slow way the request is sent again before its answer arrives, and answered again, in another record.
  const atOnce = world.toServer.bind(world);
  let answers = 0;
  world.toServer = (from, datagram) => {
    answers++;
    world.after(5000, () => atOnce(from, datagram));
  };
  const restarted = world.queue(device, reboot);
  world.run(30_000);
  t.ok(answers > 1, `${answers} answers`);
  t.strictSame(device.executed, ['/3/0/4 '], 'and it is carried out once');
  t.match(world.command(device, restarted), { state: 'succeeded', reason: '2.04' });
  const told = world.story(device, 'command');
  t.strictSame(told, ['command queued', 'command sent', 'command succeeded 2.04']);
  world.toServer = atOnce;
  const next = world.queue(device, read);
  world.run(5000);
  t.match(world.command(device, next), { state: 'succeeded' }, 'the late answer is not taken for that of the next');
});

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

t.test('only so many commands that are over are kept', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  for (let i = 0; i < 40; i++) world.queue(device, read);
  world.run(seconds(60));
  t.equal(world.disk.commands.size, 32);
  t.equal(
    world.story(device, 'command').filter(text => text === 'command succeeded 2.05').length,
    40,
    'nothing is lost silently',
  );
});

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

t.test('LightweightM2M-1.1-int-104 registration update trigger', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(1000);
  const trigger = world.queue(device, { kind: 'execute', paths: ['/1/0/8'] });
  world.run(2000);
  t.match(world.command(device, trigger), { state: 'succeeded', reason: '2.04' });
  t.equal(device.said.at(-1), 'update 2.04');
});

t.test('LightweightM2M-1.1-int-109 behavior in queue mode', async t => {
  const world = new SmallWorld();
  const objects = thermometer();
  const device = world
    .device('node-1', { objects, behaviour: { awake: seconds(30) } })
    .connect()
    .register({ queueMode: true, description: { awake: 30 } });
  world.run(seconds(40));
  const written = world.queue(device, { kind: 'write', paths: ['/1/0/1'], contentFormat: 0, payload: utf8('86400') });
  world.run(seconds(100));
  t.match(world.command(device, written), { state: 'queued' }, 'the server holds it while the client sleeps');
  device.update();
  world.run(2000);
  t.match(world.command(device, written), { state: 'succeeded', reason: '2.04' });
  t.equal(objects.get(resourcePath(1, 0, 1)), 86_400);
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
