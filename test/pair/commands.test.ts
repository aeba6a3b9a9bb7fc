import t from 'tap';
import { parseProfile } from '../../src/adapters/profiles.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { seconds } from '../../src/base/time.ts';
import { ProfileSet } from '../../src/fleet/profile.ts';
import { resourcePath } from '../../src/lwm2m/path.ts';
import { SmallWorld } from '../support/smallWorld.ts';
import { read, reboot, thermometer } from '../support/thermometer.ts';

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

t.test('a command whose device leaves while it is being written would count as sent, and never have left', async t => {
  const world = new SmallWorld();
  const device = world.device('node-1', { objects: thermometer() }).connect().register();
  world.run(2000);
  const id = world.queue(device, reboot);
  // The server hears of the command after 100 ms, and close_notify is 10 ms on its way.
  world.run(91);
  device.close();
  world.run(seconds(300));
  t.match(world.command(device, id), { state: 'queued' });
  device.connect().update();
  world.run(2000);
  t.match(world.command(device, id), { state: 'succeeded' });
  t.strictSame(device.executed, ['/3/0/4 ']);
});

t.test(
  'a device that leaves while its update is being written would be spoken to on the session that is over',
  async t => {
    const world = new SmallWorld();
    const behaviour = { awake: seconds(20) };
    const device = world
      .device('node-1', { objects: thermometer(), behaviour })
      .connect()
      .register({ queueMode: true });
    world.run(seconds(200));
    const id = world.queue(device, reboot);
    world.run(seconds(10));
    // close_notify comes a millisecond after the update, which is durable after two.
    world.after(1, () => device.leave());
    device.update();
    world.run(seconds(300));
    t.match(world.command(device, id), { state: 'queued' });
    const sent = world.story(device, 'command').filter(state => state === 'command sent');
    t.equal(sent.length, 1, 'it is not written again and again that it was sent');
    device.connect().update();
    world.run(2000);
    t.match(world.command(device, id), { state: 'succeeded' });
  },
);

t.test('a removal that the disk refuses would take along what is wanted of the device', async t => {
  const world = new SmallWorld();
  const device = world
    .device('node-1', { objects: thermometer(), behaviour: { mute: true } })
    .connect()
    .register();
  world.run(2000);
  const asked = world.queue(device, reboot);
  world.run(1000);
  t.match(world.command(device, asked), { state: 'sent' });
  // The server hears of the next one after 100 ms: a millisecond after the removal came, and before the disk refuses it.
  const next = world.queue(device, read, { attempts: 1 });
  world.run(89);
  world.diskFails = true;
  device.deregister();
  world.diskFails = false;
  world.run(seconds(300));
  t.match(world.command(device, asked), { state: 'unknown-outcome' });
  t.match(world.command(device, next), { state: 'failed', reason: 'timeout' });
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
