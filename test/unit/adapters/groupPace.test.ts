import t from 'tap';
import { GroupPace, longestWait } from '../../../src/adapters/groupPace.ts';

t.test('a lone commit is written at once', async t => {
  const pace = new GroupPace();
  t.equal(pace.begins(0, 1), false, 'the first of all');
  pace.settled(5, 1, 0);
  t.equal(pace.begins(6, 1), false, 'one that comes right after a lone one');
});

t.test('a group waits for those whom the group before it has answered', async t => {
  const pace = new GroupPace();
  pace.settled(0, 60, 4);
  t.ok(pace.begins(0, 4));
  t.ok(pace.mayGrow(1, 30));
  t.equal(pace.mayGrow(2, 64), false, 'all of them are there');
});

t.test('a group is written when nobody else comes, and after the longest wait in any case', async t => {
  const pace = new GroupPace();
  pace.settled(0, 60, 4);
  t.ok(pace.begins(0, 4));
  t.equal(pace.mayGrow(1, 4), false, 'none within a millisecond');
  t.ok(pace.begins(0, 4));
  for (let at = 1; at < longestWait; at++) t.ok(pace.mayGrow(at, 4 + at));
  t.equal(pace.mayGrow(longestWait, 4 + longestWait), false);
});

t.test('a commit long after the last group waits for nobody', async t => {
  const pace = new GroupPace();
  pace.settled(0, 60, 0);
  t.equal(pace.begins(longestWait, 1), false);
});
