import t from 'tap';
import { live, swarmWorld } from './swarm.ts';

/** How many fresh worlds at most, and when no more begins, in microseconds; `npm run seeds` runs as many as you like. */
const fresh = 20;
const cpuBudget = 20e6;

t.test('in every world of the swarm the invariants hold', async t => {
  // Worlds with much in them that are soon over; then fresh ones each day, the same for everybody on that day.
  const fixed = [1, 2, 7, 8, 9, 13, 14, 15, 17, 18];
  const today = Math.floor(Date.now() / 86_400_000) * 1000;
  for (const [n, seed] of [...fixed, ...Array.from({ length: fresh }, (_, n) => today + n)].entries()) {
    if (n >= fixed.length && process.cpuUsage().user > cpuBudget) break;
    try {
      const world = live({ seed });
      t.pass(`seed ${seed}: ${world.fleet.length} devices, ${world.events} events`);
    } catch (error) {
      t.fail((error as Error).message);
    }
  }
});

t.test('the same seed gives the same conversation, byte for byte, and another seed another one', async t => {
  const digest = (seed: number) => live({ seed, devices: 4, minutes: 10 }).journal.digest;
  for (const seed of [2, 15]) t.equal(digest(seed), digest(seed));
  t.not(digest(2), digest(15));
});

t.test('a fault that is left out leaves the others as they were', async t => {
  const lossWithout = (...without: string[]) => swarmWorld({ seed: 21, without }).world.network.faults.loss;
  t.equal(lossWithout('crash', 'duplicate'), lossWithout());
  t.equal(lossWithout('loss'), 0);
});
