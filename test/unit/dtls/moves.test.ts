import t from 'tap';
import type { Remote } from '../../../src/base/peer.ts';
import type { Instant } from '../../../src/base/time.ts';
import { newCounters } from '../../../src/dtls/counters.ts';
import { Moves, maxMoves } from '../../../src/dtls/moves.ts';
import type { SessionRow } from '../../../src/dtls/sessionTable.ts';

t.test('addresses that nobody proves would fill the memory: the oldest is forgotten for the next one', async t => {
  const counters = newCounters();
  const moves = new Moves(counters);
  const remote: Remote = { socket: 0, address: '203.0.113.1', port: 9 };
  for (let row = 0; row < maxMoves; row++) moves.note(0 as Instant, row as SessionRow, remote, 10);
  t.equal(counters.movesFull, 0);
  t.ok(moves.note(1 as Instant, maxMoves as SessionRow, remote, 10));
  t.equal(counters.movesFull, 1);
  t.equal(moves.get(0 as SessionRow), undefined, 'its old address is the one that counts');
  t.ok(moves.get(1 as SessionRow), 'and only it');
});
