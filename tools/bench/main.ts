import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { OperatorError } from '../../src/adapters/operatorError.ts';
import { fail, printJson, printTable } from '../../src/cli/output.ts';
import { progressBar } from '../../src/cli/progress.ts';
import { percentile } from '../load/inFlight.ts';
import { preload } from './preload.ts';
import { scenarios } from './scenarios.ts';
import { ServerProcess } from './serverProcess.ts';

/**
 * What one operation costs the server: CPU of all its threads as the operating system counts it, beside rates and
 * latencies, which depend on what else the machine does.
 */
new Command('bench')
  .description('Measure what an operation costs the server, which runs in a process of its own')
  .addArgument(new Argument('<scenario>', 'what the devices do').choices(Object.keys(scenarios)))
  .option('--operations <count>', 'how many to measure', parseCount, 20_000)
  .option('--warm-up <count>', 'how many before that', parseCount, 3000)
  .option('--in-flight <count>', 'how many devices at a time', parseCount, 64)
  .option('--preloaded <count>', 'how many other devices the store holds already', parseWhole, 100_000)
  .option('--peers <count>', 'on open sessions: how many devices take turns', parseCount, 100)
  .addOption(
    new Option('--transport <transport>', 'by default coap for registration, else coaps').choices(['coap', 'coaps']),
  )
  .addOption(
    new Option('--server <server>', 'what to measure: us, or a handler on node-coap that stores nothing')
      .choices(['rollcall', 'node-coap'])
      .default('rollcall'),
  )
  .option('--json', 'print one JSON document', false)
  .addHelpText(
    'after',
    `
Examples:
  npm run bench -- registration
  npm run bench -- registration --server node-coap
  npm run bench -- handshake --json
  npm run bench -- update --peers 10000
`,
  )
  .action((scenario: string, options: BenchOptions) => bench(scenario, options).catch(fail))
  .parse();

async function bench(scenario: string, options: BenchOptions): Promise<void> {
  const transport =
    options.transport ?? (scenario === 'registration' || options.server !== 'rollcall' ? 'coap' : 'coaps');
  const secure = transport === 'coaps';
  if (scenario === 'handshake' && !secure) throw new OperatorError('a handshake needs --transport coaps');
  if (secure && options.server !== 'rollcall')
    throw new OperatorError('node-coap has no DTLS server: use --transport coap');
  const data = await mkdtemp(join(tmpdir(), 'rollcall-bench-'));
  try {
    if (options.server === 'rollcall' && options.preloaded > 0) {
      const bar = progressBar('preloading', options.preloaded);
      await preload(data, options.preloaded, secure, done => bar.at(done));
      bar.end();
    }
    const server = await startServer(options.server, data);
    try {
      const figures = await measure(scenario, options, server, data, secure);
      report({ scenario, ...figures, transport, node: process.version, cores: availableParallelism() }, options.json);
      if (figures.failed > 0) process.exitCode = 1;
    } finally {
      await server.stop();
    }
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

function startServer(server: BenchOptions['server'], data: string): Promise<ServerProcess> {
  if (server === 'node-coap') return ServerProcess.start('./nodeCoapServer.js');
  const listen = ['--coap', '127.0.0.1:0', '--coaps', '127.0.0.1:0', '--insecure-coap'];
  return ServerProcess.start('../../src/cli/main.js', 'serve', '--data', data, ...listen);
}

async function measure(
  scenario: string,
  options: BenchOptions,
  server: ServerProcess,
  data: string,
  secure: boolean,
): Promise<Figures> {
  const { operations, warmUp, inFlight: width, peers } = options;
  const bar = progressBar(scenario, operations);
  let measuring = false;
  const prepared = await scenarios[scenario]!({
    server,
    data,
    secure,
    width,
    peers,
    operations: operations + warmUp,
    progress: (done, failed) => (measuring ? bar.at(done, failed === 0 ? '' : `${failed} failed`) : undefined),
  });
  await prepared.run(warmUp);
  measuring = true;
  const before = server.cpuMicros();
  const result = await prepared.run(operations);
  const cpu = server.cpuMicros() - before;
  bar.end();
  const rssBytes = server.rssBytes();
  await prepared.end();
  for (const [reason, count] of result.failures) process.stderr.write(`${count} failed: ${reason}\n`);
  return {
    operations,
    seconds: round(result.seconds),
    perSecond: Math.round(operations / result.seconds),
    p50Ms: round(percentile(result.latencies, 0.5)),
    p99Ms: round(percentile(result.latencies, 0.99)),
    serverCpuMicrosPerOperation: round(cpu / operations),
    rssBytes,
    failed: result.failed,
  };
}

function report(figures: object, json: boolean): void {
  if (json) printJson(figures);
  else printTable(Object.entries(figures).map(([name, value]) => [name, String(value)]));
}

function parseWhole(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 0) throw new InvalidArgumentError('expected a whole number');
  return count;
}

function parseCount(text: string): number {
  const count = parseWhole(text);
  if (count === 0) throw new InvalidArgumentError('expected a whole number from 1 on');
  return count;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

interface Figures {
  readonly operations: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly serverCpuMicrosPerOperation: number;
  readonly rssBytes: number;
  readonly failed: number;
}

interface BenchOptions {
  readonly operations: number;
  readonly warmUp: number;
  readonly inFlight: number;
  readonly preloaded: number;
  readonly peers: number;
  readonly transport?: 'coap' | 'coaps';
  readonly server: 'rollcall' | 'node-coap';
  readonly json: boolean;
}
