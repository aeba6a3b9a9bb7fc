import t from 'tap';
import type { Peer } from '../../../src/base/peer.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import type { Registered } from '../../../src/fleet/registration.ts';
import type { DatapathParts } from '../../../src/server/datapathParts.ts';
import { downlinkOf, type Road } from '../../../src/server/downlinkOf.ts';
import { firstPlainPeer } from '../../../src/server/plainPeers.ts';
import { Turn } from '../../../src/server/turn.ts';
import { sampleRecord } from '../../support/records.ts';

t.test('a device would be spoken to on a session that is over, and then counted as silent', async t => {
  const turn = new Turn(
    (): Now => ({ instant: 0 as Instant, wall: 0 as WallTime }),
    () => undefined,
  );
  const parts = (dtls: object | undefined) =>
    ({
      dtls,
      plain: {
        reach: () => firstPlainPeer as Peer,
        remote: (peer: Peer) => (peer === firstPlainPeer ? {} : undefined),
      },
    }) as unknown as DatapathParts;
  const downlink = downlinkOf(parts({ knows: (peer: Peer) => peer === 7 }), turn, {} as Road);
  const on = (association: number | undefined) =>
    ({ ...sampleRecord(1, { transport: 'coaps' }), lastExchange: { association } }) as unknown as Registered;
  t.equal(downlink.reach(on(7)), 7);
  t.equal(downlink.reach(on(6)), undefined);
  t.equal(downlink.reach(on(undefined)), undefined);
  t.equal(downlink.reach(sampleRecord(1) as Registered), firstPlainPeer, 'on plain CoAP there is no session');
  t.ok(downlink.isThere(7 as Peer));
  t.notOk(downlink.isThere(6 as Peer));
  t.ok(downlink.isThere(firstPlainPeer as Peer));
  t.notOk(downlink.isThere((firstPlainPeer + 1) as Peer), 'who made room on plain CoAP');
  const plainOnly = downlinkOf(parts(undefined), turn, {} as Road);
  t.equal(plainOnly.reach(on(7)), undefined, 'of a server that had DTLS before');
  t.notOk(plainOnly.isThere(7 as Peer));
});
