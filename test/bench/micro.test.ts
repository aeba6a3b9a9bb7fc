import t from 'tap';
import { micro } from '../../tools/bench/micro.ts';

/**
 * In units of what node-coap's codec takes for a registration in the same run, twice and more of what was measured: a
 * part that comes here has become dearer by a mistake, not by a noisy machine.
 */
const atMost: Readonly<Record<string, number>> = {
  'coap: read a registration, write its answer': 0.3,
  'coap: an exchange through the endpoint, duplicates remembered': 0.9,
  'coap: remember a message': 0.6,
  'service: decide a registration': 8,
  'service: decide an update': 4.5,
  'dtls: seal and open a record of 100 B': 7,
};

t.test("no part of the road has become dearer, in units of node-coap's codec", async t => {
  const [yardstick, ...parts] = micro(7);
  t.equal(yardstick?.ratio, 1);
  t.same(
    parts.map(({ part }) => part),
    Object.keys(atMost),
  );
  for (const { part, ratio } of parts) t.ok(ratio <= atMost[part]!, `${part}: ${ratio}, at most ${atMost[part]}`);
});
