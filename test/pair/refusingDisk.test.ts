import t from 'tap';
import { seconds } from '../../src/base/time.ts';
import { defaultLimits } from '../../src/dtls/settings.ts';
import { type SmallDevice, SmallWorld } from '../support/smallWorld.ts';

t.test('after a restart numbers would be used that the disk has not reserved', t => {
  const { world, device } = registered();
  world.restart();
  let heard = 0;
  world.carries = to => {
    if (to === 'device') heard++;
    return true;
  };
  world.diskFails = true;
  device.update();
  world.run(seconds(20));
  t.equal(heard, 0, 'nothing is sealed with them');
  world.diskFails = false;
  world.run(seconds(60));
  t.match(device.said.at(-1), /^update \d/, 'what was to be said is said then');
  t.end();
});

t.test('a session that the disk did not take would keep its place, and nobody could use it', t => {
  const world = new SmallWorld();
  const device = world.device('node-1');
  world.diskFails = true;
  device.connect();
  t.strictSame(device.said, []);
  t.equal(world.dtls.sizes().associations, 0);
  world.diskFails = false;
  device.connect().register();
  t.strictSame(device.said, ['connected', 'register 2.01']);
  t.end();
});

t.test('a registration whose end the disk refused would stay for ever', t => {
  for (const fault of ['write', 'flush', 'conflict'] as const) {
    const { world, device } = registered();
    world.carries = () => false;
    if (fault === 'conflict') world.isTooLate = () => true;
    else Object.assign(world, { diskFails: true, diskFault: fault });
    world.run(seconds(300));
    world.isTooLate = () => false;
    world.diskFails = false;
    world.run(seconds(60));
    t.equal(world.story(device, 'expired').length, 1, fault);
  }
  t.end();
});

t.test('a session whose end the disk refused more than once would wake at the next start', t => {
  const { world, device } = registered();
  t.equal(world.disk.sessions.size, 1);
  world.diskFails = true;
  device.close();
  world.run(seconds(100));
  world.diskFails = false;
  world.run(seconds(60));
  t.equal(world.disk.sessions.size, 0);
  t.end();
});

t.test('a session that sleeps until it is over would stay in the store if the disk refused just then', t => {
  const { world } = registered();
  world.restart();
  t.equal(world.stored.size, 1);
  world.carries = () => false;
  world.diskFails = true;
  world.run(defaultLimits.idleTimeout);
  world.stored.expire(world.now.instant, 10);
  world.run(seconds(100));
  t.equal(world.stored.size, 0);
  t.equal(world.disk.sessions.size, 1);
  world.diskFails = false;
  world.run(seconds(100));
  t.equal(world.disk.sessions.size, 0);
  t.end();
});

function registered(): { world: SmallWorld; device: SmallDevice } {
  const world = new SmallWorld();
  const device = world.device('node-1').connect().register({ lifetime: 60 });
  return { world, device };
}
