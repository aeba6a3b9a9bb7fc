import { type FSWatcher, watch } from 'node:fs';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type Environment, transact } from './lmdbEnvironment.ts';

/**
 * How a process that changed a store has the server on it look at once: it touches a file that nobody writes to, and
 * whoever watches that is told by the operating system. Whoever misses the bell finds the change at his next round.
 */
export async function changeAndRing<Result>(environment: Environment, write: () => Result): Promise<Result> {
  const result = await transact(environment, write);
  const now = new Date();
  await utimes(join(environment.directory, bell), now, now).catch(() => undefined);
  return result;
}

/** `undefined` where the file system cannot tell. */
export function listen(directory: string, rung: () => void): FSWatcher | undefined {
  try {
    return watch(join(directory, bell), { persistent: false }, rung).on('error', () => undefined);
  } catch {
    return undefined;
  }
}

/** LMDB maps it into memory and does not write it, so that it is quiet while the store is busy. */
const bell = 'lock.mdb';
