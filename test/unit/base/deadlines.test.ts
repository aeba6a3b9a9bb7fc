import t from 'tap';
import { Deadlines } from '../../../src/base/deadlines.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Instant } from '../../../src/base/time.ts';

const at = (ms: number) => ms as Instant;

t.test('deadlines come out in order, whatever was moved or cleared meanwhile', async t => {
  const random = new SeededRandom(7);
  const deadlines = new Deadlines<number>();
  const expected = new Map<number, number>();
  for (let i = 0; i < 5000; i++) {
    const key = random.below(200);
    if (random.fraction() < 0.3) {
      deadlines.clear(key);
      expected.delete(key);
    } else {
      const when = random.below(1000);
      deadlines.set(key, at(when));
      expected.set(key, when);
    }
    const next = expected.size === 0 ? undefined : Math.min(...expected.values());
    if (deadlines.size !== expected.size || deadlines.next() !== next) return t.fail(`differs after step ${i}`);
  }
  let last = 0;
  while (deadlines.size > 0) {
    const next = deadlines.next()!;
    const key = deadlines.takeDue(next)!;
    if (expected.get(key) !== next || next < last) return t.fail(`${key} came out at ${next}, after ${last}`);
    last = next;
  }
  return t.equal(deadlines.size, 0);
});

t.test('nothing is due before its time', async t => {
  const deadlines = new Deadlines<string>();
  deadlines.set('a', at(10));
  t.equal(deadlines.takeDue(at(9)), undefined);
  t.equal(deadlines.takeDue(at(10)), 'a');
  t.equal(deadlines.takeDue(at(10)), undefined);
});
