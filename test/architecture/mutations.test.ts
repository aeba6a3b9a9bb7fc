import { readFileSync } from 'node:fs';
import t from 'tap';
import { fuzzMutations } from '../fuzz/mutations.ts';
import { mutations, type Replacement, testedMutations } from '../sim/mutations.ts';

t.test('a guard that was written anew could not be taken away any more, and nobody would notice', async t => {
  for (const mutation of [...mutations, ...testedMutations, ...fuzzMutations]) {
    for (const { file, find } of [mutation, ...(mutation.also ?? [])] satisfies readonly Replacement[]) {
      const code = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8');
      t.equal(code.split(find).length, 2, `${mutation.guard}: ${file} has it once`);
    }
  }
});
