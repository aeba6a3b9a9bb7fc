import t from 'tap';
import { herdVerdict } from '../../tools/bench/herd.ts';
import { soakVerdict } from '../../tools/bench/soak.ts';

const parts = (each: number, ...megabytes: number[]) =>
  megabytes.map((rssAnonBytes, i) => ({
    requests: each * (i + 1),
    afterSeconds: i,
    perSecond: 1,
    rssAnonBytes,
    rssBytes: 0,
  }));

t.test('a soak whose memory grew would pass', async t => {
  t.match(soakVerdict(parts(1e6, 80, 100, 102, 106), 0).fault, /grew by 6 %.*more than 5 %/);
  const { fault, figures } = soakVerdict(parts(1e6, 80, 100, 120, 105), 0);
  t.equal(fault, undefined);
  t.match(figures.verdict, /grew by 5 %.*flat/);
});

t.test('a soak whose requests failed would pass', async t => {
  t.match(soakVerdict(parts(1e6, 80, 100, 100), 3).fault, /3 requests failed/);
});

t.test('a soak that is too short to fill what is bounded would give a verdict', async t => {
  t.match(soakVerdict(parts(1e4, 80, 100, 100), 0).fault, /says nothing yet/);
});

const storm = (arrivedPerSecond: number, servedPerSecond: number) => ({
  latencies: [1],
  failed: 0,
  arrivedPerSecond,
  servedPerSecond,
  lastSeconds: 1,
  loadCpuShare: 0,
});

t.test('a herd under which goodput collapses would pass', async t => {
  t.match(herdVerdict({ before: 1000, after: 1000 }, storm(4000, 790), 1).fault, /79 %.*less than 80 %/);
  const { fault, figures } = herdVerdict({ before: 1000, after: 1100 }, storm(4000, 900), 1);
  t.equal(fault, undefined);
  t.match(figures.verdict, /86 %.*3.81 times/);
});

t.test('a herd that is no larger than what can be served would pass', async t => {
  t.match(herdVerdict({ before: 1000, after: 1000 }, storm(4000, 3000), 1).fault, /no verdict: only 1.33 times/);
  t.match(herdVerdict({ before: 1000, after: 1000 }, storm(2000, 900), 1).fault, /no verdict: only 2 times/);
});

t.test('a load that is itself too slow would decide about a herd', async t => {
  t.match(herdVerdict({ before: 1000, after: 1000 }, storm(4000, 700), 0.5).fault, /no verdict.*0.5 of its time/);
});

t.test('a machine that became slower meanwhile would decide about a herd', async t => {
  t.match(herdVerdict({ before: 1000, after: 600 }, storm(4000, 700), 1).fault, /no verdict.*1000.*600/);
});
