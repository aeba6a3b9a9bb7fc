import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Measurement, machine } from './figures.ts';
import { type MicroFigure, micro } from './micro.ts';
import { bars, curve } from './plot.ts';
import { rivals } from './rivals.ts';
import { measureOurs, measureRival, type RunOptions } from './run.ts';
import type { Transport } from './scenarios.ts';
import { measureSilent, type Standing } from './standing.ts';

/** Measures everything that the report shows, rivals in the same run, and writes it with its plots into a folder. */
export async function writeReport(folder: string, options: ReportOptions): Promise<void> {
  const { operations, repetitions, preloaded, sessions, peers } = options;
  const run: RunOptions = { operations, repetitions, warmUp: 3000, inFlight: 64, preloaded, peers: 100 };
  const started = new Date();
  const registrations = await withRivals('registration', 'coap', run);
  const crowded = await measureOurs('registration', 'coap', { ...run, inFlight: 512 });
  const handshakes = await withRivals('handshake', 'coaps', { ...run, operations: Math.ceil(operations / 2) });
  const resumption = await measureOurs('resume', 'coaps', { ...run, operations: Math.ceil(operations / 2) });
  const hello = await measureOurs('hello', 'coaps', run);
  const notification = await measureOurs('notification', 'coaps', run);
  const updates: Measurement[] = [];
  for (const count of peers) updates.push(await measureOurs('update', 'coaps', { ...run, peers: count }));
  const silent = await measureSilent(sessions);
  const parts = micro();

  await mkdir(folder, { recursive: true });
  const ours = [...registrations, crowded, ...handshakes, resumption, hello, notification, ...updates];
  await writeFile(join(folder, 'rates.svg'), await bars('Operations a second', 'a second', ours.map(rate)));
  await writeFile(join(folder, 'cpu.svg'), await bars('Server CPU of one operation', 'µs', ours.map(cpu)));
  const points = updates.map(update => ({ x: Number(update.peers), ...cpu(update) }));
  await writeFile(join(folder, 'updates.svg'), await curve('Server CPU of an update', 'open sessions', 'µs', points));
  await writeFile(join(folder, 'REPORT.md'), text(started, options, ours, silent, parts));
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

async function withRivals(scenario: string, transport: Transport, run: RunOptions): Promise<Measurement[]> {
  const measured = [await measureOurs(scenario, transport, run)];
  for (const rival of rivals(transport)) measured.push(await measureRival(rival, scenario, transport, run));
  return measured;
}

function text(
  started: Date,
  { operations, repetitions, preloaded, sessions, peers }: ReportOptions,
  measurements: readonly Measurement[],
  silent: Standing,
  parts: readonly MicroFigure[],
): string {
  const { node, cores, cpu: model, system } = machine();
  const command = `npm run bench -- report --operations ${operations} --repetitions ${repetitions} --preloaded ${preloaded} --sessions ${sessions} --peers ${peers.join()}`;
  return `# Measured figures

Made by \`${command}\`
on ${started.toISOString().slice(0, 10)}: ${model}, ${cores} cores, ${system}, Node ${node}. Medians of ${repetitions}
repetitions of ${operations} operations (handshakes, resumed ones too: half as many), with the extremes. Server and load share the machine. CPU is that of all threads of the server, as the
operating system counts it; on a virtual machine it grows and shrinks with what the neighbours do, so compare within this page,
above all with node-coap, whose handler does nothing, and not with figures of another day.

| what | server | in flight | preloaded | CPU µs (min … max) | a second | p50 ms | p99 ms | failed | load's share of a core |
|---|---|---|---|---|---|---|---|---|---|
${measurements.map(row).join('\n')}

![Rates](rates.svg)

![CPU](cpu.svg)

![Updates](updates.svg)

Rivals: \`node-coap\` is a handler that parses nothing and keeps the payload in memory; \`coap-rd\` is libcoap's resource directory of
Debian's package, in C, which keeps a resource in memory and takes one DTLS handshake at a time. Ours stores every change durably before it answers.

## Many devices that are silent

${silent.sessions} registered devices with live DTLS sessions, after \`kill -9\` and a restart:

| | |
|---|---|
| ready after | ${silent.readyMs} ms, of which ${silent.readyCpuMs} ms of CPU |
| real devices that updated afterwards | ${silent.updatedWithoutHandshake}, with ${silent.handshakes} handshakes |
| anonymous memory a device | ${silent.rssAnonBytesPerDevice} B |

## The parts of the road

Without sockets and disk, the best of several rounds, in units of what node-coap's codec takes for the same registration:

| part | CPU µs | ratio |
|---|---|---|
${parts.map(({ part, cpuMicros, ratio }) => `| ${part} | ${cpuMicros} | ${ratio} |`).join('\n')}
`;
}

function row(m: Measurement): string {
  const micros = `${m.serverCpuMicrosPerOperation} (${m.serverCpuMicrosPerOperationMin} … ${m.serverCpuMicrosPerOperationMax})`;
  const cells = [label(m), m.server, m.inFlight, m.preloaded, micros, m.perSecond, m.p50Ms, m.p99Ms, m.failed];
  return `| ${[...cells, m.loadCpuShare].join(' | ')} |`;
}

function label({ scenario, peers, transport }: Measurement): string {
  if (scenario === 'update') return `update, ${peers} sessions`;
  if (scenario === 'resume') return 'resumed handshake and update';
  return scenario === 'registration' ? `registration, ${transport}` : scenario;
}

function rate(m: Measurement) {
  return { label: named(m), median: m.perSecond, min: m.perSecondMin, max: m.perSecondMax };
}

function cpu(m: Measurement) {
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
