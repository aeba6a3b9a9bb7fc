import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';

/**
 * The whole road over sockets against node-coap's handler, which parses nothing and stores nothing, in turns with it. The
 * median of the ratios was between 1.5 and 1.9 on a machine that did much else meanwhile. Rates and times depend on the
 * machine, and decide nothing here.
 */
const atMost = 3;

t.test('a durable registration costs no more than a few times what a handler costs that does nothing', async t => {
  const bench = fileURLToPath(new URL('../../tools/bench/main.js', import.meta.url));
  const size = ['--operations', '2000', '--repetitions', '3', '--warm-up', '2000', '--preloaded', '2000'];
  const { stdout } = await promisify(execFile)(process.execPath, [
    bench,
    'registration',
    ...size,
    '--compare',
    '--json',
  ]);
  const { cpuRatios, measurements } = JSON.parse(stdout);
  const { median } = cpuRatios['node-coap'];
  t.ok(median <= atMost, `${median} times as much, at most ${atMost}`);
  for (const { server, failed } of measurements) t.equal(failed, 0, `${server}: nothing failed`);
});
