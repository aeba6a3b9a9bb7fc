import t from 'tap';
import { type Bytes, concatBytes, utf8 } from '../../../src/base/bytes.ts';
import type { Remote } from '../../../src/base/peer.ts';
import { bringsCookie } from '../../../src/dtls/codec/clientHello.ts';
import { Intake } from '../../../src/server/intake.ts';
import { hello } from '../../support/dtlsRaw.ts';

const remote: Remote = { socket: 1, address: '192.0.2.1', port: 1 };

/** A turn of the event loop: what arrives is read, and then what was deferred runs. */
function world(maxHellos: number) {
  let now = 0;
  let commits = 0;
  const served: string[] = [];
  const deferred: (() => void)[] = [];
  const intake = new Intake({
    limits: { maxHellos, maxCommits: 10 },
    receive: (_, datagram: Bytes) => {
      served.push(datagram[0] !== 22 ? 'record' : bringsCookie(datagram, 25) ? 'cookie' : 'hello');
      // A hello takes a quarter of a millisecond here.
      now += 0.25;
    },
    commits: () => commits,
    defer: run => void deferred.push(run),
    clock: () => now,
  });
  return {
    intake,
    served,
    commits: (count: number) => {
      commits = count;
    },
    turn: (...datagrams: Bytes[]) => {
      served.length = 0;
      for (const datagram of datagrams) intake.receive(remote, datagram);
      for (const run of deferred.splice(0)) run();
      return [...served];
    },
  };
}

const record = utf8('\x17 a record of a session');

t.test("a device's record would wait behind a thousand hellos", async t => {
  const { turn, intake } = world(100);
  t.strictSame(turn(hello(1), hello(2), record), ['record', 'hello', 'hello'], 'it goes first in its turn');
  const flood = Array.from({ length: 30 }, (_, n) => hello(n));
  t.strictSame(turn(...flood), ['hello', 'hello', 'hello', 'hello'], 'a millisecond of hellos');
  t.strictSame(turn(record)[0], 'record', 'and then what has arrived meanwhile');
  let turns = 2;
  while (turn().length > 0) turns++;
  t.equal(turns, 8, 'every hello has its turn');
  t.strictSame(intake.counters, { loopBehind: 0, storeBehind: 0 });
});

t.test('a hello behind another record of its datagram would go first, however many they are', async t => {
  const { turn, intake } = world(100);
  const before = [
    Uint8Array.of(20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 1),
    Uint8Array.of(25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 2, 7, 7),
  ];
  const hidden = [[before[0]!], [before[1]!], before, [...before, ...before]].map((records, n) =>
    concatBytes(...records, hello(n)),
  );
  const datagrams = Array.from({ length: 20 }, (_, n) => hidden[n % hidden.length]!);
  t.equal(turn(...datagrams).length, 4, 'a millisecond of hellos');
  let turns = 1;
  while (turn().length > 0) turns++;
  t.equal(turns, 5);
  t.strictSame(turn(concatBytes(...before), concatBytes(before[0]!, record)), ['record', 'record']);
  t.strictSame(intake.counters, { loopBehind: 0, storeBehind: 0 });
});

t.test('a record that looks a little like a hello would wait among them', async t => {
  const { served, intake } = world(100);
  for (const [what, ...bytes] of [
    ['the next flight of a handshake', 22, 0, 0, 16],
    ['a Finished again, whose first byte is anything', 22, 0, 1, 1],
    ['the same after more epochs than there are', 22, 1, 0, 1],
    ['a warning in clear', 21, 0, 0, 1],
  ] as const) {
    const [type, high, low, first] = bytes;
    served.length = 0;
    intake.receive(remote, Uint8Array.of(type, 0xfe, 0xfd, high, low, 0, 0, 0, 0, 0, 9, 0, 2, first, 0));
    t.equal(served.length, 1, what);
  }
});

t.test('hellos would be served while the system loses records of devices that it has no room for', async t => {
  const { turn } = world(100);
  const busy = Array.from({ length: 32 }, () => record);
  t.equal(turn(hello(1)).length, 1);
  t.notOk(turn(hello(2), ...busy).includes('hello'), 'as many were read as one turn can: there are more');
  t.strictSame(turn(), ['hello'], 'the socket is empty now');
  let turns = 1;
  while (!turn(hello(3), ...busy).includes('hello')) turns++;
  t.equal(turns, 7, 'a socket that is never empty does not keep them out for more than fifty milliseconds');
});

t.test('strangers would have so many cookies that nobody who brings one is served', async t => {
  const { turn, intake } = world(100);
  const cookie = Uint8Array.of(1, 2, 3);
  const first = Array.from({ length: 20 }, (_, n) => hello(n));
  t.strictSame(turn(...first, hello(1, cookie), hello(2, cookie)), ['cookie', 'hello', 'cookie', 'hello']);
  turn(...Array.from({ length: 200 }, (_, n) => hello(n)));
  const refused = intake.counters.loopBehind;
  turn(hello(1, cookie));
  t.ok(refused > 0);
  t.equal(intake.counters.loopBehind, refused, 'there is room for one with a cookie when there is none without');
});

t.test('what the loop or the disk cannot do any more stays unanswered', async t => {
  const { turn, intake, commits } = world(5);
  turn(...Array.from({ length: 12 }, (_, n) => hello(n)));
  t.equal(intake.counters.loopBehind, 7);
  while (turn().length > 0);
  commits(10);
  t.strictSame(turn(hello(1), record), ['record'], 'devices with a session are served');
  t.equal(intake.counters.storeBehind, 1);
  commits(9);
  t.strictSame(turn(hello(1)), ['hello'], 'and hellos as soon as there is room again');
});
