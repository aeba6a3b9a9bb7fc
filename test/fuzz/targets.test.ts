import t from 'tap';
import { SeededRandom } from '../../src/base/random.ts';
import { failureOf } from '../../tools/fuzz/fuzzer.ts';
import { Mutation } from '../../tools/fuzz/mutation.ts';
import { corpusOf } from './corpus.ts';
import { defaultMaxLength } from './target.ts';
import { targets } from './targets.ts';

// What a fuzzer once found, captured or kept stays right; and a little of what it would try next, the same in each run.
// `npm run fuzz` tries the rest.

/** Of each target, fewer where they take longer. */
const executions = 3000;

for (const target of targets) {
  t.test(`${target.name}: ${target.holds}`, async t => {
    const corpus = corpusOf(target);
    for (const input of corpus) t.equal(failureOf(target, input), undefined);
    const random = new SeededRandom(1);
    const mutation = new Mutation(random.fork(), target.words ?? [], target.maxLength ?? defaultMaxLength);
    const chosen = () => corpus[random.below(corpus.length)]!;
    for (let n = 0; n < executions / (target.weight ?? 1); n++) {
      const input = mutation.of(chosen(), chosen());
      const failure = failureOf(target, input);
      if (failure !== undefined) t.fail(`${failure}\n${Buffer.from(input).toString('hex')}`);
    }
  });
}

t.test('each target has a name of its own, which is that of its folder', async t => {
  t.equal(new Set(targets.map(({ name }) => name)).size, targets.length);
  for (const { name } of targets) t.match(name, /^[a-z0-9-]+$/);
});
