import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { fail } from '../src/cli/output.ts';
import { faults, live, replayCommand, type SwarmOptions } from '../test/sim/swarm.ts';
import { clearProgress, showProgress } from './progressLine.ts';

/** Worlds of the swarm on all cores, for a while or as many as wanted; what fails is made smaller and printed. */
new Command('seeds')
  .description('Run simulated worlds until an invariant breaks')
  .option('--minutes <count>', 'for how long', parsePositive, 1)
  .option('--count <count>', 'how many worlds, however long they take', parsePositive)
  .option('--from <seed>', 'the first seed; by default one that nobody has run', parsePositive)
  .option('--seed <seed>', 'run this one world, and print what went wrong', parsePositive)
  .option('--devices <count>', 'so many devices instead of what the seed says', parsePositive)
  .option('--length <minutes>', 'so many simulated minutes instead', parsePositive)
  .option('--without <faults>', `leave faults out, of ${faults.join(', ')}`)
  .option('--no-shrink', 'do not make a failing world smaller')
  .option('--jobs <count>', 'how many processes', parsePositive, availableParallelism())
  .addHelpText(
    'after',
    `
Examples:
  npm run seeds -- --minutes 10
  npm run seeds -- --seed 77 --without loss,crash --devices 3

Ctrl-C lets the worlds that run come to their end and says how many there were; a second one ends at once.

Exit code: 0 if every invariant held in every world, 1 if one did not.
`,
  )
  .action((options: Options) => main(options).catch(fail))
  .parse();

async function main(options: Options): Promise<void> {
  if (process.send !== undefined) return work();
  if (options.seed !== undefined) return replay(options as Options & { seed: number });
  await swarm(options);
}

function replay({ seed, devices, length, without }: Options & { seed: number }): void {
  try {
    const { journal } = live(worldOf({ seed, devices, length, without }));
    console.log(`seed ${seed}: every invariant held, digest ${journal.digest}`);
  } catch (error) {
    console.log((error as Error).message);
    process.exitCode = 1;
  }
}

function worldOf({ seed, devices, length, without }: Partial<Options> & { readonly seed: number }): SwarmOptions {
  return { seed, devices, minutes: length, without: without?.split(',') };
}

async function swarm(options: Options): Promise<void> {
  const { count = Number.POSITIVE_INFINITY, jobs } = options;
  const end = performance.now() + (options.count === undefined ? options.minutes * 60_000 : Number.POSITIVE_INFINITY);
  const first = options.from ?? (Date.now() % 2 ** 31) + 1000;
  const totals = { worlds: 0, deviceHours: 0, cpuSeconds: 0, events: 0 };
  let next = first;
  /** Those that are being lived through. */
  const seeds = new Set<number>();
  let failed: number | undefined;
  let stopped = false;
  const stop = (): void => {
    stopped = true;
  };
  process.once('SIGINT', stop);
  await Promise.all(
    Array.from({ length: Math.min(jobs, count) }, () => {
      const worker = fork(fileURLToPath(import.meta.url), [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      const another = (): void => {
        const over = stopped || failed !== undefined || performance.now() >= end || next >= first + count;
        if (over) return worker.disconnect();
        seeds.add(next);
        worker.send(worldOf({ ...options, seed: next++ }));
      };
      worker.on('message', (result: Result) => {
        seeds.delete(result.seed);
        totals.worlds++;
        totals.deviceHours += result.deviceHours;
        totals.cpuSeconds += result.cpuSeconds;
        totals.events += result.events;
        if (!result.held) {
          failed = Math.min(failed ?? result.seed, result.seed);
          clearProgress();
          console.log(`seed ${result.seed} broke an invariant`);
        }
        another();
        showProgress(
          `${totals.worlds} worlds, ${Math.round(totals.deviceHours)} device-hours, now ${[...seeds].join(' and ')}`,
        );
      });
      another();
      return new Promise<void>((resolve, reject) => {
        worker.on('exit', code => {
          if (code === 0) return resolve();
          reject(new Error(`a process ended with ${code}, in the world of seed ${[...seeds].join(' or ')}`));
        });
      });
    }),
  );
  // Making a world smaller may be ended at any time.
  process.off('SIGINT', stop);
  clearProgress();
  const { worlds, deviceHours, cpuSeconds, events } = totals;
  console.log(
    `${worlds} worlds from seed ${first} on: ${Math.round(deviceHours)} device-hours and ${events} events in ` +
      `${Math.round(cpuSeconds)} s of CPU, ${Math.round((deviceHours / cpuSeconds) * 3600)} device-hours an hour`,
  );
  if (failed === undefined) return console.log('every invariant held in all of them');
  process.exitCode = 1;
  const found = worldOf({ ...options, seed: failed });
  if (options.shrink) console.log(`making seed ${failed} smaller`);
  console.log(violationOf(options.shrink ? shrink(found) : found));
}

/** The process that lives through worlds: a seed in, a result out, until nobody sends one. */
function work(): void {
  // From a terminal it comes to all processes: whoever sends the seeds stops sending them. The second one goes to all too.
  process.once('SIGINT', () => undefined);
  process.on('message', (world: SwarmOptions) => {
    const before = process.cpuUsage();
    let result = { held: false, deviceHours: 0, events: 0 };
    try {
      const { deviceHours, events } = live(world);
      result = { held: true, deviceHours, events };
    } catch {
      // The one who sent the seed runs it again, smaller.
    }
    const { user, system } = process.cpuUsage(before);
    process.send!({ seed: world.seed, ...result, cpuSeconds: (user + system) / 1e6 } satisfies Result);
  });
}

/** Faults off one by one, then half of the devices and half of the time, as long as it still breaks. */
function shrink(found: SwarmOptions): SwarmOptions {
  let smallest = found;
  const accept = (candidate: SwarmOptions): boolean => {
    showProgress(replayCommand(candidate));
    if (violationOf(candidate) === undefined) return false;
    smallest = candidate;
    return true;
  };
  for (const fault of faults) accept({ ...smallest, without: [...(smallest.without ?? []), fault] });
  for (let devices = 32; devices >= 1; devices >>= 1) accept({ ...smallest, devices });
  for (let minutes = 512; minutes >= 1; minutes >>= 1) accept({ ...smallest, minutes });
  for (const fault of faults) {
    if (!smallest.without?.includes(fault)) accept({ ...smallest, without: [...(smallest.without ?? []), fault] });
  }
  clearProgress();
  return smallest;
}

function violationOf(world: SwarmOptions): string | undefined {
  try {
    live(world);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function parsePositive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return value;
}

interface Options {
  readonly minutes: number;
  readonly count?: number;
  readonly from?: number;
  readonly seed?: number;
  readonly devices?: number | undefined;
  readonly length?: number | undefined;
  readonly without?: string | undefined;
  readonly shrink: boolean;
  readonly jobs: number;
}

interface Result {
  readonly seed: number;
  readonly held: boolean;
  readonly deviceHours: number;
  readonly events: number;
  readonly cpuSeconds: number;
}
