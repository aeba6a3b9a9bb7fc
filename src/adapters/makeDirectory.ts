import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Makes a directory that only its owner can look into, and what is missing above it. One step at a time, since
 * `mkdir` with `recursive` never ends where a file system says ENOENT for what it does not let anybody make, as /proc
 * does. Throws the file system's error.
 */
export async function makeDirectory(directory: string): Promise<void> {
  const missing: string[] = [];
  for (let path = resolve(directory); !(await isDirectory(path)); path = dirname(path)) missing.unshift(path);
  for (const path of missing) {
    await mkdir(path, { mode: 0o700 }).catch(async error => {
      // Another process may have made it at this moment.
      if (!(await isDirectory(path))) throw error;
    });
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    found => found.isDirectory() || path === dirname(path),
    () => path === dirname(path),
  );
}
