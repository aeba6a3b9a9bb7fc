import { progressBar } from '../../src/cli/progress.ts';
import type { SocketKind } from '../load/deviceSocket.ts';
import { type Figures, figures, type Measurement, machine, medians } from './figures.ts';
import type { MeasuredProcess } from './measured.ts';
import { startOurs } from './ourServer.ts';
import type { Rival } from './rivals.ts';
import { type PreparedScenario, type Setting, scenarios, type Transport } from './scenarios.ts';
import { inFreshDirectory, preloadWithProgress } from './study.ts';

export interface RunOptions {
  readonly operations: number;
  readonly warmUp: number;
  readonly repetitions: number;
  readonly inFlight: number;
  readonly preloaded: number;
  readonly peers: number;
  /** Of the devices that take turns. */
  readonly sockets: SocketKind;
}

/** A scenario against one server, which is there during `use`. */
export interface Subject {
  readonly server: string;
  readonly scenario: string;
  readonly transport: Transport;
  readonly options: RunOptions;
  use<Result>(work: (server: Opened) => Promise<Result>): Promise<Result>;
}

interface Opened extends Pick<Setting, 'target' | 'data' | 'sharedKey'> {
  /** `undefined` where it runs elsewhere. */
  readonly process: MeasuredProcess | undefined;
}

export interface Measured {
  readonly measurement: Measurement;
  /** Each repetition. Those of the same number were measured one right after the other. */
  readonly runs: readonly Figures[];
}

/** Our own server, on a store of its own that already holds other devices. */
export function ours(scenario: string, transport: Transport, options: RunOptions): Subject {
  return {
    server: 'rollcall',
    scenario,
    transport,
    options,
    use: work =>
      inFreshDirectory(async data => {
        const secure = transport === 'coaps';
        if (options.preloaded > 0) await preloadWithProgress(data, options.preloaded, secure ? 'credentials' : 'plain');
        const process = await startOurs(data);
        const target = secure ? process.coaps : process.coap;
        return work({ target, data, sharedKey: undefined, process }).finally(() => process.stop());
      }),
  };
}

/** The same load against somebody else's server. */
export function theirs(rival: Rival, scenario: string, transport: Transport, asked: RunOptions): Subject {
  return {
    server: rival.name,
    scenario,
    transport,
    options: { ...asked, ...within(asked, rival.most), preloaded: 0 },
    async use(work) {
      const server = await rival.start(transport);
      const { target, key, process } = server;
      return work({ target, data: undefined, sharedKey: key, process }).finally(() => server.stop());
    },
  };
}

/**
 * All servers are there and warm before the first is measured. Then they take turns, a repetition each, so that what the
 * machine does meanwhile happens to all of them, and repetitions of the same number may be compared.
 */
export function measureInTurns(subjects: readonly Subject[]): Promise<Measured[]> {
  return whilePrepared(subjects, async prepared => {
    const repetitions = Math.max(...subjects.map(({ options }) => options.repetitions));
    const total = prepared.reduce((sum, { options }) => sum + options.operations * repetitions, 0);
    const bar = progressBar(subjects[0]!.scenario, total);
    const runs: Figures[][] = subjects.map(() => []);
    let done = 0;
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const [index, subject] of prepared.entries()) {
        runs[index]!.push(await repeat(subject, count => bar.at(done + count, subject.server)));
        done += subject.options.operations;
      }
    }
    bar.end();
    return subjects.map((subject, index) => ({ measurement: describe(subject, runs[index]!), runs: runs[index]! }));
  });
}

function within(asked: RunOptions, most: Rival['most']): Partial<RunOptions> {
  if (most === undefined) return {};
  const operations = Math.min(asked.operations, most.operations);
  return { operations, warmUp: Math.min(asked.warmUp, operations), inFlight: Math.min(asked.inFlight, most.inFlight) };
}

async function whilePrepared<Result>(
  subjects: readonly Subject[],
  work: (prepared: readonly Prepared[]) => Promise<Result>,
  before: readonly Prepared[] = [],
): Promise<Result> {
  const [subject, ...others] = subjects;
  if (subject === undefined) return work(before);
  return subject.use(async opened => {
    const prepared = await prepare(subject, opened);
    return whilePrepared(others, work, [...before, prepared]).finally(() => prepared.scenario.end());
  });
}

async function prepare(subject: Subject, { target, data, sharedKey, process }: Opened): Promise<Prepared> {
  const { operations, warmUp, repetitions, inFlight, peers, sockets } = subject.options;
  const progress: Prepared['progress'] = { at: () => undefined };
  const scenario = await scenarios[subject.scenario]!.prepare({
    target,
    data,
    sharedKey,
    secure: subject.transport === 'coaps',
    width: inFlight,
    peers,
    sockets,
    operations: operations * repetitions + warmUp,
    progress: done => progress.at(done),
  });
  await scenario.run(warmUp);
  return { ...subject, process, scenario, progress };
}

async function repeat(
  { options: { operations }, process: server, scenario, progress }: Prepared,
  at: (done: number) => void,
): Promise<Figures> {
  progress.at = at;
  const before = server?.cpuMicros() ?? 0;
  const own = process.cpuUsage();
  const { seconds, latencies, failed, failures } = await scenario.run(operations);
  const { user, system } = process.cpuUsage(own);
  const cpu = (server?.cpuMicros() ?? 0) - before;
  const memory = server?.memory() ?? { rssBytes: 0, rssAnonBytes: 0 };
  for (const [reason, count] of failures) process.stderr.write(`${count} failed: ${reason}\n`);
  return figures(operations, seconds, latencies, failed, cpu, user + system, memory);
}

function describe({ scenario, server, transport, options }: Subject, runs: readonly Figures[]): Measurement {
  const { inFlight, preloaded, peers, sockets, repetitions } = options;
  const { node, cores } = machine();
  return {
    scenario,
    server,
    ...medians(runs),
    transport,
    inFlight,
    preloaded,
    ...(scenarios[scenario]?.takesTurns === true && { peers, sockets }),
    repetitions,
    node,
    cores,
  };
}

type Prepared = Omit<Subject, 'scenario'> & {
  readonly process: MeasuredProcess | undefined;
  readonly scenario: PreparedScenario;
  readonly progress: { at: (done: number) => void };
};
