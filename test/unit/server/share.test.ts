import t from 'tap';
import type { Instant } from '../../../src/base/time.ts';
import { Share } from '../../../src/server/share.ts';

t.test('who asks much would have the loop for himself', t => {
  let now = 1000;
  const share = new Share(() => now as Instant);
  const ask = (milliseconds: number): boolean => {
    if (!share.isFree(now as Instant)) return false;
    share.take(() => {
      now += milliseconds;
    });
    return true;
  };
  let asked = 0;
  for (; now < 2000; now += 0.1) if (ask(5)) asked++;
  t.ok(asked >= 100 && asked <= 104, `${asked} questions of 5 ms in a second`);

  now = 10_000;
  const burst = Array.from({ length: 40 }, () => ask(0.2));
  t.ok(burst.every(Boolean), 'forty small ones at once find time');
  t.notOk(Array.from({ length: 200 }, () => ask(0.2)).every(Boolean), 'four hundred do not');

  now = 20_000;
  t.ok(ask(100));
  t.equal(share.next, 20_000 - 20 + 200, 'one that took long is followed by as long a rest');
  t.notOk(share.isFree(20_150 as Instant));
  now = share.next;
  t.ok(ask(0), 'and where time does not pass nobody waits');
  t.ok(ask(0));
  t.end();
});
