import t from 'tap';
import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import type { EndpointName } from '../../src/fleet/names.ts';
import { SmallWorld } from '../support/smallWorld.ts';

t.test('a record of a credential that is being replaced would take effect a second time after a restart', async t => {
  for (const sleeps of [false, true]) {
    const world = new SmallWorld();
    const first = world.device('node-1').connect();
    const toServer = world.toServer.bind(world);
    const registrations: Bytes[] = [];
    world.toServer = (node, datagram) => {
      registrations.push(datagram.slice());
      toServer(node, datagram);
    };
    first.register();
    world.toServer = toServer;
    if (sleeps) world.restart();
    // Both credentials are good, and both sessions go on.
    const key = utf8('the second key of it');
    world.admin.addCredential(world.now.wall, 'node-1' as EndpointName, utf8('second'), key);
    const second = world
      .device('elsewhere', { dtls: { identity: utf8('second'), key } })
      .connect()
      .register();
    t.match(second.said, ['connected', 'register 2.01']);
    t.equal(world.story(first, 'registered').length, 2);
    world.restart();
    toServer(first, registrations[0]!);
    world.run(1000);
    t.equal(world.story(first, 'registered').length, 2);
  }
});
