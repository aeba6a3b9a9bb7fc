import t from 'tap';
import { seconds } from '../../src/base/time.ts';
import { desirable, measured } from './simResources.ts';
import type { ServerLimits } from './simServer.ts';
import { World, type WorldOptions } from './world.ts';

const minutes = (count: number) => seconds(60 * count);
const cid = new Uint8Array(0);

function worldOf(options: Omit<WorldOptions, 'seed'> & { seed?: number } = {}): World {
  return new World({ seed: 1, limits: limitsOf({}), replay: 'npx tap dist/test/sim/stories.test.js', ...options });
}

function limitsOf(dtls: Partial<ServerLimits['dtls']>, exchanges = 4096): Partial<ServerLimits> {
  return {
    dtls: { maxAssociations: 256, maxHandshakes: 256, idleTimeout: minutes(20), ...dtls },
    coap: { maxExchanges: exchanges },
  };
}

const managed = { measures: seconds(20), forgetful: true, confirmable: true, sends: 0.2, lingers: seconds(10) };
const observing = `{name: default, observe: [{path: ${measured}, pmin: 1, pmax: 60}]}`;
const outcomesOf = (world: World) => {
  const told = [...world.disk.events.values()].filter(({ type }) => type === 'command');
  return told.map(({ details }) => details?.state as string);
};

const handshakesOf = (world: World) => world.fleet.reduce((sum, device) => sum + device.handshakes, 0);
const answersOf = (world: World, code: string) =>
  world.fleet.reduce((sum, device) => sum + (device.answers[code] ?? 0), 0);
const eventsOf = (world: World, type: string) =>
  [...world.disk.events.values()].filter(event => event.type === type).length;

t.test('power comes back at two hundred devices at once, more than handshakes fit, and all register again', async t => {
  const world = worldOf({ limits: limitsOf({ maxHandshakes: 64 }), network: { latency: 400, jitter: 50 } });
  world.server().devices(200, { within: seconds(60), lifetime: 600 });
  world.at(minutes(3), 'powerCut', seconds(20)).runUntil(minutes(15));
  t.equal(eventsOf(world, 'registered') >= 400, true, 'each of them twice');
  t.ok(world.simServer.process!.dtls.counters.handshakesFull > 0, 'though some had to wait');
  world.check();
});

t.test('devices that sleep without their session resume it, and what each was told stays true', async t => {
  const world = worldOf({ network: { loss: 0.1, duplicate: 0.1, jitter: 2000 } });
  world.server().devices(20, { within: seconds(30), lifetime: 300, sleepy: 1, cid });
  world.at(minutes(20), 'crash').at(minutes(30), 'kill').runUntil(minutes(60));
  const resumed = world.fleet.reduce((sum, device) => sum + device.resumed, 0);
  t.ok(resumed > 0.8 * (handshakesOf(world) - 20), `${resumed} of ${handshakesOf(world)} handshakes`);
  t.equal(eventsOf(world, 'registered'), 20, 'nobody had to register again');
  t.ok([...world.disk.sessions.values()].length <= 20, 'one is kept for each, and no more');
  world.check();
});

t.test('power fails at all devices, and those that kept their session handshake the short way', async t => {
  const world = worldOf();
  world.server().devices(20, { within: seconds(30), lifetime: 600, keepsSession: true });
  world.at(minutes(5), 'powerCut', seconds(20)).runUntil(minutes(8));
  t.equal(
    world.fleet.reduce((sum, device) => sum + device.resumed, 0),
    20,
  );
  t.equal(eventsOf(world, 'registered'), 40, 'their registration is news all the same');
  world.check();
});

t.test('a restart wakes a session when its device is heard, and the others not', async t => {
  const world = worldOf({ limits: limitsOf({ idleTimeout: minutes(600) }) });
  world.server().devices(10, { within: seconds(10), lifetime: 3600, cid });
  world.at(minutes(1), 'crash').runUntil(minutes(2));
  const { process } = world.simServer;
  t.equal(process!.sessions, 10);
  t.equal(process!.dtls.sizes().associations, 0);
  world.runUntil(minutes(60));
  t.equal(process!.dtls.sizes().associations, 10);
  t.equal(handshakesOf(world), 10);
  world.check();
});

t.test('a NAT gives everybody a new address three times: with connection IDs nobody handshakes again', async t => {
  const world = worldOf();
  world.server().devices(40, { within: seconds(30), lifetime: 300, cid });
  for (const at of [5, 6, 12]) world.at(minutes(at), 'rebind');
  world.runUntil(minutes(30));
  t.equal(handshakesOf(world), 40);
  t.ok(world.simServer.process!.dtls.counters.moved >= 80, 'the server followed them');
  world.check();
});

t.test('without connection IDs a NAT that forgets costs a handshake, and nobody is lost', async t => {
  const world = worldOf();
  world.server().devices(20, { within: seconds(30), lifetime: 300 });
  world.at(minutes(5), 'rebind').runUntil(minutes(30));
  t.ok(handshakesOf(world) >= 40);
  world.check();
});

t.test(
  'power fails after each thing that happens in the life of a device, and what it was told stays true',
  async t => {
    let survived = 0;
    for (const survivors of [0, 1, 100]) {
      for (let events = 0; ; events++) {
        const world = worldOf({ seed: 7, limits: limitsOf({ writeMarkStep: 2 }) });
        world.server().devices(1, { lifetime: 60, cid, restless: 0.4 });
        for (let n = 0; n < events; n++) world.step();
        if (world.clock.now > seconds(200)) break;
        world.crash(seconds(3), survivors);
        world.check();
        survived++;
      }
    }
    t.ok(survived > 100, `${survived} crashes`);
  },
);

t.test('power fails after each thing that happens to a device that resumes, and no number is used twice', async t => {
  let survived = 0;
  let resumed = 0;
  for (const survivors of [0, 100]) {
    for (let events = 0; ; events++) {
      const world = worldOf({ seed: 7, limits: limitsOf({ writeMarkStep: 2 }) });
      world.server().devices(1, { lifetime: 60, cid, sleepy: 1, keepsSession: true });
      for (let n = 0; n < events; n++) world.step();
      if (world.clock.now > seconds(70)) break;
      world.crash(seconds(3), survivors);
      world.check();
      survived++;
      resumed += world.fleet[0]!.resumed;
    }
  }
  t.ok(survived > 25, `${survived} crashes`);
  t.ok(resumed > survived, `${resumed} resumptions`);
});

t.test('the server dies before each of its outputs, in the midst of a turn, and nothing is done twice', async t => {
  for (const survivors of [0, 100]) {
    for (let outputs = 1; outputs <= 40; outputs++) {
      const world = worldOf({ seed: 9, limits: limitsOf({ writeMarkStep: 2 }) });
      world.server().devices(1, { lifetime: 60, cid, restless: 0.4 });
      world.dieWithin(outputs, seconds(3), survivors);
      world.runUntil(minutes(10));
      t.equal(world.simServer.starts, 2);
      world.check(minutes(5));
    }
  }
});

t.test('a disk that takes four seconds for a flush makes devices wait, and none registers twice', async t => {
  const world = worldOf({ disk: { flush: seconds(4) } });
  world
    .server()
    .devices(30, { within: seconds(60), lifetime: 300 })
    .runUntil(minutes(20));
  t.equal(eventsOf(world, 'registered'), 30);
  t.equal(handshakesOf(world), 30);
  world.check();
});

t.test('while the disk is full nobody is told anything that is not so, and afterwards everybody is served', async t => {
  const world = worldOf();
  world.at(minutes(1), 'fillDisk').at(minutes(11), 'freeDisk');
  world.server().devices(10, { within: minutes(5), lifetime: 120, cid });
  world.runUntil(minutes(10));
  t.ok(answersOf(world, '5.03') > 0);
  const told = answersOf(world, '2.01');
  t.ok(told < 10 && told === eventsOf(world, 'registered'));
  world.runUntil(minutes(20));
  t.ok(eventsOf(world, 'registered') >= 10);
  world.check();
});

t.test('a session that ends while the disk is full would wake at the next start', async t => {
  const world = worldOf();
  world.server().devices(1, { lifetime: 3600, sleepy: 1 });
  while (answersOf(world, '2.01') === 0) world.step();
  world.fillDisk();
  world.runUntil(minutes(2));
  t.equal(world.simServer.count('closed', 'close-notify'), 1);
  t.equal(world.disk.liveSessions, 1, 'the disk did not take its end');
  world.freeDisk();
  world.runUntil(minutes(4));
  t.equal(world.disk.liveSessions, 0, 'and was asked again');
  world.crash();
  world.runUntil(minutes(5));
  t.equal(world.simServer.process?.sessions, 0);
  world.check();
});

t.test('a wall clock that is set forward and back expires only what is over by it', async t => {
  const world = worldOf();
  world.server().devices(10, { within: seconds(10), lifetime: 300, cid });
  world.at(minutes(10), 'stepWall', minutes(2)).at(minutes(20), 'stepWall', -minutes(30)).runUntil(minutes(40));
  t.equal(eventsOf(world, 'expired'), 0);
  world.at(minutes(41), 'stepWall', minutes(60)).runUntil(minutes(45));
  t.ok(eventsOf(world, 'expired') > 0);
  world.check();
});

t.test('credentials rotate under load: the old one opens nothing, and registrations go on', async t => {
  const world = worldOf({ network: { jitter: 500, loss: 0.05 } });
  world.server().devices(20, { within: seconds(10), lifetime: 120, cid });
  for (let n = 0; n < 40; n++) world.at(minutes(2) + seconds(7 * n), 'rotate', 3 * n);
  world.at(minutes(4), 'crash').runUntil(minutes(20));
  t.equal([...world.disk.credentials.values()].filter(({ revokedAt }) => revokedAt === undefined).length, 20);
  t.ok(world.simServer.count('closed', 'revoked') > 0);
  t.equal(eventsOf(world, 'expired'), 0);
  world.check();
});

t.test('half of the fleet is cut off for longer than its lifetimes, expires, and comes back', async t => {
  const world = worldOf();
  world.server().devices(20, { within: seconds(10), lifetime: 120 });
  world.at(minutes(5), 'partition', 0.5).at(minutes(20), 'heal').runUntil(minutes(19));
  t.ok(eventsOf(world, 'expired') > 0);
  world.check();
});

t.test('more devices than associations: the least recently heard goes, and everybody is served in turn', async t => {
  const world = worldOf({ limits: limitsOf({ maxAssociations: 6, maxHandshakes: 4 }, 24) });
  world
    .server()
    .devices(24, { within: seconds(60), lifetime: 600 })
    .runUntil(minutes(60));
  t.ok(world.simServer.count('closed', 'evicted') > 0);
  world.check();
});

t.test('handshakes that straddle the change of the cookie secret succeed at once', async t => {
  const world = worldOf({ network: { latency: seconds(9) } });
  world
    .server()
    .devices(60, { within: minutes(10), lifetime: 3600, firstTimeout: seconds(20) })
    .runUntil(minutes(20));
  t.equal(handshakesOf(world), 60);
  world.check();
});

t.test('message IDs wrap in the midst of a session', async t => {
  const world = worldOf({ network: { duplicate: 0.5, jitter: 3000 } });
  world.server().devices(5, { lifetime: 60, cid, firstMessageId: 65_530 }).runUntil(minutes(20));
  t.equal(handshakesOf(world), 5);
  t.ok(answersOf(world, '2.04') > 50);
  t.equal(answersOf(world, '2.01'), 5);
  world.check();
});

t.test('an update that draws the message ID of the one before, an hour later, would extend nothing', async t => {
  const world = worldOf();
  // Message IDs of so long ago may be used again: each update of these devices has the same one.
  world.server().devices(3, { lifetime: 3600, cid, firstMessageId: 7 }).runUntil(minutes(600));
  t.equal(eventsOf(world, 'expired'), 0);
  t.equal(eventsOf(world, 'updated'), answersOf(world, '2.04'));
  world.check();
});

t.test('a session whose sequence numbers are used up ends, and its device comes back', async t => {
  const world = worldOf({ limits: limitsOf({ writeMarkStep: 4, lastWriteSequence: 12 }) });
  world.server().devices(5, { lifetime: 60 }).runUntil(minutes(60));
  t.ok(world.simServer.count('closed', 'exhausted') > 5);
  t.equal(eventsOf(world, 'expired'), 0);
  world.check();
});

t.test('two hours without a server expire nobody who could not report', async t => {
  const world = worldOf();
  world.server().devices(10, { within: seconds(10), lifetime: 300, cid });
  world.at(minutes(10), 'crash', minutes(120)).runUntil(minutes(10) - 1);
  world.fleet[0]!.switchOff();
  world.runUntil(minutes(150));
  t.equal(eventsOf(world, 'expired'), 1, 'the one that is away expires, after the rest of its lifetime');
  t.equal(answersOf(world, '4.04'), 0, 'the others go on');
  world.check();
});

t.test('strangers and impostors change nothing and get no more than they send', async t => {
  const world = worldOf({ network: { loss: 0.2, jitter: 100 } });
  world.server().devices(10, { within: seconds(30), lifetime: 120, cid });
  world.addStrangers(5, 200);
  world.addImpostors(6);
  world.at(minutes(4), 'crash').runUntil(minutes(15));
  t.ok(world.simServer.count('handshakeFaults', 'wrong-key') > 0);
  t.ok(world.simServer.count('handshakeFaults', 'unknown-identity') > 0);
  t.ok(world.impostors.every(({ registeredAt }) => registeredAt === undefined));
  world.check();
});

t.test("a thief with a good key of its own changes nobody else's registration", async t => {
  const world = worldOf({ network: { loss: 0.1, jitter: 300 } });
  world.server().devices(10, { within: seconds(10), lifetime: 120, cid });
  world.addThieves(3, seconds(5)).runUntil(minutes(15));
  t.ok(world.simServer.count('refusals', 'not-the-owner') > 50);
  t.ok(world.simServer.count('refusals', 'foreign-endpoint-name') > 20);
  world.check();
});

t.test('what operators want is done once over crashes, and they hear of all that comes of it', async t => {
  const world = worldOf({ profile: observing, network: { loss: 0.1, jitter: 300 } });
  world.server().devices(6, { within: seconds(10), lifetime: 300, cid, manages: managed });
  world.addOperators(2, minutes(5));
  for (let n = 0; n < 60; n++) {
    const kind = (['execute', 'update', 'write', 'read'] as const)[n % 4]!;
    world.at(minutes(1) + seconds(10 * n), 'command', n, kind, minutes(5));
    if (n % 6 === 0) world.at(minutes(1) + seconds(10 * n + 3), 'desire', n, n % 4 !== 0);
    if (n % 15 === 7) world.at(minutes(1) + seconds(10 * n + 0.7), 'crash', seconds(n % 7));
  }
  world.at(minutes(6), 'powerCut', seconds(20)).runUntil(minutes(15)).check();
  const outcomes = outcomesOf(world);
  const count = (state: string) => outcomes.filter(one => one === state).length;
  t.equal(count('queued') >= 60, true);
  t.ok(count('succeeded') > 40, `${count('succeeded')} of 60`);
  t.ok(world.operators.every(({ heard }) => [...heard.values()].filter(one => one.isObserved).length === 3));
});

t.test('commands wait for devices that sleep, and end by their deadline where those sleep too long', async t => {
  const world = worldOf();
  const { confirmable, forgetful, sends } = managed;
  const sleepers = { awake: 20, confirmable, forgetful, sends, lingers: seconds(10) };
  world.server().devices(4, { within: seconds(10), lifetime: 600, sleepy: 1, manages: sleepers });
  for (let n = 0; n < 8; n++) world.at(minutes(3), 'command', n, 'execute', n < 4 ? minutes(60) : seconds(20));
  world.runUntil(minutes(30));
  const outcomes = outcomesOf(world);
  t.equal(outcomes.filter(state => state === 'succeeded').length, 4);
  t.equal(outcomes.filter(state => state === 'expired').length, 4);
  world.check();
});

t.test('while the disk refuses after it has written nothing is sent that could be forgotten', async t => {
  const world = worldOf({ profile: observing });
  world.server().devices(4, { within: seconds(10), lifetime: 300, cid, manages: managed });
  world.at(minutes(1), 'setDisk', { flushFails: 0.7 }).at(minutes(8), 'setDisk', { flushFails: 0 });
  for (let n = 0; n < 40; n++) {
    world.at(minutes(1) + seconds(10 * n), 'command', n, n % 2 === 0 ? 'execute' : 'write', minutes(60));
    if (n % 10 === 0) world.at(minutes(1) + seconds(10 * n), 'desire', n, true);
  }
  world.at(minutes(5), 'crash').runUntil(minutes(15)).check();
  t.ok(outcomesOf(world).filter(state => state === 'succeeded').length > 30);
});

t.test(
  'a device that loses its values with its power gets what it is to have, also when the clock was set back',
  async t => {
    const world = worldOf();
    world.server().devices(3, { within: seconds(10), lifetime: 600, cid, manages: managed });
    for (let n = 0; n < 6; n++) world.at(minutes(2), 'desire', n, true);
    world.at(minutes(5), 'stepWall', -minutes(60)).at(minutes(6), 'powerCut', seconds(5)).runUntil(minutes(8));
    for (const { resources } of world.fleet) {
      t.not(resources!.objects.get(desirable[0]!), 20);
      t.not(resources!.objects.get(desirable[1]!), 'UTC');
    }
    world.check();
  },
);

t.test('the observations of a session that nobody wakes would stay as long as the server', async t => {
  const world = worldOf({ profile: observing, limits: limitsOf({ idleTimeout: minutes(20) }) });
  world.server().devices(5, { within: seconds(10), lifetime: 86_400, cid, manages: managed });
  world.at(minutes(2), 'crash').runUntil(minutes(2) - 1);
  for (const device of world.fleet) device.switchOff();
  world.runUntil(minutes(3));
  t.equal(world.simServer.process!.coap.sizes().observations, 5);
  world.runUntil(minutes(30));
  t.equal(world.simServer.process!.coap.sizes().observations, 0);
});
