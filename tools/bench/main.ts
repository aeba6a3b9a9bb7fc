import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { OperatorError } from '../../src/adapters/operatorError.ts';
import { fail, printJson, printTable } from '../../src/cli/output.ts';
import { mostKept, socketsFor } from '../load/deviceSocket.ts';
import { measureOverload } from '../load/overload.ts';
import { measureDeviceModel } from './deviceModel.ts';
import { cpuRatio, type Measurement, machine, type Ratio } from './figures.ts';
import { type MicroFigure, micro } from './micro.ts';
import { onFreshStore } from './ourServer.ts';
import { type ReportOptions, writeReport } from './report.ts';
import { elsewhere, nodeCoap, type Rival, rivals } from './rivals.ts';
import { type Measured, measureInTurns, ours, type RunOptions, type Subject, theirs } from './run.ts';
import { scenarios, type Transport } from './scenarios.ts';
import { studies } from './studies.ts';
import type { StudyOptions } from './study.ts';

/**
 * What one operation costs the server: CPU of all its threads as the operating system counts it, beside rates and
 * latencies, which depend on what else the machine does.
 */
const program = new Command('bench')
  .enablePositionalOptions()
  .description('Measure what an operation costs the server, which runs in a process of its own')
  .addArgument(
    new Argument('<scenario>', 'what the devices do').choices([...Object.keys(scenarios), ...Object.keys(studies)]),
  )
  .option('--operations <count>', 'how many to measure, in each repetition', parseCount, 20_000)
  .option('--repetitions <count>', 'how often; figures are the medians', parseCount, 3)
  .option('--warm-up <count>', 'how many operations before that', parseCount, 3000)
  .option('--in-flight <count>', 'how many devices at a time', parseCount, 64)
  .option('--preloaded <count>', 'how many other devices the store holds already', parseWhole, 100_000)
  .option(
    '--peers <counts>',
    'on open sessions: how many devices take turns; several, with commas between, are measured in turns',
    parseCounts,
    [100],
  )
  .addOption(
    new Option('--transport <transport>', 'by default the one that the scenario is about').choices(['coap', 'coaps']),
  )
  .option('--sessions <count>', 'for restart and memory: how many devices have one', parseCount, 200_000)
  .option('--devices <count>', 'of a study: how many devices the store holds', parseCount)
  .option('--count <count>', 'of a study: how many requests', parseCount)
  .option(
    '--compare',
    'measure rivals that are installed here in the same run, and always node-coap: a handler that does nothing',
    false,
  )
  .option('--rival <url>', 'measure whoever answers at coap://HOST:PORT or coaps://HOST:PORT too', elsewhere)
  .option('--json', 'print one JSON document', false)
  .addHelpText('after', help)
  .action((scenario: string, options: BenchOptions) => bench(scenario, options).catch(fail));
program
  .command('micro')
  .description("parts of the road without sockets and disk, in units of node-coap's codec")
  .option('--json', 'print one JSON document', false)
  .action(({ json }: { json: boolean }) => printMicro(micro(), json));
program
  .command('model')
  .description('memory of observations that go on, and how fast stored events are read')
  .option('--observations <count>', 'how many, each of another device', parseCount, 20_000)
  .option('--events <count>', 'how many are stored', parseCount, 1_000_000)
  .option('--json', 'print one JSON document', false)
  .action(({ observations, events, json }: { observations: number; events: number; json: boolean }) =>
    measureDeviceModel(observations, events)
      .then(figures =>
        json ? printJson(figures) : printTable(Object.entries(figures).map(([name, n]) => [name, String(n)])),
      )
      .catch(fail),
  );
program
  .command('report')
  .description('measure everything, rivals too, and write bench/REPORT.md with its plots; takes minutes')
  .option('--folder <dir>', 'where to', 'bench')
  .option('--operations <count>', 'how many to measure, in each repetition', parseCount, 20_000)
  .option('--repetitions <count>', 'how often', parseCount, 3)
  .option('--preloaded <count>', 'how many other devices the store holds already', parseWhole, 100_000)
  .option('--sessions <count>', 'how many devices are silent', parseCount, 200_000)
  .option(
    '--peers <counts>',
    'on how many open sessions to measure updates',
    parseCounts,
    [1000, 10_000, 50_000, 100_000],
  )
  .action((options: ReportOptions & { folder: string }) => writeReport(options.folder, options).catch(fail));
program
  .command('overload')
  .description('what registered devices notice of floods and slow operators, one after the other')
  .option('--seconds <count>', 'how long each', parseCount, 10)
  .option('--preloaded <count>', 'how many other devices the store holds already', parseWhole, 20_000)
  .option('--json', 'print one JSON document', false)
  .action((options: OverloadOptions) => benchOverload(options).catch(fail));
program.parse();

async function bench(name: string, options: BenchOptions): Promise<void> {
  if (name in studies) return study(name, options);
  const scenario = scenarios[name]!;
  const transport = options.transport ?? scenario.transports[0]!;
  if (!scenario.transports.includes(transport)) {
    throw new OperatorError(`${name} needs --transport ${scenario.transports.join(' or ')}`);
  }
  if (options.rival && !scenario.comparable) throw new OperatorError(`no other server can be asked to ${name}`);
  const counts = scenario.takesTurns === true ? options.peers : options.peers.slice(0, 1);
  const sockets = socketsFor(counts);
  if (scenario.listens === true && sockets === 'visiting') {
    throw new OperatorError(`${name} needs a socket for each device, of which this process can have ${mostKept()}`);
  }
  const each = counts.map(peers => ({ ...options, peers, sockets }));
  const others: Rival[] = [
    ...(options.compare && scenario.comparable ? rivals(transport) : []),
    ...(options.rival ? [options.rival] : []),
  ];
  const subjects = [
    ...each.map(run => ours(name, transport, run)),
    ...others.map(rival => theirs(rival, name, transport, each[0]!)),
  ];
  // What no other server does is still measured in units of what one of them does with any request.
  if (options.compare && !subjects.some(({ server }) => server === nodeCoap.name)) {
    subjects.push(theirs(nodeCoap, 'registration', 'coap', each[0]!));
  }
  const measured = await measureInTurns(subjects);
  const measurements = measured.map(({ measurement }) => measurement);
  const cpuRatios = compared(subjects, measured);
  if (options.json) printJson(measured.length === 1 ? measurements[0] : { cpuRatios, measurements });
  else printMeasurements(measurements, cpuRatios);
  if (measurements.some(({ failed }) => failed > 0)) process.exitCode = 1;
}

async function benchOverload({ seconds, preloaded, json }: OverloadOptions): Promise<void> {
  const lines = await onFreshStore(preloaded, (server, data) =>
    measureOverload({ coap: server.coap, coaps: server.coaps, data, process: server }, 1000 * seconds),
  );
  if (json) return printJson(lines);
  printTable([
    ['flood', 'sent', 'updates', 'failed', 'p50 ms', 'p99 ms', 'RssAnon MB', 'store MB'],
    ...lines.map(({ flood, sent, updates, failed, ...measured }) => [
      flood,
      ...[sent, updates, failed].map(String),
      ...[measured.p50, measured.p99, measured.rssAnonMegabytes, measured.storeMegabytes].map(value => value.toFixed()),
    ]),
  ]);
}

function printMicro(parts: readonly MicroFigure[], json: boolean): void {
  if (json) return printJson(parts);
  const rows = parts.map(({ part, cpuMicros, ratio }) => [part, String(cpuMicros), String(ratio)]);
  printTable([['part', 'CPU µs', 'ratio'], ...rows]);
}

async function study(name: string, options: BenchOptions): Promise<void> {
  const { figures, table = [], fault } = await studies[name]!.run(options);
  const { node, cores } = machine();
  const shown = { ...figures, node, cores };
  if (options.json) printJson({ scenario: name, ...shown, ...(table.length > 0 && { table }) });
  else {
    printTable(Object.entries({ scenario: name, ...shown }).map(([figure, value]) => [figure, String(value)]));
    if (table.length > 0) process.stdout.write('\n');
    if (table.length > 0) printTable([Object.keys(table[0]!), ...table.map(row => Object.values(row).map(String))]);
  }
  if (fault !== undefined) fail(new OperatorError(fault));
}

function printMeasurements(measurements: readonly Measurement[], cpuRatios: Readonly<Record<string, Ratio>>): void {
  const names = [...new Set(measurements.flatMap(Object.keys))];
  printTable(names.map(name => [name, ...measurements.map(measurement => String(measurement[name] ?? '-'))]));
  for (const { server, loadCpuShare } of measurements) {
    if (loadCpuShare < loadLimit) continue;
    process.stdout.write(
      `\nThe load generator used ${Math.round(loadCpuShare * 100)} % of a core against ${server}: the rate is its own limit, not the server's.\n`,
    );
  }
  const ratios = Object.entries(cpuRatios);
  if (ratios.length === 0) return;
  process.stdout.write(
    '\nServer CPU of one operation, the median of repetitions that were measured in turns (min … max):\n',
  );
  printTable(ratios.map(([what, { median, min, max }]) => [what, `${median} times (${min} … ${max})`]));
}

/** The first one of ours to each rival, and each of ours with other peers to the first. */
function compared(subjects: readonly Subject[], measured: readonly Measured[]): Record<string, Ratio> {
  const runs = measured.map(each => each.runs);
  const ratios: Record<string, Ratio> = {};
  for (const [index, { server, options }] of subjects.entries()) {
    if (index === 0) continue;
    const own = server === subjects[0]!.server;
    const ratio = own ? cpuRatio(runs[index]!, runs[0]!) : cpuRatio(runs[0]!, runs[index]!);
    const what = own ? `${options.peers} peers to ${subjects[0]!.options.peers}` : server;
    if (ratio !== undefined) ratios[what] = ratio;
  }
  return ratios;
}

function help(): string {
  const all = { ...scenarios, ...studies };
  const width = Math.max(...Object.keys(all).map(({ length }) => length));
  const lines = Object.entries(all).map(([name, { does }]) => `  ${name.padEnd(width)}  ${does}`);
  return `
Scenarios:
${lines.join('\n')}

Examples:
  npm run bench -- registration
  npm run bench -- registration --compare
  npm run bench -- handshake --compare --json
  npm run bench -- update --peers 1000,10000,50000,100000
  npm run bench -- resume --compare
  npm run bench -- micro

  npm run bench -- restart
  npm run bench -- memory --sessions 50000
  npm run bench -- lookup --devices 100000
  npm run bench -- herd
  npm run bench -- soak --count 1000000

Rivals: a handler on node-coap; coap-rd of Debian's libcoap3-bin, if it is installed; any address with --rival.
A profile of the server: ROLLCALL_BENCH_NODE_FLAGS=--cpu-prof npm run bench -- registration
`;
}

function parseWhole(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 0) throw new InvalidArgumentError('expected a whole number');
  return count;
}

function parseCounts(text: string): number[] {
  return text.split(',').map(parseCount);
}

function parseCount(text: string): number {
  const count = parseWhole(text);
  if (count === 0) throw new InvalidArgumentError('expected a whole number from 1 on');
  return count;
}

interface OverloadOptions {
  readonly seconds: number;
  readonly preloaded: number;
  readonly json: boolean;
}

interface BenchOptions extends Omit<RunOptions, 'peers' | 'sockets'>, StudyOptions {
  readonly peers: readonly number[];
  readonly transport?: Transport;
  readonly compare: boolean;
  readonly rival?: Rival;
  readonly json: boolean;
}

/** A generator that uses this much of its core has nothing left to be faster with. */
const loadLimit = 0.9;
