import t from 'tap';
import type { Peer } from '../../../src/base/peer.ts';
import { questionLimits, WaitingQuestions } from '../../../src/server/waitingQuestions.ts';
import type { Work } from '../../../src/server/work.ts';

const { all, each } = questionLimits;

function asked(kind: 'operator' | 'psk' | 'anonymous', peer: number): Work {
  return { exchange: { peer: peer as Peer }, context: { principal: { kind } }, searching: false } as Work;
}

/** Who has the next turns, until nobody waits. */
function order(waiting: WaitingQuestions): number[] {
  const peers: number[] = [];
  for (let work = waiting.next(); work !== undefined; work = waiting.next()) peers.push(work.exchange.peer);
  return peers;
}

t.test('strangers that ask without end would take the places of operators', async t => {
  const waiting = new WaitingQuestions();
  let taken = 0;
  for (let peer = 1; peer <= 100; peer++) if (waiting.add(asked('anonymous', peer))) taken++;
  t.equal(taken, all);
  t.ok(waiting.add(asked('operator', 1001)));
  t.ok(waiting.add(asked('operator', 1002)));
  t.same(order(waiting).slice(0, 4), [1001, 1, 1002, 2], 'both lines take turns');
});

t.test('one device that asks without end would take the places of the others', async t => {
  const waiting = new WaitingQuestions();
  for (let n = 0; n < 100; n++) waiting.add(asked('psk', 1));
  t.equal(waiting.size, each);
  t.ok(waiting.add(asked('psk', 2)));
  for (let n = 0; n < 100; n++) waiting.add(asked('operator', 3));
  t.equal(waiting.size, each + 1 + all, 'an operator’s questions fill the line of operators at most');
});

t.test('what has had a turn has its place, however many came meanwhile', async t => {
  const waiting = new WaitingQuestions();
  waiting.add(asked('psk', 1));
  const work = waiting.next()!;
  for (let peer = 2; peer < 100; peer++) waiting.add(asked('psk', peer));
  t.notOk(waiting.add(asked('psk', 100)));
  t.ok(waiting.add(work));
  t.equal(order(waiting).at(-1), 1);
});
