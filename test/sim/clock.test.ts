import t from 'tap';
import { SeededRandom } from '../../src/base/random.ts';
import { Clock, onGrain, Timer } from './clock.ts';

t.test('a process whose time began later would be woken a rounding too early, and again for ever', async t => {
  const random = new SeededRandom(1);
  let early = 0;
  for (let n = 0; n < 10_000; n++) {
    const clock = new Clock();
    const startedAt = onGrain(random.fraction() * 1e9);
    // The next number after a grain: the sum has no room for the difference.
    const wanted = onGrain(random.fraction() * 1e8) * (1 + Number.EPSILON);
    new Timer(clock).arm(startedAt + onGrain(wanted), () => {
      if (clock.now - startedAt < wanted) early++;
    });
    clock.step();
  }
  t.equal(early, 0);
});

t.test('a world in which something is done again and again at one moment says so', async t => {
  const clock = new Clock();
  const again = (): void => clock.after(0, again);
  again();
  t.throws(() => {
    for (;;) clock.step();
  }, /time stands still/);
});
