import t from 'tap';
import type { Peer } from '../../../src/base/peer.ts';
import type { Instant, Now } from '../../../src/base/time.ts';
import { type CommandId, newCommand } from '../../../src/fleet/command.ts';
import type { Row } from '../../../src/fleet/names.ts';
import { type Commit, emptyCommit } from '../../../src/fleet/store.ts';
import type { Dossiers } from '../../../src/service/dossier.ts';
import { Downlink, linesInTurn } from '../../../src/service/downlink.ts';
import type { DownlinkOut } from '../../../src/service/downlinkOut.ts';
import { rules, sampleRecord, wall } from '../../support/records.ts';

t.test('devices that fall asleep at the same moment would have the loop do nothing else until all of them do', t => {
  let now: Now = { instant: 0 as Instant, wall };
  const commits: Commit[] = [];
  const view = {
    device: (row: Row) => sampleRecord(row, { queueMode: true }),
    observations: () => [{ id: 1, state: 'wanted' }],
    commands: () => [],
    desired: () => [],
  };
  const out = {
    get now() {
      return now;
    },
    view: () => view,
    commit: (commit: Commit) => commits.push(commit),
    reach: () => undefined,
  } as unknown as DownlinkOut;
  const dossiers = { of: () => ({ allocation: { queue: { awake: 90 } } }) } as unknown as Dossiers;
  const downlink = new Downlink(rules, dossiers, () => undefined);
  for (let row = 1; row <= 1000; row++) downlink.restore(row as Row, out);
  now = { instant: 100_000 as Instant, wall: (wall + 100_000) as typeof wall };
  downlink.expire(out);
  t.equal(commits.length, linesInTurn);
  t.ok(downlink.nextExpiry()! <= now.instant, 'the next turn goes on at once');
  for (let turn = 1; turn < Math.ceil(1000 / linesInTurn); turn++) downlink.expire(out);
  t.equal(commits.length, 1000, 'each of them is told to be asleep');
  t.end();
});

t.test('a device that sleeps would count as awake when the clock was set back, and what is sent is lost', t => {
  const now: Now = { instant: 1_000_000 as Instant, wall };
  const states: string[] = [];
  const asked: unknown[] = [];
  const out = {
    now,
    view: () => ({
      device: (row: Row) => sampleRecord(row, { queueMode: true, lastContact: (wall + 3_600_000) as typeof wall }),
      observations: () => [],
      commands: () => [
        newCommand(1 as CommandId, { kind: 'execute', paths: ['/3/0/4'] }, wall, { patience: 86_400_000 }),
      ],
      desired: () => [],
    }),
    commit: ({ commands = [] }: Commit) => states.push(...commands.map(({ command }) => command!.state)),
    ask: () => asked.push(1),
    reach: () => 7,
    isThere: () => true,
  } as unknown as DownlinkOut;
  const dossiers = { of: () => ({ allocation: { queue: { awake: 90 } } }) } as unknown as Dossiers;
  const downlink = new Downlink(rules, dossiers, () => undefined);
  downlink.look(1 as Row, out);
  t.strictSame(states, [], 'nobody knows when it was heard');
  downlink.heard(1 as Row, 7 as Peer, out);
  t.strictSame(states, ['sent'], 'it is awake when it speaks');
  t.end();
});

t.test(
  'a device that registers anew in queue mode would count as awake for ever, while something is wanted of it',
  t => {
    let now: Now = { instant: 1_000_000 as Instant, wall };
    let queueMode = false;
    const states: string[] = [];
    const out = {
      get now() {
        return now;
      },
      view: () => ({
        device: (row: Row) => sampleRecord(row, { queueMode }),
        observations: () => [],
        commands: () => [newCommand(1 as CommandId, { kind: 'execute', paths: ['/3/0/4'] }, wall)],
        desired: () => [],
      }),
      commit: ({ commands = [] }: Commit) => states.push(...commands.map(({ command }) => command!.state)),
      reach: () => (now.instant > 1_000_000 ? 7 : undefined),
      isThere: () => true,
    } as unknown as DownlinkOut;
    const dossiers = { of: () => ({ allocation: { queue: { awake: 90 } } }) } as unknown as Dossiers;
    const downlink = new Downlink(rules, dossiers, () => undefined);
    downlink.look(1 as Row, out);
    queueMode = true;
    downlink.changed(sampleRecord(1, { queueMode }), emptyCommit, undefined, out);
    now = { instant: 1_200_000 as Instant, wall: (wall + 200_000) as typeof wall };
    downlink.look(1 as Row, out);
    t.strictSame(states, [], 'it sleeps');
    downlink.heard(1 as Row, 7 as Peer, out);
    t.strictSame(states, ['sent']);
    t.end();
  },
);
