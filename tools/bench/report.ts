import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { socketsFor } from '../load/deviceSocket.ts';
import { cpuRatio, type Measurement, machine, type Ratio } from './figures.ts';
import { type MicroFigure, micro } from './micro.ts';
import { bars, curve } from './plot.ts';
import { nodeCoap, rivals } from './rivals.ts';
import { type Measured, measureInTurns, ours, type RunOptions, type Subject, theirs } from './run.ts';
import type { Transport } from './scenarios.ts';
import { measureSilent, type Standing } from './standing.ts';

/** Measures everything that the report shows, rivals in the same run, and writes it with its plots into a folder. */
export async function writeReport(folder: string, options: ReportOptions): Promise<void> {
  const { operations, repetitions, preloaded, sessions, peers } = options;
  const sockets = socketsFor(peers);
  const run: RunOptions = {
    operations,
    repetitions,
    warmUp: 3000,
    inFlight: 64,
    preloaded,
    peers: 100,
    sockets: 'kept',
  };
  const fewer = { ...run, operations: Math.ceil(operations / 2) };
  const started = new Date();
  const registrations = await withRivals('coap', [
    ours('registration', 'coap', run),
    ours('registration', 'coap', { ...run, inFlight: 512 }),
  ]);
  const handshakes = await withRivals('coaps', [ours('handshake', 'coaps', fewer)]);
  const others = await withRivals(undefined, [
    ours('resume', 'coaps', fewer),
    ours('hello', 'coaps', run),
    ours('notification', 'coaps', run),
  ]);
  const updates = await withRivals(
    undefined,
    peers.map(count => ours('update', 'coaps', { ...run, peers: count, sockets })),
  );
  const wideUpdates = await withRivals(undefined, [
    ours('update', 'coaps', { ...run, peers: peers[0]!, inFlight: 512, sockets }),
  ]);
  const silent: Standing[] = [];
  for (const share of [0.25, 0.5, 1]) silent.push(await measureSilent(Math.round(sessions * share)));
  const parts = micro();

  await mkdir(folder, { recursive: true });
  const all = [...registrations, ...handshakes, ...others, ...updates, ...wideUpdates];
  await writeFile(join(folder, 'rates.svg'), await bars('Operations a second', 'a second', all.map(rate)));
  await writeFile(join(folder, 'cpu.svg'), await bars('Server CPU of one operation', 'µs', all.map(cpu)));
  const points = updates.map(update => ({ x: Number(update.measurement.peers), ...cpu(update) }));
  await writeFile(join(folder, 'updates.svg'), await curve('Server CPU of an update', 'open sessions', 'µs', points));
  await writeFile(
    join(folder, 'memory.svg'),
    await curve('Anonymous memory of the server', 'devices', 'MB', silent.map(memory)),
  );
  await writeFile(join(folder, 'REPORT.md'), text(started, options, all, updates, silent, parts));
}

export interface ReportOptions {
  readonly operations: number;
  readonly repetitions: number;
  /** How many other devices the store holds. */
  readonly preloaded: number;
  readonly sessions: number;
  /** On how many open sessions updates are measured. */
  readonly peers: readonly number[];
}

/** In turns with the rivals that do the same, and always with node-coap, in whose registrations everything is told. */
async function withRivals(transport: Transport | undefined, subjects: readonly Subject[]): Promise<Line[]> {
  const { scenario, options } = subjects[0]!;
  const others =
    transport === undefined ? [] : rivals(transport).map(rival => theirs(rival, scenario, transport, options));
  const hasYardstick = others.some(({ server }) => server === nodeCoap.name);
  const yardstick = hasYardstick ? [] : [theirs(nodeCoap, 'registration', 'coap', options)];
  const measured = await measureInTurns([...subjects, ...others, ...yardstick]);
  const { runs } = measured.find(({ measurement }) => measurement.server === nodeCoap.name)!;
  const shown = measured.slice(0, subjects.length + others.length);
  return shown.map(each => ({ ...each, ratio: cpuRatio(each.runs, runs) }));
}

interface Line extends Measured {
  /** To node-coap's. */
  readonly ratio: Ratio | undefined;
}

function text(
  started: Date,
  { operations, repetitions, preloaded, sessions, peers }: ReportOptions,
  lines: readonly Line[],
  updates: readonly Line[],
  silent: readonly Standing[],
  parts: readonly MicroFigure[],
): string {
  const { node, cores, cpu: model, system } = machine();
  const command = `npm run bench -- report --operations ${operations} --repetitions ${repetitions} --preloaded ${preloaded} --sessions ${sessions} --peers ${peers.join()}`;
  return `# Measured figures

Made by \`${command}\`
on ${started.toISOString().slice(0, 10)}: ${model}, ${cores} cores, ${system}, Node ${node}. Medians of ${repetitions}
repetitions of ${operations} operations (handshakes, resumed ones too: half as many), with the extremes. Server and load share the machine. CPU is that of all threads of the server, as the
operating system counts it; on a virtual machine it grows and shrinks with what the neighbours do, so compare within this page,
and not with figures of another day. Repetitions of ours and of the rivals take turns; "times node-coap" is the median of what each
repetition took in units of the registration at node-coap's handler, which does nothing, that was measured in the same turn.

| what | server | in flight | preloaded | CPU µs (min … max) | times node-coap | a second | p50 ms | p99 ms | failed | load's share of a core |
|---|---|---|---|---|---|---|---|---|---|---|
${lines.map(row).join('\n')}

![Rates](rates.svg)

![CPU](cpu.svg)

![Updates](updates.svg)

${updates
  .slice(1)
  .map(line => dearer(line, updates[0]!))
  .join('\n')}

Rivals: \`node-coap\` is a handler that parses nothing and keeps the payload in memory; \`coap-rd\` is libcoap's resource directory of
Debian's package, in C, which keeps a resource in memory and takes one DTLS handshake at a time. Ours stores every change durably before it answers.

## Many devices that are silent

Registered devices with live DTLS sessions, after \`kill -9\` and a restart:

| devices | ready after | CPU until then | real ones that updated afterwards | with handshakes | anonymous memory a device |
|---|---|---|---|---|---|
${silent.map(standingRow).join('\n')}

![Memory](memory.svg)

## The parts of the road

Without sockets and disk, the best of several rounds, in units of what node-coap's codec takes for the same registration:

| part | CPU µs | ratio |
|---|---|---|
${parts.map(({ part, cpuMicros, ratio }) => `| ${part} | ${cpuMicros} | ${ratio} |`).join('\n')}
`;
}

function row({ measurement: m, ratio }: Line): string {
  const micros = `${m.serverCpuMicrosPerOperation} (${m.serverCpuMicrosPerOperationMin} … ${m.serverCpuMicrosPerOperationMax})`;
  const cells = [
    label(m),
    m.server,
    m.inFlight,
    m.preloaded,
    micros,
    times(ratio),
    m.perSecond,
    m.p50Ms,
    m.p99Ms,
    m.failed,
  ];
  return `| ${[...cells, m.loadCpuShare].join(' | ')} |`;
}

function standingRow(silent: Standing): string {
  const { sessions, readyMs, readyCpuMs, updatedWithoutHandshake, handshakes, rssAnonBytesPerDevice } = silent;
  return `| ${sessions} | ${readyMs} ms | ${readyCpuMs} ms | ${updatedWithoutHandshake} | ${handshakes} | ${rssAnonBytesPerDevice} B |`;
}

function memory({ sessions, rssAnonBytes }: Standing) {
  const megabytes = Math.round(rssAnonBytes / 1e5) / 10;
  return { x: sessions, median: megabytes, min: megabytes, max: megabytes };
}

function dearer(line: Line, first: Line): string {
  const peers = ({ measurement }: Line) => measurement.peers;
  return `- An update on ${peers(line)} sessions took ${times(cpuRatio(line.runs, first.runs))} times the CPU of one on ${peers(first)}, in the same turn.`;
}

function times(ratio: Ratio | undefined): string {
  return ratio === undefined ? '-' : `${ratio.median} (${ratio.min} … ${ratio.max})`;
}

function label({ scenario, peers, transport }: Measurement): string {
  if (scenario === 'update') return `update, ${peers} sessions`;
  if (scenario === 'resume') return 'resumed handshake and update';
  return scenario === 'registration' ? `registration, ${transport}` : scenario;
}

function rate({ measurement: m }: Line) {
  return { label: named(m), median: m.perSecond, min: m.perSecondMin, max: m.perSecondMax };
}

function cpu({ measurement: m }: Line) {
  return {
    label: named(m),
    median: m.serverCpuMicrosPerOperation,
    min: m.serverCpuMicrosPerOperationMin,
    max: m.serverCpuMicrosPerOperationMax,
  };
}

function named(m: Measurement): string {
  return `${label(m)}, ${m.inFlight} in flight${m.server === 'rollcall' ? '' : ` (${m.server})`}`;
}
