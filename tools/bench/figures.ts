import { availableParallelism, cpus, release } from 'node:os';
import { percentile } from '../load/inFlight.ts';

/** What one run of a scenario measured. A scenario may add figures of its own. */
export interface Figures {
  readonly operations: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of all of the server's threads, as the operating system counts it. */
  readonly serverCpuMicrosPerOperation: number;
  readonly rssBytes: number;
  /** Without the store's mapped pages, which the system takes back when it needs them. */
  readonly rssAnonBytes: number;
  readonly failed: number;
  /** How much of one core the load generator used: near 1 it was itself the bottleneck, and rates say little. */
  readonly loadCpuShare: number;
  readonly [more: string]: number | string;
}

/** A scenario's figures over all repetitions, and where they come from. */
export interface Measurement extends Figures {
  readonly scenario: string;
  readonly server: string;
  readonly transport: string;
  readonly inFlight: number;
  readonly preloaded: number;
  readonly repetitions: number;
  readonly perSecondMin: number;
  readonly perSecondMax: number;
  readonly serverCpuMicrosPerOperationMin: number;
  readonly serverCpuMicrosPerOperationMax: number;
  readonly node: string;
  readonly cores: number;
}

/** The median of each figure; of those that are compared, the extremes too. */
export function medians(runs: readonly Figures[]): Figures & Pick<Measurement, Spread> {
  const first = runs[0]!;
  const median = Object.fromEntries(
    Object.entries(first).map(([name, value]) => [
      name,
      typeof value === 'number' ? middle(runs.map(run => run[name] as number)) : value,
    ]),
  ) as unknown as Figures;
  const all = (name: string) => runs.map(run => run[name] as number);
  return {
    ...median,
    failed: runs.reduce((sum, { failed }) => sum + failed, 0),
    perSecondMin: Math.min(...all('perSecond')),
    perSecondMax: Math.max(...all('perSecond')),
    serverCpuMicrosPerOperationMin: Math.min(...all('serverCpuMicrosPerOperation')),
    serverCpuMicrosPerOperationMax: Math.max(...all('serverCpuMicrosPerOperation')),
  };
}

/** How much more server CPU an operation of the one took than of the other, repetition by repetition. */
export function cpuRatio(runs: readonly Figures[], others: readonly Figures[]): Ratio | undefined {
  const ratios = runs
    .map((run, i) => run.serverCpuMicrosPerOperation / others[i]!.serverCpuMicrosPerOperation)
    .filter(Number.isFinite);
  if (ratios.length === 0) return undefined;
  return { median: round(middle(ratios)), min: round(Math.min(...ratios)), max: round(Math.max(...ratios)) };
}

export interface Ratio {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** `latencies` are ascending, in milliseconds; `cpuMicros` is what the server used for all operations. */
export function figures(
  operations: number,
  seconds: number,
  latencies: readonly number[],
  failed: number,
  cpuMicros: number,
  loadCpuMicros: number,
  memory: { rssBytes: number; rssAnonBytes: number },
): Figures {
  return {
    operations,
    seconds: round(seconds),
    perSecond: Math.round(operations / seconds),
    p50Ms: round(percentile(latencies, 0.5)),
    p99Ms: round(percentile(latencies, 0.99)),
    serverCpuMicrosPerOperation: round(cpuMicros / operations),
    ...memory,
    failed,
    loadCpuShare: round(loadCpuMicros / seconds / 1e6),
  };
}

export function machine(): { node: string; cores: number; cpu: string; system: string } {
  return {
    node: process.version,
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    system: `${process.platform} ${release()}`,
  };
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1]!;
  return sorted.length % 2 === 1 ? upper : round((upper + sorted[(sorted.length >> 1) - 1]!) / 2);
}

type Spread = 'perSecondMin' | 'perSecondMax' | 'serverCpuMicrosPerOperationMin' | 'serverCpuMicrosPerOperationMax';
