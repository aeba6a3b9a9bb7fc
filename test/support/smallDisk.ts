import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { faultyDisk } from './faultyDisk.ts';

/** A disk of few megabytes that a test fills and empties. */
export interface SmallDisk {
  readonly kind: string;
  /** Where the server's data are to be. */
  readonly directory: string;
  /** For the server's process. */
  readonly environment: Readonly<Record<string, string>>;
  /** Leaves hardly a page. */
  fill(): Promise<void>;
  empty(): Promise<void>;
}

/**
 * A tmpfs of its own where this process may mount one, which is a disk that is full for everybody; else a disk that
 * says that it is full. `undefined`, said loudly, where neither can be had.
 */
export async function smallDisk(t: Test, bytes: number): Promise<SmallDisk | undefined> {
  const place = await mkdtemp(join(tmpdir(), 'rollcall-small-'));
  t.teardown(() => rm(place, { recursive: true, force: true }));
  const directory = join(place, 'data');
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=700`, 'tmpfs', place]);
  } catch {
    const disk = await faultyDisk(t);
    if (disk === undefined) return undefined;
    await mkdir(directory);
    const { environment } = disk;
    const kind = 'one that says so: no tmpfs can be mounted here';
    return { kind, directory, environment, fill: () => disk.full(true), empty: () => disk.full(false) };
  }
  t.teardown(() => run('umount', ['--lazy', place]));
  const ballast = join(place, 'ballast');
  return {
    kind: 'a tmpfs',
    directory,
    environment: {},
    async fill() {
      const { bavail, bsize } = await statfs(place);
      await writeFile(ballast, Buffer.alloc(bavail * bsize, 1));
    },
    empty: () => rm(ballast),
  };
}

const run = promisify(execFile);
