import t from 'tap';
import { type Bytes, utf8 } from '../../../src/base/bytes.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { Coverage } from '../../../tools/fuzz/coverage.ts';
import { Fuzzer, failureOf } from '../../../tools/fuzz/fuzzer.ts';
import { shrink } from '../../../tools/fuzz/shrink.ts';
import type { Target } from '../../fuzz/target.ts';
import { runTool } from '../../support/tool.ts';

/** Four bytes in the right order: by chance alone it would take billions of executions. */
const planted: Target = {
  name: 'planted',
  holds: 'nothing says FUZZ',
  seeds: [],
  check: bytes => {
    if (bytes[0] !== 0x46) return;
    if (bytes[1] !== 0x55) return;
    if (bytes[2] !== 0x5a) return;
    if (bytes[3] === 0x5a) throw new Error('it says FUZZ');
  },
};

t.test('what reaches new code is kept, and so a fault behind four conditions is found and made small', async t => {
  const coverage = new Coverage(url => url.endsWith('/fuzz.test.js'));
  t.teardown(() => coverage.end());
  const fuzzer = new Fuzzer(planted, new SeededRandom(1), coverage);
  t.equal(fuzzer.begin([utf8('hello')]), undefined);
  let failure: ReturnType<Fuzzer['run']>;
  while (failure === undefined && fuzzer.executions < 400_000) failure = fuzzer.run(1000);
  t.match(failure?.message, /^Error: it says FUZZ\n/);
  t.same(failure?.input, utf8('FUZZ'));
  t.ok(
    fuzzer.corpus.some(input => input[0] === 0x46 && input[1] === 0x55),
    'by way of those that said the half',
  );
  t.ok(coverage.totals.functions > 0);
});

t.test('a smaller input is one that fails in the same way', async t => {
  const has = (input: Bytes, ...bytes: number[]) => bytes.every(byte => input.includes(byte));
  const small = shrink(
    new Uint8Array(300).map((_, i) => i & 0xff),
    input => has(input, 7, 9),
  );
  t.same(small, Uint8Array.of(7, 9));
});

t.test('a check that takes long for a short input is a failure', async t => {
  const slow: Target = {
    ...planted,
    check: () => {
      // Of the processor, whatever else the machine does.
      for (const begin = process.cpuUsage(); process.cpuUsage(begin).user < 600_000; );
    },
  };
  t.match(failureOf(slow, utf8('x')), /^TooSlow: \d+ ms for 1 bytes$/);
});

t.test('the tool says what it did, and refuses what it does not know', async t => {
  const good = await runTool('fuzz', '--target', 'tlv,coap-message', '--executions', '200', '--seed', '1');
  t.match(good, { code: 0, stdout: /in all +[\d,]+ .* 0\nseed 1\n$/ });
  t.match(await runTool('fuzz', '--replay', 'package.json'), { code: 2, stderr: /needs the --target/ });
  const replayed = await runTool('fuzz', '--target', 'tlv', '--replay', 'package.json');
  t.match(replayed, { code: 0, stdout: /^tlv: everything held/ });
});
