import fc from 'fast-check';
import t from 'tap';
import { type Bytes, noBytes, utf8 } from '../../../src/base/bytes.ts';
import type { Peer, Remote } from '../../../src/base/peer.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import type { AssociationOut } from '../../../src/dtls/associationOut.ts';
import { Associations } from '../../../src/dtls/associations.ts';
import { cipherSuite } from '../../../src/dtls/codec/cipherSuite.ts';
import { newCounters } from '../../../src/dtls/counters.ts';
import type { Established } from '../../../src/dtls/established.ts';
import { FinishedVerified } from '../../../src/dtls/proof.ts';
import { type SessionState, sessionState } from '../../../src/dtls/sessionState.ts';
import { SessionTable } from '../../../src/dtls/sessionTable.ts';
import { defaultLimits } from '../../../src/dtls/settings.ts';

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

t.test('a table of its full size takes the memory it says', async t => {
  const before = process.memoryUsage().arrayBuffers;
  const table = new SessionTable(200_000, 1);
  const each = (process.memoryUsage().arrayBuffers - before) / table.capacity;
  t.ok(each < 250, `${each.toFixed(0)} bytes a session`);
  t.equal(table.size, 0);
});

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
