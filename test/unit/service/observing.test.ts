import t from 'tap';
import { noBytes } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import type { Instant } from '../../../src/base/time.ts';
import { ResponseCode } from '../../../src/coap/codec/code.ts';
import type { Response } from '../../../src/coap/codec/message.ts';
import { Options } from '../../../src/coap/codec/option.ts';
import type { Observation } from '../../../src/fleet/observation.ts';
import type { Registered } from '../../../src/fleet/registration.ts';
import { Definitions } from '../../../src/lwm2m/definitions.ts';
import type { Dossier } from '../../../src/service/dossier.ts';
import type { DownlinkOut } from '../../../src/service/downlinkOut.ts';
import { askToObserve, type ObserveOutcome } from '../../../src/service/observing.ts';
import type { Asker } from '../../../src/service/outcome.ts';
import { rules, sampleRecord, wall } from '../../support/records.ts';

t.test('who changes an observation while it is made would not notice that it was', async t => {
  const observation: Observation = {
    id: 1,
    version: 7,
    paths: ['/3303/0/5700'],
    attributes: {},
    source: 'operator',
    state: 'wanted',
    reason: undefined,
    peer: undefined,
    token: undefined,
    since: wall,
  };
  const answer = { kind: 'response', options: Options.empty, payload: noBytes } as unknown as Response;
  for (const [code, lasts, state] of [
    [ResponseCode.Content, true, 'active'],
    [ResponseCode.Content, false, 'refused'],
    [ResponseCode.NotFound, false, 'refused'],
  ] as const) {
    let outcome: ObserveOutcome | undefined;
    const out = {
      now: { instant: 0 as Instant, wall },
      view: () => ({ value: () => undefined, valueCount: () => 0 }),
      newObservationToken: () => noBytes,
      ask: (_peer: Peer, _draft: unknown, asker: Asker) => {
        asker.response({ ...answer, code }, lasts);
        return 1;
      },
    } as unknown as DownlinkOut;
    const dossier = { root: '/', formats: [], types: Definitions.registry(), versionOf: () => undefined };
    askToObserve(
      {
        record: sampleRecord(1) as Registered,
        observation,
        peer: 1 as Peer,
        dossier: dossier as unknown as Dossier,
        rules,
      },
      out,
      made => {
        outcome = made;
      },
    );
    const commit = outcome?.kind === 'answered' ? outcome.commit : undefined;
    t.match(commit?.observations, [{ expected: 7, observation: { state, version: 8 } }]);
  }
});
