import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { fail } from '../src/cli/output.ts';
import { type FuzzMutation, fuzzMutations } from '../test/fuzz/mutations.ts';
import {
  type Mutation,
  mutations,
  type Replacement,
  type TestedMutation,
  testedMutations,
} from '../test/sim/mutations.ts';

/** Breaks one guard of the server after the other, in a copy, and looks whether a simulated world, a fuzz target or a test notices. */
new Command('mutations')
  .description('Check that the simulated world, the fuzz targets and tests notice what they are there to notice')
  .argument('[guards...]', 'only guards whose description contains one of these words')
  .action((words: string[]) => main(words).catch(fail))
  .parse();

async function main(words: readonly string[]): Promise<void> {
  const all: readonly AnyMutation[] = [...mutations, ...testedMutations, ...fuzzMutations];
  const chosen = all.filter(({ guard }) => words.length === 0 || words.some(word => guard.includes(word)));
  let missed = 0;
  console.log('| without this guard | found by | as |\n|---|---|---|');
  for (const mutation of chosen) {
    const found = await tried(mutation);
    if (found === undefined) missed++;
    console.log(`| ${mutation.guard} | ${found?.by ?? ''} | ${found?.as ?? '**not found**'} |`);
  }
  if (missed > 0) process.exitCode = 1;
}

async function tried(mutation: AnyMutation): Promise<Found | undefined> {
  const { also = [], nondeterministic, target, test } = mutation;
  const copy = await mkdtemp(join(tmpdir(), 'rollcall-mutation-'));
  try {
    await cp(join(root, 'dist'), join(copy, 'dist'), { recursive: true });
    for (const name of ['node_modules', 'schemas', 'package.json', 'test'])
      await symlink(join(root, name), join(copy, name));
    for (const replacement of [mutation, ...also]) await replace(copy, replacement);
    if (test !== undefined) return await tested(copy, test);
    if (target !== undefined) return await fuzzed(copy, target);
    if (nondeterministic === true) {
      const digests = await Promise.all(
        [1, 2].map(() => seeds(copy, '--seed', '2', '--devices', '3', '--length', '20')),
      );
      return digests[0] === digests[1] ? undefined : { by: 'seed 2, twice', as: 'invariant 11' };
    }
    const printed = await seeds(copy, '--from', '1', '--count', '200', '--devices', '4', '--length', '120');
    const what = /^invariant \d+: .*$/m.exec(printed)?.[0];
    const seed = /--seed (\d+)/.exec(printed)?.[1];
    return what === undefined ? undefined : { by: `seed ${seed}`, as: what.replaceAll(/\s+/g, ' ').slice(0, 90) };
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

async function replace(copy: string, { file, find, put }: Replacement): Promise<void> {
  const path = join(copy, 'dist/src', file);
  const code = await readFile(path, 'utf8');
  if (code.split(find).length !== 2) throw new Error(`${file} does not have exactly one: ${find}`);
  await writeFile(
    path,
    code.replace(find, () => put),
  );
}

async function tested(copy: string, test: string): Promise<Found | undefined> {
  const printed = await node(copy, `dist/test/${test}.test.js`);
  const what = /^not ok \d+ - (.*?)(?: # .*)?$/m.exec(printed)?.[1];
  return what === undefined ? undefined : { by: `\`${test}\``, as: what };
}

async function fuzzed(copy: string, target: string): Promise<Found | undefined> {
  const printed = await run(copy, 'fuzz', '--target', target, '--executions', '20000', '--seed', '7');
  const what = /^\S+ failed: \w+: (.*)$/m.exec(printed)?.[1];
  const count = new RegExp(`^${target} {2,}([\\d,]+)`, 'm').exec(printed)?.[1];
  return what === undefined ? undefined : { by: `\`${target}\`, ${count} executions`, as: what.slice(0, 90) };
}

function seeds(copy: string, ...flags: string[]): Promise<string> {
  return run(copy, 'seeds', ...flags, '--no-shrink');
}

function run(copy: string, tool: string, ...flags: string[]): Promise<string> {
  return node(copy, `dist/tools/${tool}.js`, ...flags);
}

function node(copy: string, file: string, ...flags: string[]): Promise<string> {
  const args = [join(copy, file), ...flags];
  return new Promise(resolve => {
    const options = { cwd: copy, maxBuffer: 1 << 24 };
    execFile(process.execPath, args, options, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

type AnyMutation = Mutation & Partial<FuzzMutation & TestedMutation>;

interface Found {
  readonly by: string;
  readonly as: string;
}

const root = fileURLToPath(new URL('../../', import.meta.url));
