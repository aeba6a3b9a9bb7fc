import t from 'tap';
import { noBytes } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import { codeText, Method, ResponseCode } from '../../../src/coap/codec/code.ts';
import { reply } from '../../../src/coap/codec/message.ts';
import type { Exchange } from '../../../src/coap/exchange.ts';
import { emptyCommit } from '../../../src/fleet/store.ts';
import type { DatapathParts } from '../../../src/server/datapathParts.ts';
import { Decisions, type DecisionsOut, maxWaiting, unlimited } from '../../../src/server/decisions.ts';
import { firstPlainPeer } from '../../../src/server/plainPeers.ts';
import { Share } from '../../../src/server/share.ts';
import { Turn } from '../../../src/server/turn.ts';
import type { Work } from '../../../src/server/work.ts';

const exchange: Exchange = {
  peer: 1 as Peer,
  messageId: 1,
  confirmable: true,
  code: Method.DELETE,
  token: noBytes,
  block1: undefined,
  block2: undefined,
  acknowledged: false,
};

const now: Now = { instant: 0 as Instant, wall: 0 as WallTime };

/** Of a server that has nothing else, at a moment that does not pass. */
function decisionsWith(parts: DatapathParts): Decisions {
  const turn = new Turn(
    () => now,
    () => undefined,
  );
  return new Decisions(parts, turn, new Share(() => now.instant), {} as DecisionsOut);
}

t.test('removals that come again and again while the disk is slow would wait in a queue without end', async t => {
  const answers: string[] = [];
  const settled: (() => void)[] = [];
  let isPending = true;
  let crowded = 0;
  const parts = {
    store: {
      view: () => ({ restsOnPending: isPending }),
      commit: (_: unknown, done: () => void) => settled.push(done),
    },
    coap: { respond: (_now: Now, _exchange: Exchange, { code }: { code: number }) => answers.push(codeText(code)) },
    report: { answered: () => undefined, crowded: () => crowded++ },
    service: { unobserved: () => undefined },
  } as unknown as DatapathParts;
  const decisions = decisionsWith(parts);
  const work = (): Work => ({
    exchange,
    context: { principal: { kind: 'anonymous' } } as Work['context'],
    decide: () => ({ kind: 'reply', reply: reply(ResponseCode.NotFound) }),
    limit: unlimited,
    searching: false,
    attempts: 0,
  });
  for (let n = 0; n < maxWaiting + 100; n++) decisions.decide(work());
  t.equal(settled.length, maxWaiting);
  t.strictSame(
    answers,
    Array.from({ length: 100 }, () => '5.03'),
    'those who find no room hear so at once',
  );
  t.equal(crowded, 100);
  isPending = false;
  for (const done of settled.splice(0)) done();
  t.equal(answers.filter(code => code === '4.04').length, maxWaiting, 'those who waited are answered');
  isPending = true;
  decisions.decide(work());
  t.equal(settled.length, 1, 'and there is room again');
});

t.test('whoever is put off with 5.03 would be told nevertheless of what he asked to observe', async t => {
  const settled: (() => void)[] = [];
  const unobserved: Exchange[] = [];
  const parts = {
    store: { view: () => ({ restsOnPending: true }), commit: (_: unknown, done: () => void) => settled.push(done) },
    coap: { respond: () => undefined },
    report: { answered: () => undefined, unavailable: () => undefined },
    service: { unobserved: (one: Exchange) => unobserved.push(one) },
  } as unknown as DatapathParts;
  const decisions = decisionsWith(parts);
  decisions.decide({
    exchange,
    context: { principal: { kind: 'anonymous' } } as Work['context'],
    decide: () => ({ kind: 'reply', reply: reply(ResponseCode.Content) }),
    limit: unlimited,
    searching: false,
    attempts: 0,
  });
  while (settled.length > 0) settled.shift()!();
  t.strictSame(unobserved, [exchange], 'what it rests on changed again and again');
});

t.test('whoever asks and leaves before it is his turn would be counted among those who observe for ever', t => {
  for (const peer of [1, firstPlainPeer] as Peer[]) {
    let isThere = true;
    const parts = {
      store: { view: () => ({ restsOnPending: false }) },
      coap: { acknowledge: () => undefined },
      dtls: { session: () => (isThere && peer === 1 ? {} : undefined) },
      plain: { remote: () => (isThere && peer !== 1 ? {} : undefined) },
    } as unknown as DatapathParts;
    const decisions = decisionsWith(parts);
    let turns = 0;
    const decide: Work['decide'] = () => {
      turns++;
      return { kind: 'unfinished', goOn: decide };
    };
    decisions.decide({
      exchange: { ...exchange, peer, code: Method.GET },
      context: { addressProved: true, principal: { kind: 'anonymous' } } as Work['context'],
      decide,
      limit: unlimited,
      searching: false,
      attempts: 0,
    });
    decisions.goOn();
    t.equal(turns, 2);
    isThere = false;
    decisions.goOn();
    t.equal(turns, 2, 'its question is not looked into any more');
    t.equal(decisions.nextTurn(), undefined, 'nor does it wait');
  }
  t.end();
});

t.test('a removal that is decided again would end what the device was told on its next session', async t => {
  const settled: ((result: 'conflict') => void)[] = [];
  let isThere = true;
  let last: { association: Peer } | undefined = { association: 1 as Peer };
  const parts = {
    store: {
      view: () => ({ restsOnPending: false, device: () => ({ lastExchange: last }) }),
      commit: (_: unknown, done: (result: 'conflict') => void) => settled.push(done),
    },
    dtls: { session: () => (isThere ? {} : undefined) },
  } as unknown as DatapathParts;
  const decisions = decisionsWith(parts);
  let decided = 0;
  decisions.decide({
    exchange,
    context: { principal: { kind: 'psk', row: 1, credential: 1 } } as Work['context'],
    decide: () => {
      decided++;
      return { kind: 'commit', commit: emptyCommit, reply: reply(ResponseCode.Deleted) };
    },
    limit: unlimited,
    searching: false,
    attempts: 0,
  });
  settled.shift()!('conflict');
  t.equal(decided, 2, 'somebody else changed the record');
  isThere = false;
  settled.shift()!('conflict');
  t.equal(decided, 3, 'who leaves at once after his removal has left');
  last = undefined;
  settled.shift()!('conflict');
  t.equal(decided, 4, 'nor has anybody spoken for him on another session');
  last = { association: 2 as Peer };
  settled.shift()!('conflict');
  t.equal(decided, 4, 'who has come back since then has not');
});

t.test('what is kept of a peer would be kept for ever if it left before its change was durable', async t => {
  const settled: ((result: 'durable') => void)[] = [];
  const changedBy: (Peer | undefined)[] = [];
  let isThere = true;
  const parts = {
    store: {
      view: () => ({ restsOnPending: false }),
      commit: (_: unknown, done: (result: 'durable') => void) => settled.push(done),
    },
    coap: { respond: () => undefined },
    plain: { remote: () => (isThere ? {} : undefined) },
    report: { answered: () => undefined, committed: () => undefined },
    service: {
      committed: () => undefined,
      devices: { changed: (_: unknown, by: Peer | undefined) => changedBy.push(by), reported: () => undefined },
    },
  } as unknown as DatapathParts;
  const decisions = decisionsWith(parts);
  const register = () =>
    decisions.decide({
      exchange: { ...exchange, peer: firstPlainPeer as Peer, code: Method.POST },
      context: { principal: { kind: 'anonymous' } } as Work['context'],
      decide: () => ({ kind: 'commit', commit: emptyCommit, reply: reply(ResponseCode.Created) }),
      limit: unlimited,
      searching: false,
      attempts: 0,
    });
  register();
  settled.shift()!('durable');
  register();
  isThere = false;
  settled.shift()!('durable');
  t.strictSame(changedBy, [firstPlainPeer, undefined]);
});
