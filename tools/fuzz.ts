import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { OperatorError } from '../src/adapters/operatorError.ts';
import { fail, printTable } from '../src/cli/output.ts';
import { nameOf, readInput } from '../test/fuzz/corpus.ts';
import type { Target } from '../test/fuzz/target.ts';
import { targetNamed, targets } from '../test/fuzz/targets.ts';
import { failureOf } from './fuzz/fuzzer.ts';
import { Current, type Job, type Progress, type Report } from './fuzz/job.ts';
import { clearProgress, showProgress } from './progressLine.ts';

/** Looks for bytes that break something, in code that takes bytes from strangers, files or people. */
const program = new Command('fuzz')
  .description('Look for inputs for which an invariant does not hold, led by which code they reach')
  .option('--target <names>', 'these only, separated by commas; by default all: see --list', parseTargets)
  .option('--minutes <count>', 'for how long in all, in equal parts', parsePositive)
  .option('--executions <count>', 'how many of each target', parsePositive)
  .option('--seed <seed>', 'what decides the choices; by default one that nobody has tried', parseCount)
  .option('--jobs <count>', 'how many targets at a time', parseCount, 1)
  .option('--replay <file>', 'run one input of one target, and say what does not hold')
  .option('--grow', 'put what reached new code into test/fuzz/corpus, in place of what was found before', false)
  .option('--list', 'print the targets, and what must hold of each', false)
  .addHelpText(
    'after',
    `
Examples:
  npm run fuzz -- --minutes 10
  npm run fuzz -- --target coap-message,tlv --executions 1000000
  npm run fuzz -- --target tlv --replay fuzz-failures/tlv-0123456789ab

Without --minutes and --executions it runs for a minute. What fails is made small and written to ${folder()}.
Ctrl-C stops and prints what was done; with --grow, what the target at hand found is not written.

Exit code: 0 if everything held, 1 if something did not, 2 for wrong usage.
`,
  )
  .exitOverride()
  .action(main);

async function main(options: Options): Promise<void> {
  if (options.list) return printTable(targets.map(({ name, holds }) => [name, holds]));
  if (options.replay !== undefined) return replay(options.replay, options.target ?? targets);
  const chosen = options.target ?? targets;
  const isBounded = options.minutes !== undefined || options.executions !== undefined;
  const minutes = options.minutes ?? (isBounded ? Number.POSITIVE_INFINITY : 1);
  const seed = options.seed ?? Date.now() % 2 ** 31;
  const threads = Math.min(options.jobs, chosen.length);
  const job = {
    executions: options.executions ?? Number.POSITIVE_INFINITY,
    milliseconds: (minutes * 60_000 * threads) / chosen.length,
    grow: options.grow,
    seed,
    threads,
  };
  const all = new Map<string, Progress & { failures: number }>();
  const waiting = [...chosen];
  const thread = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await fuzz(next, job, all);
  };
  process.once('SIGINT', () => {
    waiting.length = 0;
    for (const stop of running) stop();
  });
  await Promise.all(Array.from({ length: threads }, thread));
  clearProgress();
  printTable(tableOf([...all.values()]));
  console.log(`seed ${seed}`);
}

/** One target, until its share is used up or something fails. */
function fuzz(
  { name }: Target,
  job: Omit<Job, 'target' | 'current'> & { readonly threads: number },
  all: Map<string, Progress & { failures: number }>,
): Promise<void> {
  const memory = Current.memory();
  const current = new Current(memory);
  const worker = new Worker(new URL('./fuzz/worker.js', import.meta.url), {
    workerData: { ...job, target: name, current: memory } satisfies Job,
    resourceLimits: { maxOldGenerationSizeMb: maxMegabytes },
  });
  const failed = (message: string, input: Uint8Array): void => {
    const before = all.get(name) ?? nothing(name, current.count);
    all.set(name, { ...before, failures: 1 });
    tellFailure(name, message, input);
  };
  let seen = 0;
  let since = process.cpuUsage();
  const watch = setInterval(() => {
    const { user, system } = process.cpuUsage(since);
    if (current.count === seen && seen > 0 && user + system > endlessAfter * job.threads) {
      clearInterval(watch);
      failed('does not end', current.input);
      void worker.terminate();
    } else if (current.count !== seen) since = process.cpuUsage();
    seen = current.count;
  }, 1000);
  worker.on('message', (report: Report) => {
    all.set(name, { ...report.progress, failures: 0 });
    if (report.kind === 'failure') failed(report.failure.message, report.failure.input);
    showProgress(line([...all.values()], report.progress));
  });
  worker.on('error', error => failed(`${error.name}: ${error.message}`, current.input));
  const stop = (): void => void worker.terminate();
  running.add(stop);
  return new Promise(resolve => {
    worker.on('exit', () => {
      running.delete(stop);
      clearInterval(watch);
      resolve();
    });
  });
}

function replay(file: string, chosen: readonly Target[]): void {
  const [target] = chosen;
  if (target === undefined || chosen.length > 1) {
    return program.error('error: --replay needs the --target it is for');
  }
  const failure = failureOf(target, given(file));
  console.log(failure ?? `${target.name}: everything held`);
  if (failure !== undefined) process.exitCode = 1;
}

function given(file: string): Uint8Array {
  try {
    return readInput(file);
  } catch (error) {
    throw new OperatorError((error as Error).message);
  }
}

function tellFailure(name: string, message: string, input: Uint8Array): void {
  mkdirSync(folder(), { recursive: true });
  const file = join(folder(), `${name}-${nameOf(input)}`);
  writeFileSync(file, input);
  clearProgress();
  console.log(`${name} failed: ${message}\n${input.length} bytes: npm run fuzz -- --target ${name} --replay ${file}\n`);
  process.exitCode = 1;
}

function tableOf(all: readonly (Progress & { failures: number })[]): string[][] {
  const total = all.reduce((sum, { executions }) => sum + executions, 0);
  const seconds = all.reduce((sum, one) => sum + one.seconds, 0);
  const failures = all.reduce((sum, one) => sum + one.failures, 0);
  return [
    ['target', 'executions', 'a second', 'corpus', 'functions', 'blocks not reached', 'failures'],
    ...all.map(({ target, executions, seconds, corpus, functions, unreached, failures }) => [
      target,
      ...[executions, executions / seconds, corpus, functions, unreached, failures].map(whole),
    ]),
    ['in all', ...[total, total / seconds].map(whole), '', '', '', whole(failures)],
  ];
}

function line(all: readonly Progress[], { target, executions, seconds, corpus, functions }: Progress): string {
  const total = all.reduce((sum, one) => sum + one.executions, 0);
  const rate = whole(executions / seconds);
  return `${whole(total)} executions; ${target}: ${rate} a second, corpus ${corpus}, ${functions} functions`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function nothing(target: string, executions: number): Progress {
  return { target, executions, seconds: 1, corpus: 0, functions: 0, unreached: 0 };
}

function parseTargets(text: string): readonly Target[] {
  return text.split(',').map(name => {
    const target = targetNamed(name);
    if (target === undefined)
      throw new InvalidArgumentError(`${name} is none of ${targets.map(one => one.name).join(', ')}`);
    return target;
  });
}

function parsePositive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError('expected a number above 0');
  return value;
}

function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return value;
}

function folder(): string {
  return 'fuzz-failures';
}

interface Options {
  readonly target?: readonly Target[];
  readonly minutes?: number;
  readonly executions?: number;
  readonly seed?: number;
  readonly jobs: number;
  readonly replay?: string;
  readonly grow: boolean;
  readonly list: boolean;
}

/** Ends each target that is at work. */
const running = new Set<() => void>();
/** In microseconds of CPU without a new input: on a machine that does something else, time alone says nothing. */
const endlessAfter = 30e6;
const maxMegabytes = 1024;

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) fail(error);
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
