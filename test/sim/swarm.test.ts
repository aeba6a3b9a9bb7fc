import t from 'tap';
import { live, swarmWorld } from './swarm.ts';

/** Enough to meet every fault many times; `npm run seeds` runs many more. */
const fixed = 40;
const fresh = 15;

t.test('in every world of the swarm the invariants hold', async t => {
  // Fresh seeds every day, which are the same for everybody on that day: what failed can be run again.
  const today = Math.floor(Date.now() / 86_400_000) * 1000;
  const seeds = [
    ...Array.from({ length: fixed }, (_, n) => n + 1),
    ...Array.from({ length: fresh }, (_, n) => today + n),
  ];
  for (const seed of seeds) {
    try {
      const world = live({ seed });
      t.ok(world.events > 0, `seed ${seed}: ${world.fleet.length} devices, ${world.events} events`);
    } catch (error) {
      t.fail((error as Error).message);
    }
  }
});

t.test('the same seed gives the same conversation, byte for byte, and another seed another one', async t => {
  const digest = (seed: number) => live({ seed, devices: 4, minutes: 10 }).journal.digest;
  for (const seed of [2, 15, 25]) t.equal(digest(seed), digest(seed));
  t.not(digest(2), digest(15));
});

t.test('a fault that is left out leaves the others as they were', async t => {
  const happenings = (without: readonly string[]) => swarmWorld({ seed: 21, without }).world.network.faults.loss;
  t.equal(happenings(['crash', 'duplicate']), happenings([]));
});
