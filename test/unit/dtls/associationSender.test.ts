import t from 'tap';
import { utf8 } from '../../../src/base/bytes.ts';
import type { AssociationOut } from '../../../src/dtls/associationOut.ts';
import { AssociationSender, maxHeld, maxHolding } from '../../../src/dtls/associationSender.ts';
import { newCounters } from '../../../src/dtls/counters.ts';
import { Moves } from '../../../src/dtls/moves.ts';
import type { SessionRow, SessionTable } from '../../../src/dtls/sessionTable.ts';

t.test('after a start on a disk that is slow, what waits for numbers would fill the memory', async t => {
  const counters = newCounters();
  // None of them has a number left, and all have asked for more.
  const sessions = { writeMark: () => 10, writeSequence: () => 10, isReserving: () => true } as unknown as SessionTable;
  const sender = new AssociationSender(sessions, new Moves(counters), { writeMarkStep: 10 }, counters);
  const say = (row: number) => sender.sendData(row as SessionRow, utf8('x'), {} as AssociationOut);
  for (let row = 0; row < maxHolding; row++) say(row);
  t.equal(counters.starved, 0);
  say(maxHolding);
  t.equal(counters.starved, 1, 'one session too many');
  for (let n = 1; n < maxHeld; n++) say(0);
  t.equal(counters.starved, 1, 'who waits already may say a little more');
  say(0);
  t.equal(counters.starved, 2);
  sender.forget(0 as SessionRow);
  say(maxHolding);
  t.equal(counters.starved, 2, 'and there is room again');
});
