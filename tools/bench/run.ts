import { progressBar } from '../../src/cli/progress.ts';
import { type Figures, figures, type Measurement, machine, medians } from './figures.ts';
import type { MeasuredProcess } from './measured.ts';
import type { Rival } from './rivals.ts';
import { type Scenario, type Setting, scenarios, type Transport } from './scenarios.ts';
import { ServerProcess } from './serverProcess.ts';
import { inFreshDirectory, preloadWithProgress } from './study.ts';

export interface RunOptions {
  readonly operations: number;
  readonly warmUp: number;
  readonly repetitions: number;
  readonly inFlight: number;
  readonly preloaded: number;
  readonly peers: number;
}

/** One scenario against our own server, on a store of its own that already holds other devices. */
export function measureOurs(name: string, transport: Transport, options: RunOptions): Promise<Measurement> {
  return inFreshDirectory(async data => {
    const secure = transport === 'coaps';
    if (options.preloaded > 0) await preloadWithProgress(data, options.preloaded, secure ? 'credentials' : 'plain');
    const server = await startOurs(data);
    try {
      const target = secure ? server.coaps : server.coap;
      const measured = await measure(
        scenarios[name]!,
        name,
        options,
        { target, data, secure, sharedKey: undefined },
        server,
      );
      return describe(name, 'rollcall', transport, options, measured);
    } finally {
      await server.stop();
    }
  });
}

/** Our own server, on plain CoAP and on DTLS, on a store of its own that holds devices of plain CoAP already. */
export function onFreshStore<Result>(
  preloaded: number,
  work: (server: ServerProcess, data: string) => Promise<Result>,
): Promise<Result> {
  return inFreshDirectory(async data => {
    await preloadWithProgress(data, preloaded, 'plain');
    // With the standard limits: they are what is tried.
    const listen = ['--coap', '127.0.0.1:0', '--coaps', '127.0.0.1:0', '--insecure-coap'];
    const server = await ServerProcess.start('../../src/cli/main.js', 'serve', '--data', data, ...listen);
    return await work(server, data).finally(() => server.stop());
  });
}

/** The same load against somebody else's server, in the same run so that the machine is in the same mood. */
export async function measureRival(
  rival: Rival,
  name: string,
  transport: Transport,
  asked: RunOptions,
): Promise<Measurement> {
  const options = { ...asked, ...within(asked, rival.most), preloaded: 0 };
  const server = await rival.start(transport);
  try {
    const secure = transport === 'coaps';
    const setting = { target: server.target, data: undefined, secure, sharedKey: server.key };
    const measured = await measure(scenarios[name]!, name, options, setting, server.process);
    return describe(name, rival.name, transport, options, measured);
  } finally {
    await server.stop();
  }
}

function within(asked: RunOptions, most: Rival['most']): Partial<RunOptions> {
  if (most === undefined) return {};
  const operations = Math.min(asked.operations, most.operations);
  return { operations, warmUp: Math.min(asked.warmUp, operations), inFlight: Math.min(asked.inFlight, most.inFlight) };
}

/** Our server on any free ports, with limits out of the way that the load, from one address, would meet. */
export function startOurs(data: string, ...options: readonly string[]): Promise<ServerProcess> {
  const listen = ['--coap', '127.0.0.1:0', '--coaps', '127.0.0.1:0', '--insecure-coap'];
  const limits = ['--max-handshakes-per-network', '100000', '--handshakes-per-identity', 'off'];
  return ServerProcess.start('../../src/cli/main.js', 'serve', '--data', data, ...listen, ...limits, ...options);
}

async function measure(
  scenario: Scenario,
  name: string,
  options: RunOptions,
  where: Pick<Setting, 'target' | 'data' | 'secure' | 'sharedKey'>,
  server: MeasuredProcess | undefined,
): Promise<Figures[]> {
  const { operations, warmUp, repetitions, inFlight, peers } = options;
  let done = 0;
  let measuring = false;
  const bar = progressBar(name, operations * repetitions);
  const prepared = await scenario.prepare({
    ...where,
    width: inFlight,
    peers,
    operations: operations * repetitions + warmUp,
    progress: (count, failed) => (measuring ? bar.at(done + count, failed === 0 ? '' : `${failed} failed`) : undefined),
  });
  await prepared.run(warmUp);
  measuring = true;
  const runs: Figures[] = [];
  for (let i = 0; i < repetitions; i++, done += operations) {
    const before = server?.cpuMicros() ?? 0;
    const own = process.cpuUsage();
    const { seconds, latencies, failed, failures } = await prepared.run(operations);
    const { user, system } = process.cpuUsage(own);
    const cpu = (server?.cpuMicros() ?? 0) - before;
    const memory = server?.memory() ?? { rssBytes: 0, rssAnonBytes: 0 };
    runs.push(figures(operations, seconds, latencies, failed, cpu, user + system, memory));
    for (const [reason, count] of failures) process.stderr.write(`${count} failed: ${reason}\n`);
  }
  bar.end();
  await prepared.end();
  return runs;
}

function describe(
  scenario: string,
  server: string,
  transport: Transport,
  { inFlight, preloaded, peers, repetitions }: RunOptions,
  runs: readonly Figures[],
): Measurement {
  const { node, cores } = machine();
  return {
    scenario,
    server,
    ...medians(runs),
    transport,
    inFlight,
    preloaded,
    ...(scenarios[scenario]?.takesTurns === true && { peers }),
    repetitions,
    node,
    cores,
  };
}
