import t from 'tap';
import { utf8 } from '../../src/base/bytes.ts';
import type { Remote } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Throttle } from '../../src/base/throttle.ts';
import { type Instant, seconds } from '../../src/base/time.ts';
import { answersTo, hello } from '../support/dtlsRaw.ts';
import { describe, type HandshakePair, handshakePair, ownerOf, type PairClient } from '../support/handshakePair.ts';

/** So many devices with good keys, each at an address of its own in one network. */
function fleet(pair: HandshakePair, count: number, network = '198.51.100'): PairClient[] {
  return Array.from({ length: count }, (_, n) => {
    const identity = `${network} ${n}`;
    pair.psks.set(identity, { key: utf8(identity), owner: ownerOf(1000 + pair.psks.size) });
    return pair.addClient({
      identity,
      key: utf8(identity),
      remote: { socket: 0, address: `${network}.${n % 250}`, port: 1000 + n },
    });
  });
}

/** A handshake with a key that is not the device's. */
function fail(pair: HandshakePair, n: number, network = '192.0.2'): void {
  const remote: Remote = { socket: 0, address: `${network}.${n % 250}`, port: 10_000 + n };
  pair.connect(pair.addClient({ identity: 'device-1', key: utf8('a wrong one'), remote, giveUpAfter: 500 }));
  pair.clients.pop();
}

t.test('a device that handshakes in a loop would cost a commit each time', async t => {
  const pair = handshakePair({ giveUpAfter: 500 });
  const rounds = 40;
  for (let n = 0; n < rounds; n++) pair.connect();
  const spent = pair.time / 1000;
  t.ok(pair.verified.length <= 10 + spent / 10 + 1, `${pair.verified.length} sessions in ${spent.toFixed(0)} s`);
  t.equal(pair.server.counters.identityRate, rounds - pair.verified.length);
  t.match(pair.failed.at(-1), { fault: 'rate-limited', identity: utf8('device-1') });
  t.same(pair.server.sizes(), { associations: 1, handshakes: 0 }, 'the session it has stays, and it has one');
  const [other] = fleet(pair, 1);
  pair.connect(other!);
  t.equal(other!.connections, 1, 'other devices are not concerned');
  pair.pass(seconds(30));
  const before = pair.client.connections;
  pair.connect();
  t.equal(pair.client.connections, before + 1, 'and after a while it may again');
});

t.test('a device that resumes too often would believe in a session that the server has refused', async t => {
  const pair = handshakePair({ giveUpAfter: 500, resumption: true });
  for (let n = 0; n < 12; n++) pair.connect();
  t.equal(pair.verified.length, 10);
  t.equal(pair.client.connections, 10, 'nobody heard a Finished in vain');
  t.match(pair.failed.at(-1), { fault: 'rate-limited', identity: utf8('device-1') });
  t.same(pair.server.sizes(), { associations: 1, handshakes: 0 });
  t.equal(pair.server.throttled, 1, 'and what was held off is charged to nobody');
});

t.test('of two resumptions at once one would be refused after its client heard that it succeeded', async t => {
  for (const burst of [2, 3]) {
    const pair = handshakePair({ resumption: true, limits: { handshakesPerIdentity: { burst, perSecond: 0.001 } } });
    pair.connect();
    const session = pair.client.dtls.session!;
    const twins = [1, 2].map(() => pair.addClient({ session, giveUpAfter: seconds(5) }));
    const before = pair.ladder.length;
    for (const twin of twins) twin.connect();
    pair.pass(seconds(10));
    const believe = 1 + twins.reduce((sum, twin) => sum + twin.connections, 0);
    t.equal(pair.verified.length, believe, `each that believes in its session has one, after ${burst}`);
    t.equal(believe, burst);
    const lines = pair.ladder.slice(before).join('\n');
    t.match(lines.match(/← serverHello\(1\) \[changeCipherSpec\]/g), { length: 1 }, 'one is resumed');
    t.match(lines, /← serverHello\(1\) serverHelloDone/, 'the other one is to make a full handshake');
    const refused = { fault: 'rate-limited', identity: utf8('device-1') };
    if (burst === 2) t.match(pair.failed, [refused], 'which can be refused before its end, and is told of');
    else t.strictSame(pair.failed, []);
    t.equal(pair.server.sizes().handshakes, 0);
  }
});

t.test('a full handshake that ends first would have the resumption refused whose client is done', async t => {
  const pair = handshakePair({
    resumption: true,
    limits: { handshakesPerIdentity: { burst: 2, perSecond: 0.001 } },
  }).connect();
  const full = pair.addClient();
  pair.intercept = (from, datagram, remote) => {
    const isFinish = from === 'client' && describe(datagram).includes('[changeCipherSpec]');
    const waitsFor = remote === pair.client.remote ? full.connections : pair.client.connections - 1;
    return isFinish && waitsFor === 0 ? [] : [datagram];
  };
  full.connect();
  pair.pass(100);
  pair.connect();
  t.equal(pair.client.connections, 2, 'it heard the Finished');
  pair.runUntil(() => full.isOver);
  pair.pass(seconds(5));
  t.equal(pair.verified.length, 3);
  t.strictSame(pair.failed, []);
  pair.client.send('as agreed');
  pair.pass(50);
  t.equal(pair.delivered.at(-1)?.text, 'as agreed');
  pair.connect(pair.addClient({ session: pair.client.dtls.session!, giveUpAfter: 500 }));
  t.match(pair.failed, [{ fault: 'rate-limited' }], 'and it is charged for it');
});

t.test('a stranger that names a session would keep its device from resuming, and no more than that', async t => {
  const pair = handshakePair({ resumption: true }).connect();
  const session = { ...pair.client.dtls.session!, masterSecret: new Uint8Array(48) };
  pair.addClient({ session, remote: { socket: 0, address: '203.0.113.9', port: 9 } }).connect();
  pair.pass(35);
  t.equal(pair.server.sizes().handshakes, 1);
  pair.connect();
  t.equal(pair.client.connections, 2);
  t.ok(pair.time < 1300, `at once, after ${pair.time - 1000} ms`);
  pair.pass(seconds(120));
  const before = pair.ladder.length;
  pair.connect();
  t.match(pair.ladder.slice(before).join('\n'), /← serverHello\(1\) \[changeCipherSpec\]/, 'and not for long');
});

t.test('a hello that is held off would not be let in when it comes again', async t => {
  const pair = handshakePair({ resumption: true, limits: { handshakesPerIdentity: { burst: 1, perSecond: 0.5 } } });
  pair.connect();
  const before = pair.ladder.length;
  pair.connect();
  t.equal(pair.client.connections, 2);
  const lines = pair.ladder.slice(before).join('\n');
  t.match(lines, /← serverHello\(1\) \[changeCipherSpec\]/, 'the session is resumed');
  t.match(lines.match(/→ clientHello\(1\)/g), { length: 3 }, 'by the third copy of its hello');
});

t.test('a network from which handshakes fail would keep the server busy', async t => {
  const pair = handshakePair({ limits: { failuresPerNetwork: { burst: 5, perSecond: 0.5 } } });
  pair.clients.length = 0;
  for (let n = 0; n < 8; n++) fail(pair, n);
  t.equal(pair.failed.filter(({ fault }) => fault === 'wrong-key').length, 5);
  t.ok(pair.server.counters.failureRate >= 3);
  t.match(pair.failed.at(-1), { fault: 'rate-limited', detail: /network failed/ });
  const [elsewhere] = fleet(pair, 1, '203.0.113');
  pair.connect(elsewhere!);
  t.equal(elsewhere!.connections, 1, 'another network is not concerned');
  const [neighbour] = fleet(pair, 1, '192.0.2');
  pair.connect(neighbour!);
  t.equal(neighbour!.connections, 1, 'a device with a good key gets in from there too, when it asks again');
  pair.pass(seconds(120));
  t.equal(pair.server.throttled, 0, 'what was charged is released');
});

t.test('a whole fleet behind one address would be taken for an attack', async t => {
  const pair = handshakePair({
    limits: { maxAssociations: 200, failuresPerNetwork: { burst: 5, perSecond: 0.01 } },
  });
  const devices = fleet(pair, 100);
  for (const device of devices) device.connect();
  pair.runUntil(() => devices.every(device => device.isOver));
  t.equal(devices.filter(device => device.connections === 1).length, 100, 'what succeeds is charged to nobody');
});

t.test('without a rate a herd would come all at once', async t => {
  const pair = handshakePair({
    limits: { maxAssociations: 200, handshakeRate: { burst: 20, perSecond: 20 } },
  });
  const devices = fleet(pair, 100);
  for (const device of devices) device.connect();
  pair.pass(seconds(1));
  t.ok(pair.verified.length <= 40, `${pair.verified.length} in the first second`);
  t.ok(pair.server.sizes().handshakes <= 40);
  t.ok(pair.server.counters.handshakeRate > 0);
  pair.runUntil(() => devices.every(device => device.isOver));
  t.equal(devices.filter(device => device.connections === 1).length, 100, 'and all of them are served in the end');
  t.strictSame(pair.failed, [], 'none was told no');
});

t.test('5,000 spoofed hellos, and then 20 of 20 devices handshake at once', async t => {
  const pair = handshakePair({ limits: { maxAssociations: 30, maxHandshakes: 50, maxHandshakesPerNetwork: 40 } });
  for (let n = 0; n < 5000; n++) {
    // The addresses of the very devices, too: whoever spoofs can choose them.
    const address = n % 2 === 0 ? `198.51.100.${n % 250}` : `10.${n >> 8}.${n & 255}.1`;
    const remote: Remote = { socket: 0, address, port: 1000 + (n % 50) };
    answersTo(pair, hello(n), remote);
    // With a cookie that nobody gave out.
    answersTo(pair, hello(n, new Uint8Array(16).fill(n), 1), remote);
  }
  t.same(pair.server.sizes(), { associations: 0, handshakes: 0 });
  t.equal(pair.server.throttled, 0, 'nothing is charged to an address that anybody may have written');
  const start = pair.time;
  const devices = fleet(pair, 20);
  for (const device of devices) device.connect();
  pair.runUntil(() => devices.every(device => device.isOver));
  t.equal(devices.filter(device => device.connections === 1).length, 20);
  t.ok(pair.time - start < 100, 'without a retransmission');
});

t.test('a throttle that is never released would lock out for ever', async t => {
  const random = new SeededRandom(7);
  const throttle = new Throttle<number>({ burst: 3, perSecond: 2 }, 4);
  let now = 0;
  const charged = new Map<number, number[]>();
  for (let step = 0; step < 5000; step++) {
    now += random.below(200);
    const key = random.below(4);
    const times = charged.get(key) ?? [];
    // Never more than the burst and what the time since then allows, whatever span one looks at.
    if (throttle.allows(now as Instant, key)) {
      throttle.charge(now as Instant, key);
      times.push(now);
      charged.set(key, times);
    }
    for (let from = Math.max(0, times.length - 20); from < times.length; from++) {
      const span = times.at(-1)! - times[from]!;
      if (times.length - from > 3 + span / 500 + 1) t.fail(`${times.length - from} in ${span} ms`);
    }
  }
  t.ok(
    [...charged.values()].every(times => times.length > 1.9 * (now / 1000) * 0.9),
    'and no less than it may',
  );
  for (let key = 10; key < 100; key++) throttle.charge(now as Instant, key);
  t.equal(throttle.size, 4, 'bounded');
  throttle.expire((now + 60_000) as Instant);
  t.equal(throttle.size, 0);
});

t.test('the identity of another would be used up by whoever knows it', async t => {
  const pair = handshakePair();
  for (let n = 0; n < 30; n++) fail(pair, n, '203.0.113');
  pair.connect();
  t.equal(pair.client.connections, 1, 'only whoever proves the key is charged for it');
  t.equal(pair.failed.length, 30);
});
