import fc from 'fast-check';
import t from 'tap';
import { type Bytes, noBytes, textOf, utf8 } from '../../../src/base/bytes.ts';
import type { Peer, Remote } from '../../../src/base/peer.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import type { AssociationOut } from '../../../src/dtls/associationOut.ts';
import { Associations } from '../../../src/dtls/associations.ts';
import { cipherSuite } from '../../../src/dtls/codec/cipherSuite.ts';
import { ContentType, type DtlsRecord } from '../../../src/dtls/codec/record.ts';
import { encodePathMessage, PathMessage, pathCookieLength } from '../../../src/dtls/codec/returnRoutability.ts';
import type { NegotiatedCids } from '../../../src/dtls/connectionId.ts';
import { newCounters } from '../../../src/dtls/counters.ts';
import type { Established } from '../../../src/dtls/established.ts';
import { FinishedVerified } from '../../../src/dtls/proof.ts';
import { sealRecord } from '../../../src/dtls/protection.ts';
import { type SessionState, sessionState } from '../../../src/dtls/sessionState.ts';
import { SessionTable } from '../../../src/dtls/sessionTable.ts';
import { defaultLimits } from '../../../src/dtls/settings.ts';
import { recordsOf } from '../../support/handshakePair.ts';

const now: Now = { instant: 1 as Instant, wall: 1e12 as WallTime };

t.test('a row that is used again holds nothing of its former session', async t => {
  const table = new SessionTable(2, 1);
  const row = table.add(5 as Instant, session(7, 1, 0x00a9));
  const memory = new Uint8Array(table.clientKeys(row).key.buffer);
  t.ok(memory.some(byte => byte !== 0));
  t.equal(table.takeWriteSequence(row), 0);
  t.equal(table.takeWriteSequence(row), 1);
  table.markRead(row, 50);
  table.confirm(row);
  table.remove(row);
  t.ok(
    memory.every(byte => byte === 0),
    'keys are overwritten',
  );
  t.equal(table.byPeer(7 as Peer), undefined);
  t.equal(table.byAddress(at(1)), undefined);
  t.equal(table.byOwner({ row: 1, credential: 1 }), undefined);
  const again = table.add(9 as Instant, session(8, 2, 0xc0a8));
  t.equal(again, row);
  t.notOk(table.isConfirmed(again));
  t.equal(table.takeWriteSequence(again), 0);
  t.ok(table.isNewRead(again, 50));
  t.notOk(table.isNewRead(again, 0), 'the Finished had it');
  t.equal(table.suite(again), cipherSuite(0xc0a8));
  t.strictSame(table.owner(again), { row: 2, credential: 2 });
  t.strictSame(table.remote(again), at(2));
});

t.test('records to a device would carry the connection ID of whoever had its row before', async t => {
  const table = new SessionTable(1, 1);
  const cids = { server: utf8('eight by'), client: utf8('its own'), returnRoutability: true };
  const row = table.add(5 as Instant, { ...session(7, 1, 0xc0a8), cids });
  t.strictSame(table.clientCid(row), cids.client);
  t.ok(table.hasCid(row) && table.checksReturnRoutability(row));
  table.remove(row);
  t.equal(table.add(9 as Instant, session(8, 2, 0xc0a8)), row);
  t.strictSame(table.clientCid(row), noBytes);
  t.notOk(table.hasCid(row) || table.checksReturnRoutability(row));
});

t.test('the least recently heard row is always at hand', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(5), fc.nat(2)), { maxLength: 100 }), steps => {
      const table = new SessionTable(6, 1);
      const rows = new Map<number, number>();
      let order: number[] = [];
      let time = 0;
      for (const [n, what] of steps) {
        const row = rows.get(n);
        const now = ++time as Instant;
        order = order.filter(other => other !== n);
        if (row === undefined) {
          rows.set(n, table.add(now, session(time, n, 0xc0a8)));
          order.push(n);
        } else if (what === 0) {
          table.remove(row);
          rows.delete(n);
        } else {
          table.heard(row, now);
          order.push(n);
        }
        const oldest = order[0] === undefined ? undefined : rows.get(order[0]);
        if (table.leastRecentlyHeard() !== oldest || table.size !== rows.size) return false;
      }
      return true;
    }),
  );
});

t.test('a session ends before its sequence numbers do', async t => {
  const sent: Bytes[] = [];
  const closed: string[] = [];
  const out: AssociationOut = {
    transmit: (_, datagram) => void sent.push(datagram),
    deliver: () => undefined,
    reserve: () => undefined,
    moving: () => undefined,
    moved: () => undefined,
    closed: (_peer, _owner, reason) => void closed.push(reason),
  };
  const associations = new Associations(
    { ...defaultLimits, maxAssociations: 2, lastWriteSequence: 3 },
    new SeededRandom(1),
    newCounters(),
  );
  associations.establish(now, 7 as Peer, at(1), established(1, 0xc0a8), out);
  associations.confirm(7 as Peer, out);
  for (let n = 0; n < 10; n++) associations.send(7 as Peer, utf8('x'), out);
  t.equal(sent.length, 4);
  t.strictSame(closed, ['exhausted']);
  t.equal(associations.size, 0);
  associations.establish(now, 8 as Peer, at(1), established(1, 0xc0a8), out);
  associations.confirm(8 as Peer, out);
  associations.send(8 as Peer, utf8('x'), out);
  associations.send(8 as Peer, utf8('x'), out);
  associations.close(8 as Peer, 'closed', out);
  t.strictSame(closed, ['exhausted', 'exhausted'], 'once, when the close_notify took the last number');
});

t.test('what waits for a session would go to the one that has its row next', async t => {
  const { associations, out, sent, delivered } = watched({ maxAssociations: 1 });
  // A client that resumes speaks first: what it says waits for its session to be durable.
  const resumed = { ...established(1, 0xc0a8), lastFlight: undefined };
  associations.establish(now, 7 as Peer, at(1), resumed, out);
  associations.receive(now, 0, at(1), fromClient(resumed, 1, 'of the former'), out);
  associations.close(7 as Peer, 'not-stored', out);
  associations.establish(now, 8 as Peer, at(2), established(2, 0xc0a8), out);
  associations.confirm(8 as Peer, out);
  t.strictSame(delivered, []);

  // What is said to a client waits for a number; none is left, and no higher mark comes.
  for (let n = 0; n < defaultLimits.writeMarkStep + 2; n++) associations.send(8 as Peer, utf8('x'), out);
  associations.establish(now, 9 as Peer, at(3), established(3, 0xc0a8), out);
  associations.confirm(9 as Peer, out);
  sent.length = 0;
  associations.reserved(9 as Peer, 2 * defaultLimits.writeMarkStep, out);
  t.strictSame(sent, []);
});

t.test('a session would speak from where its row was heard before', async t => {
  const { associations, out, sent } = watched({ maxAssociations: 1 });
  const first = { ...established(1, 0xc0a8), cids };
  associations.establish(now, 7 as Peer, at(1), first, out);
  associations.confirm(7 as Peer, out);
  associations.receive(now, 0, at(66), fromClient(first, 1, 'from elsewhere'), out);
  associations.establish(now, 8 as Peer, at(2), established(2, 0xc0a8), out);
  associations.confirm(8 as Peer, out);
  sent.length = 0;
  associations.send(8 as Peer, utf8('x'), out);
  t.strictSame(
    sent.map(({ remote }) => remote),
    [at(2)],
  );
});

t.test('what wakes while somebody makes room for a new session would have it written over another one', async t => {
  const associations = new Associations({ ...defaultLimits, maxAssociations: 2 }, new SeededRandom(1), newCounters());
  const closed: Peer[] = [];
  const nothing = { transmit: () => undefined, deliver: () => undefined, reserve: () => undefined };
  const out: AssociationOut = {
    ...nothing,
    moving: () => undefined,
    moved: () => undefined,
    closed: peer => {
      closed.push(peer);
      // Whatever waited for it goes on, on a session of before that sleeps.
      if (peer === 7)
        associations.restore(now, sessionState(3 as Peer, at(3), now.wall, established(3, 0xc0a8), 1), out);
    },
  };
  associations.establish(now, 7 as Peer, at(1), established(1, 0xc0a8), out);
  associations.establish(now, 8 as Peer, at(2), established(2, 0xc0a8), out);
  associations.establish(now, 9 as Peer, at(4), established(4, 0xc0a8), out);
  t.strictSame(closed, [7, 8]);
  t.equal(associations.size, 2);
  for (const peer of [3, 9]) t.ok(associations.session(peer as Peer), `${peer} is there`);
});

t.test('nothing is said in a session that is not durable', async t => {
  const { associations, out, sent, delivered, moving } = watched({});
  for (const returnRoutability of [true, false]) {
    const peer = returnRoutability ? 7 : 8;
    const session = { ...established(peer, 0xc0a8), cids: { ...cids, returnRoutability } };
    associations.establish(now, peer as Peer, at(peer), session, out);
    const row = associations.byPeer(peer as Peer)!;
    associations.receive(now, row, at(66), fromClient(session, 1, 'from elsewhere'), out);
    associations.close(peer as Peer, 'not-stored', out);
  }
  t.strictSame([sent, moving], [[], []]);

  const whole = established(1, 0xc0a8);
  associations.establish(now, 9 as Peer, at(1), whole, out);
  associations.receive(now, associations.byPeer(9 as Peer)!, at(1), fromClient(whole, 1, 'before our Finished'), out);
  associations.confirm(9 as Peer, out);
  t.strictSame(delivered, [], 'nor is heard what a client says that cannot know it yet');
});

t.test('a device that guesses would prove an address at which it hears nothing', async t => {
  const { associations, out, moved } = watched({});
  const session = { ...established(1, 0xc0a8), cids };
  associations.establish(now, 7 as Peer, at(1), session, out);
  associations.confirm(7 as Peer, out);
  associations.receive(now, 0, at(66), fromClient(session, 1, 'from elsewhere'), out);
  const guess = encodePathMessage(PathMessage.response, new Uint8Array(pathCookieLength));
  associations.receive(now, 0, at(66), fromClient(session, 2, guess, ContentType.returnRoutabilityCheck), out);
  t.strictSame(moved, []);
  t.strictSame(associations.session(7 as Peer)?.remote, at(1));
});

t.test('a device whose random numbers repeat is kept out for a minute, and not for ever', async t => {
  const { associations, out } = watched({});
  const { clientRandom } = established(1, 0xc0a8);
  associations.establish(now, 7 as Peer, at(1), established(1, 0xc0a8), out);
  const isLate = (seconds: number) =>
    associations.isLateHello({ ...now, wall: (now.wall + 1000 * seconds) as WallTime }, at(1), clientRandom);
  t.strictSame([isLate(0), isLate(59), isLate(60)], [true, true, false]);
});

t.test('a table of its full size takes the memory it says', async t => {
  const before = process.memoryUsage().arrayBuffers;
  const table = new SessionTable(200_000, 1);
  const each = (process.memoryUsage().arrayBuffers - before) / table.capacity;
  t.ok(each < 250, `${each.toFixed(0)} bytes a session`);
  t.equal(table.size, 0);
});

/** Associations, and what becomes of them. */
function watched(limits: Partial<typeof defaultLimits>) {
  const sent: { remote: Remote; datagram: Bytes }[] = [];
  const delivered: { peer: Peer; text: string }[] = [];
  const moving: Remote[] = [];
  const moved: Remote[] = [];
  const out: AssociationOut = {
    transmit: (remote, datagram) => void sent.push({ remote, datagram }),
    deliver: (peer, plaintext) => void delivered.push({ peer, text: textOf(plaintext)! }),
    reserve: () => undefined,
    moving: (_, remote) => void moving.push(remote),
    moved: (_peer, _owner, remote) => void moved.push(remote),
    closed: () => undefined,
  };
  const associations = new Associations({ ...defaultLimits, ...limits }, new SeededRandom(1), newCounters());
  return { associations, out, sent, delivered, moving, moved };
}

/** A record that the client of this session sealed. */
function fromClient(
  { suite, keys, cids }: Established,
  sequence: number,
  content: string | Bytes,
  type: number = ContentType.applicationData,
): DtlsRecord {
  const plaintext = typeof content === 'string' ? utf8(content) : content;
  const [record] = recordsOf(
    sealRecord(suite, keys.client, type, 1, sequence, plaintext, cids?.server),
    cids?.server.length,
  );
  return record!;
}

const cids: NegotiatedCids = { server: utf8('eight by'), client: noBytes, returnRoutability: true };

function established(n: number, suiteId: number): Established {
  const suite = cipherSuite(suiteId)!;
  const direction = (fill: number) => ({
    key: new Uint8Array(suite.keyLength).fill(fill),
    iv: new Uint8Array(suite.implicitIvLength).fill(fill),
    mac: new Uint8Array(suite.macKeyLength).fill(fill),
  });
  return {
    proof: FinishedVerified.check(noBytes, noBytes)!,
    suite,
    keys: { client: direction(0x11), server: direction(0x22) },
    owner: { row: n, credential: n },
    identity: utf8('device'),
    maxPlaintext: 16_384,
    cids: undefined,
    clientRandom: new Uint8Array(32).fill(n),
    readSequence: 0,
    writeSequence: 0,
    lastFlight: { verifyData: new Uint8Array(12).fill(0x33), messageSequence: 3, plainSequence: 3 },
    resumption: undefined,
  };
}

function session(peer: number, n: number, suiteId: number): SessionState {
  return sessionState(peer as Peer, at(n), now.wall, established(n, suiteId), 1000);
}

function at(n: number): Remote {
  return { socket: 0, address: `192.0.2.${n}`, port: 1000 + n };
}
