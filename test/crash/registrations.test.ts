import t from 'tap';
import { KillWorld } from '../support/killWorld.ts';

const kills = 20;
const lanes = 24;
const secured = 9;

t.test('after kill -9 under load, twenty times, every acknowledged registration is there', async t => {
  const world = await KillWorld.open({ seed: 20, lanes, secured });
  t.teardown(() => world.close());
  for (let kill = 1; kill <= kills; kill++) {
    t.same(await world.round(), [], `kill ${kill}: nothing is lost, used twice, or done twice`);
  }
  const { acknowledged, updates, resent, replayed, records } = world.totals;
  t.ok(
    acknowledged > kills * lanes,
    `${acknowledged} names acknowledged, ${resent} of them only when they asked again`,
  );
  t.ok(updates > kills * secured, `${updates} updates acknowledged in ${secured} sessions`);
  t.ok(records > updates, `${records} records of the server's, each with a nonce of its own`);
  t.ok(replayed > kills, `${replayed} records of devices repeated, and none took effect`);
});
