import { rmSync, statSync } from 'node:fs';
import { chmod, link, mkdtemp, open, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OperatorError } from './operatorError.ts';

/**
 * Files that are made beside their place, and put there when they are whole: whoever looks finds nothing, or all of it.
 */

/** Runs `work` with a new directory in `parent` that nobody else can look into; it goes away, however this ends. */
export async function withStage<Result>(parent: string, work: (stage: string) => Promise<Result>): Promise<Result> {
  const stage = await mkdtemp(join(parent, '.rollcall-')).catch(error => {
    throw new OperatorError(`nothing can be written to ${parent}: ${error.message}`);
  });
  const clear = (): void => rmSync(stage, { recursive: true, force: true });
  const interrupted = (): never => process.exit(interruptedCode);
  process.once('exit', clear).once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    return await work(stage);
  } finally {
    process.off('exit', clear).off('SIGINT', interrupted).off('SIGTERM', interrupted);
    clear();
  }
}

/** Puts a file in its place, durably, on the same file system. Throws `OperatorError` if there is one already. */
export async function place(file: string, target: string): Promise<void> {
  await chmod(file, 0o600);
  await sync(file);
  await link(file, target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') throw new OperatorError(`${target} exists already, and nothing is written over`);
    throw new OperatorError(`${target} cannot be made: ${error.message}`);
  });
  await sync(dirname(target));
}

/** Throws `OperatorError` if the file system of a directory has not so many bytes left. */
export async function wantRoom(directory: string, bytes: number): Promise<void> {
  const free = await freeBytes(directory);
  if (free >= bytes) return;
  throw new OperatorError(
    `${directory} has ${bytesText(free)} left, and ${bytesText(bytes)} are wanted: name another place`,
  );
}

export async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/** Tells how long a file is until `writing` has ended. */
export async function watched(
  file: string,
  writing: Promise<unknown>,
  progress: (bytes: number) => void,
): Promise<void> {
  const timer = setInterval(() => progress(statSync(file, { throwIfNoEntry: false })?.size ?? 0), watchMilliseconds);
  try {
    await writing;
  } finally {
    clearInterval(timer);
  }
}

export function bytesText(bytes: number): string {
  return bytes < 2 ** 20 ? `${Math.ceil(bytes / 2 ** 10)} KiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`;
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

const watchMilliseconds = 100;
/** As a shell says of what a signal ended. */
const interruptedCode = 130;
