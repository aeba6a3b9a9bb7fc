import t from 'tap';
import type { Peer } from '../../../src/base/peer.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Instant, Milliseconds } from '../../../src/base/time.ts';
import { maxPeers, Outbox } from '../../../src/coap/outbox.ts';
import { defaultTransmission } from '../../../src/coap/transmission.ts';

t.test('a flood of peers that are sent one message each leaves no more than a bounded number behind', async t => {
  const outbox = new Outbox(defaultTransmission, new SeededRandom(1), 1000 as Milliseconds, () => 0xffff);
  t.equal(outbox.nextMessageId(0 as Instant, 1 as Peer), 0xffff);
  t.equal(outbox.nextMessageId(0 as Instant, 1 as Peer), 0, 'message IDs follow each other');
  for (let peer = 2; peer < maxPeers + 1000; peer++) outbox.nextMessageId(0 as Instant, peer as Peer);
  t.equal(outbox.peers, maxPeers);
  outbox.expire(
    1000 as Instant,
    () => undefined,
    () => undefined,
  );
  t.equal(outbox.peers, 0);
});
