import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { progressBar } from '../../src/cli/progress.ts';
import { preload } from './preload.ts';

/** A measurement that is more than one operation done many times. */
export interface Study {
  /** One line for `--help`. */
  readonly does: string;
  run(options: StudyOptions): Promise<Findings>;
}

export interface StudyOptions {
  /** How many devices have a session. */
  readonly sessions: number;
  /** How many devices the store holds; each study has its own default. */
  readonly devices: number | undefined;
  /** How many operations; each study has its own default. */
  readonly count: number | undefined;
  readonly inFlight: number;
}

export interface Findings {
  readonly figures: Readonly<Record<string, number | string>>;
  /** Several of a kind, e.g. one for each query. */
  readonly table?: readonly Readonly<Record<string, number | string>>[];
  /** Why the server did not do what it should. */
  readonly fault?: string | undefined;
}

/** In a data directory of its own, which is gone afterwards. */
export async function inFreshDirectory<Result>(run: (data: string) => Promise<Result>): Promise<Result> {
  const data = await mkdtemp(join(tmpdir(), 'rollcall-bench-'));
  try {
    return await run(data);
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

export async function preloadWithProgress(data: string, count: number, kind: Parameters<typeof preload>[2]) {
  const bar = progressBar('preloading', count);
  await preload(data, count, kind, done => bar.at(done));
  bar.end();
}
