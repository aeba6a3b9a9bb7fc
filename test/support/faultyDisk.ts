import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { isInstalled } from './tool.ts';

/** A disk under the server that waits or fails while a test says so; `undefined`, said loudly, without a C compiler. */
export async function faultyDisk(t: Test): Promise<FaultyDisk | undefined> {
  if (!(await isInstalled(t, 'gcc', 'gcc and libc6-dev'))) return undefined;
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-disk-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const library = join(directory, 'disk.so');
  const source = fileURLToPath(new URL('../../../test/support/disk.c', import.meta.url));
  await promisify(execFile)('gcc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
  const disk = join(directory, 'disk');
  const set = async (state: string, on: boolean) => {
    if (on) await writeFile(`${disk}.${state}`, '');
    else await rm(`${disk}.${state}`, { force: true });
  };
  return {
    environment: { LD_PRELOAD: library, ROLLCALL_DISK: disk },
    hold: on => set('hold', on),
    failSyncs: on => set('fail', on),
    full: on => set('full', on),
  };
}

export interface FaultyDisk {
  /** For the process whose disk it is to be. */
  readonly environment: Readonly<Record<string, string>>;
  /** Nothing becomes durable, and nothing fails. */
  hold(on: boolean): Promise<void>;
  failSyncs(on: boolean): Promise<void>;
  /** Writes fail for want of room. */
  full(on: boolean): Promise<void>;
}
