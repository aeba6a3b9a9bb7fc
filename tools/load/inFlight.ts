import { LoadFailure } from './udpDevice.ts';

/**
 * Runs `job` for 0 … count-1, `width` of them at a time, and measures each. A `LoadFailure` is counted and the run goes
 * on; anything else ends it.
 */
export async function inFlight(
  count: number,
  width: number,
  job: (index: number) => Promise<void>,
  progress?: (done: number, failed: number) => void,
): Promise<LoadResult> {
  const latencies: number[] = [];
  const failures = new Map<string, number>();
  let next = 0;
  let done = 0;
  let failed = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      const start = performance.now();
      try {
        await job(index);
        latencies.push(performance.now() - start);
      } catch (error) {
        if (!(error instanceof LoadFailure)) throw error;
        failures.set(error.message, (failures.get(error.message) ?? 0) + 1);
        failed++;
      }
      progress?.(++done, failed);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
  const seconds = (performance.now() - start) / 1000;
  latencies.sort((a, b) => a - b);
  return { seconds, latencies, failed, failures };
}

export interface LoadResult {
  readonly seconds: number;
  /** Of what succeeded, in milliseconds, ascending. */
  readonly latencies: readonly number[];
  readonly failed: number;
  /** How many failed for each reason. */
  readonly failures: ReadonlyMap<string, number>;
}

/** The smallest latency that `share` of all are not above; 0 if there are none. */
export function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.max(0, Math.ceil(ascending.length * share) - 1)] ?? 0;
}

/** Names and order in a load are the same in each run, and never in the order of the store's keys. */
export function shuffled<T>(items: readonly T[], below: (bound: number) => number): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
