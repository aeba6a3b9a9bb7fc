import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { OperatorError } from '../../../src/adapters/operatorError.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { assign, presets, readMix } from '../../../tools/simulate/mix.ts';

const folder = mkdtempSync(join(tmpdir(), 'rollcall-mix-'));
t.teardown(() => rmSync(folder, { recursive: true }));

function mix(text: string) {
  const file = join(folder, 'mix.yaml');
  writeFileSync(file, text);
  return readMix(file);
}

t.test('a group is like a preset, except where it says otherwise', async t => {
  t.same(mix('- { share: 3, like: sleepy, update: 7 }\n- { share: 1, loss: 0.2 }'), [
    { name: 'sleepy', share: 3, ...presets.sleepy, update: 7 },
    { name: 'group 2', share: 1, loss: 0.2 },
  ]);
  t.same(readMix('herd'), [{ name: 'herd', share: 1, ...presets.herd }]);
});

t.test('what is wrong in a mix file is said, with its place', async t => {
  for (const [text, message] of [
    ['- { share: 0 }', /\/0\/share must be > 0/],
    ['- { like: sleepy }', /\/0 must have required property 'share'/],
    ['- { share: 1, like: lazy }', /\/0\/like must be equal to one of the allowed values/],
    ['- { share: 1, loss: 1 }', /\/0\/loss must be <= 0.9/],
    ['- { share: 1, sleep: 1 }', /must NOT have additional properties/],
    ['[]', /must NOT have fewer than 1 items/],
    ['- { share: ', /line 1/],
  ] as const) {
    t.throws(() => mix(text), { message }, text);
  }
  t.throws(() => readMix(join(folder, 'nowhere')), OperatorError);
});

t.test('devices are given to groups in proportion, and the same seed gives the same', async t => {
  const groups = [
    { name: 'a', share: 70 },
    { name: 'b', share: 20 },
    { name: 'c', share: 10 },
  ];
  const once = () => {
    const random = new SeededRandom(5);
    return assign(groups, 1000, bound => random.below(bound));
  };
  const counts = [0, 0, 0];
  for (const group of once()) counts[group]!++;
  t.same(counts, [700, 200, 100]);
  t.same(once(), once());
  t.not(
    once()
      .slice(0, 700)
      .every(group => group === 0),
    true,
    'mixed',
  );
});
