import t from 'tap';
import { cpuRatio, figures } from '../../tools/bench/figures.ts';

const runs = (...cpuMicros: number[]) =>
  cpuMicros.map(micros => figures(1, 1, [], 0, micros, 0, { rssBytes: 0, rssAnonBytes: 0 }));

t.test('a machine that gets slower meanwhile would change the ratio to a rival', async t => {
  t.same(cpuRatio(runs(100, 200, 400), runs(50, 100, 200)), { median: 2, min: 2, max: 2 });
});

t.test('one repetition that was disturbed would decide a ratio', async t => {
  t.same(cpuRatio(runs(100, 900, 110), runs(50, 50, 55)), { median: 2, min: 2, max: 18 });
});

t.test('a ratio to a server elsewhere, whose CPU nobody knows, would be infinite', async t => {
  t.equal(cpuRatio(runs(100, 100), runs(0, 0)), undefined);
});
