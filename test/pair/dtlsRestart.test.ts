import t from 'tap';
import type { Bytes } from '../../src/base/bytes.ts';
import { seconds } from '../../src/base/time.ts';
import { allCipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import type { SessionState } from '../../src/dtls/sessionState.ts';
import { SessionTable } from '../../src/dtls/sessionTable.ts';
import { type HandshakePair, handshakePair, recordsOf } from '../support/handshakePair.ts';

/** What the registry would have kept of the newest session; its own marks, nothing of what came after. */
function kept(pair: HandshakePair, writeMark?: number): SessionState {
  const { session } = pair.verified.at(-1)!;
  return { ...session, writeMark: writeMark ?? session.writeMark };
}

/** The server process dies, and another one goes on with what was kept. */
function restart(pair: HandshakePair, ...states: SessionState[]): void {
  pair.server = pair.newServer(1);
  for (const state of states) pair.server.restore(pair.now, state, pair.serverOut);
}

function sequencesFrom(datagrams: readonly Bytes[]): number[] {
  return datagrams.flatMap(recordsOf).flatMap(record => (record.epoch === 1 ? [record.sequence] : []));
}

t.test('a device goes on after a restart without a handshake', async t => {
  for (const suite of allCipherSuites) {
    const pair = handshakePair({ suites: [suite], clientSuites: [suite] }).connect();
    pair.client.send('before');
    pair.pass(100);
    restart(pair, kept(pair));
    const hellos = pair.ladder.filter(line => line.includes('clientHello')).length;
    pair.client.send('after');
    pair.pass(100);
    t.strictSame(
      pair.delivered.map(({ text }) => text),
      ['before', 'after'],
    );
    const { peer } = pair.delivered[1]!;
    t.equal(peer, pair.delivered[0]!.peer, 'and is the same peer');
    pair.server.send(peer, new TextEncoder().encode('answer'), pair.serverOut);
    pair.pass(100);
    t.strictSame(pair.client.delivered, ['answer'], suite.name);
    t.equal(pair.ladder.filter(line => line.includes('clientHello')).length, hellos);
  }
});

t.test('without a write mark a restarted server would use its nonces again', async t => {
  const pair = handshakePair({ limits: { writeMarkStep: 10 } }).connect();
  const { peer } = pair.verified[0]!;
  const say = (times: number) => {
    for (let n = 0; n < times; n++) pair.server.send(peer, new TextEncoder().encode('x'), pair.serverOut);
  };
  say(5);
  t.strictSame(pair.reserved, [20], 'before the numbers are used up');
  for (let n = 0; n < 6; n++) {
    say(3);
    pair.pass(20);
  }
  t.strictSame(pair.reserved, [20, 30], 'asked for once each, when half of the step was used');
  const before = sequencesFrom(pair.datagramsFrom('server'));
  restart(pair, kept(pair, 30));
  const from = pair.sent.length;
  say(5);
  pair.pass(20);
  const afterwards = sequencesFrom(
    pair.sent
      .slice(from)
      .filter(one => one.from === 'server')
      .map(one => one.datagram),
  );
  t.strictSame(afterwards, [30, 31, 32, 33, 34]);
  t.equal(new Set([...before, ...afterwards]).size, before.length + afterwards.length);
});

t.test('a number beyond the mark would be sent before its mark is durable', async t => {
  const pair = handshakePair({ limits: { writeMarkStep: 10 }, reserve: 'never' }).connect();
  const { peer } = pair.verified[0]!;
  for (let n = 0; n < 20; n++) pair.server.send(peer, new TextEncoder().encode('x'), pair.serverOut);
  t.equal(Math.max(...sequencesFrom(pair.datagramsFrom('server'))), 9);
  t.strictSame(pair.reserved, [20]);
  t.equal(pair.server.counters.starved, 3, 'eight wait for the mark, the rest for whoever wants it to ask again');
  pair.server.reserved(peer, 20, pair.serverOut);
  t.equal(Math.max(...sequencesFrom(pair.datagramsFrom('server'))), 17, 'what waited goes out');
});

t.test('a mark that fails again and again would keep a broken disk busy', async t => {
  const pair = handshakePair({ limits: { writeMarkStep: 10 }, reserve: 'never' }).connect();
  const { peer } = pair.verified[0]!;
  for (let n = 0; n < 12; n++) pair.server.send(peer, new TextEncoder().encode('x'), pair.serverOut);
  pair.server.reserved(peer, 0, pair.serverOut);
  t.strictSame(pair.reserved, [20], 'what waited is dropped');
  t.equal(pair.server.counters.starved, 3);
  pair.server.send(peer, new TextEncoder().encode('x'), pair.serverOut);
  t.strictSame(pair.reserved, [20, 20], 'and what comes next asks again');
});

t.test('without a read mark an old record would take effect a second time', async t => {
  const pair = handshakePair().connect();
  const records: Bytes[] = [];
  for (const text of ['first', 'second', 'third']) {
    pair.client.send(text);
    records.push(pair.datagramsFrom('client').at(-1)!);
    pair.pass(50);
  }
  restart(pair, { ...kept(pair), readMark: pair.delivered[1]!.sequence });
  pair.delivered.length = 0;
  for (const record of records) pair.toServer(record);
  t.strictSame(
    pair.delivered.map(({ text }) => text),
    ['third'],
    'what changed nothing may come again',
  );
  t.equal(pair.server.counters.replayed, 2);
});

t.test('a Finished that was not answered before the crash is answered after it', async t => {
  const pair = handshakePair({ confirm: 'never' });
  pair.client.connect();
  pair.runUntil(() => pair.verified.length === 1);
  restart(pair, kept(pair));
  pair.runUntil(() => pair.client.isOver);
  t.ok(pair.client.dtls.isConnected);
  pair.client.send('hello');
  pair.pass(100);
  t.equal(pair.delivered[0]?.text, 'hello');
});

t.test('the newer of two kept sessions wins', async t => {
  const remote = { socket: 0, address: '192.0.2.7', port: 7 };
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const pair = handshakePair({ remote });
    pair.psks.set('device-2', { key: pair.psks.get('device-1')!.key, owner: { row: 2, credential: 2 } });
    pair.connect();
    pair.connect(pair.addClient({ identity: 'device-2', remote: { ...remote, port: 8 } }));
    const states = pair.verified.map(({ session }) => ({ ...session, remote }));
    restart(pair, ...order.map(n => states[n]!));
    t.equal(pair.server.sizes().associations, 1);
    t.strictSame(pair.server.session(states[1]!.peer)?.owner, { row: 2, credential: 2 });
    t.match(pair.closed, [{ peer: states[0]!.peer, reason: 'displaced' }], 'and it is told that the other is over');
  }
});

t.test('a session that wakes beside a newer one of its owner would leave its observations behind', async t => {
  const pair = handshakePair().connect();
  const before = kept(pair);
  restart(pair, { ...before, peer: (before.peer + 20) as never });
  // Its device was heard with an old connection ID, after it had come with a new handshake.
  pair.server.restore(pair.now, before, pair.serverOut);
  t.equal(pair.server.sizes().associations, 1);
  t.match(pair.closed, [{ peer: before.peer, reason: 'replaced' }]);
});

t.test('an association of after the restart gets a number that no kept one has', async t => {
  const pair = handshakePair().connect();
  restart(pair, { ...kept(pair), peer: 40 as never });
  pair.connect();
  t.equal(pair.verified.at(-1)!.peer, 41);
  t.equal(pair.closed.at(-1)?.reason, 'replaced');
});

t.test('silence ends a session, and so does age', async t => {
  const pair = handshakePair({ limits: { idleTimeout: seconds(100), maxAge: seconds(250) } }).connect();
  const { peer } = pair.verified[0]!;
  pair.pass(seconds(90));
  pair.client.send('still here');
  pair.pass(seconds(90));
  t.ok(pair.server.session(peer), 'what is heard stays');
  pair.client.send('still here');
  pair.pass(seconds(80));
  pair.client.send('too late');
  pair.pass(seconds(1));
  t.strictSame(pair.closed, [{ peer, reason: 'too-old' }]);
  t.strictSame(pair.client.closed, ['close-notify'], 'the device hears of it, and comes back');
  t.equal(pair.delivered.length, 2);
  pair.connect();
  pair.pass(seconds(101));
  t.equal(pair.closed.at(-1)?.reason, 'idle');
  t.strictSame(pair.server.sizes(), { associations: 0, handshakes: 0 });
  t.equal(pair.server.nextExpiry(), undefined);
});

t.test('as many forged records as the suite can bear end a session', async t => {
  const pair = handshakePair().connect();
  pair.client.send('true');
  const forged = pair.datagramsFrom('client').at(-1)!.slice();
  forged[forged.length - 1]! ^= 1;
  const count = Reflect.get(SessionTable.prototype, 'countForged') as (this: SessionTable, row: number) => number;
  t.teardown(() => {
    SessionTable.prototype.countForged = count;
  });
  // Eight million came before.
  SessionTable.prototype.countForged = function (row) {
    return count.call(this, row) + 2 ** 23 - 3;
  };
  for (let n = 0; n < 3; n++) {
    t.strictSame(pair.closed, []);
    forged[10] = n + 2;
    pair.toServer(forged);
  }
  t.match(pair.closed, [{ reason: 'forged' }]);
});

t.test('ten thousand forged records end no session', async t => {
  const pair = handshakePair().connect();
  pair.client.send('true');
  const forged = pair.datagramsFrom('client').at(-1)!.slice();
  forged[forged.length - 1]! ^= 1;
  for (let n = 0; n < 10_000; n++) {
    forged[10] = (n % 250) + 2;
    pair.toServer(forged);
  }
  pair.pass(50);
  pair.client.send('still there');
  pair.pass(50);
  t.equal(pair.server.counters.notAuthentic, 10_000);
  t.strictSame(
    pair.delivered.map(({ text }) => text),
    ['true', 'still there'],
  );
});
