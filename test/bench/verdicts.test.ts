import t from 'tap';
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
