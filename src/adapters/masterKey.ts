import { exec } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Bytes, fromHex, toHex } from '../base/bytes.ts';
import { OperatorError } from './operatorError.ts';

/**
 * The key that seals the keys of a data directory: from `ROLLCALL_MASTER_KEY` (64 hexadecimal digits), from what
 * `ROLLCALL_MASTER_KEY_COMMAND` prints, or from the file `master.key`, which the first start makes.
 */
export async function readMasterKey(directory: string, mayCreate: boolean): Promise<Bytes> {
  const given = await keyFromEnvironment('ROLLCALL_MASTER_KEY');
  if (given !== undefined) return given;
  const path = masterKeyPath(directory);
  if (mayCreate) await createUnlessThere(path);
  return readKeyFile(path);
}

/** `undefined` if neither the variable nor the one with a command is set. */
export async function keyFromEnvironment(variable: string): Promise<Bytes | undefined> {
  const text = process.env[variable] || (await printedBy(process.env[`${variable}_COMMAND`], variable));
  if (text === undefined) return undefined;
  const key = fromHex(text.trim());
  if (key?.length === masterKeyLength) return key;
  throw new OperatorError(`${variable} must be 64 hexadecimal digits, for example from: openssl rand -hex 32`);
}

export function masterKeyPath(directory: string): string {
  return join(directory, 'master.key');
}

/** The key that a rotation was about to put in place of the old one, if it was interrupted just then. */
export async function readNextKey(directory: string): Promise<Bytes | undefined> {
  const path = nextKeyPath(directory);
  return stat(path).then(
    () => readKeyFile(path),
    () => undefined,
  );
}

/** Makes a new key and puts it on the disk beside the old one. */
export async function writeNextKey(directory: string): Promise<Bytes> {
  const key = new Uint8Array(randomBytes(masterKeyLength));
  const file = await open(nextKeyPath(directory), 'w', 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(`${toHex(key)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  return key;
}

export async function putNextKeyInPlace(directory: string): Promise<void> {
  await rename(nextKeyPath(directory), masterKeyPath(directory));
  const folder = await open(directory, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export function nextKeyPath(directory: string): string {
  return `${masterKeyPath(directory)}.next`;
}

async function printedBy(command: string | undefined, variable: string): Promise<string | undefined> {
  if (command === undefined || command === '') return undefined;
  try {
    return (await promisify(exec)(command, { timeout: commandTimeout })).stdout;
  } catch {
    // What it printed may hold the key, so it is not quoted.
    throw new OperatorError(`the command in ${variable}_COMMAND failed: run it by hand to see why`);
  }
}

async function createUnlessThere(path: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.chmod(0o600);
      await file.writeFile(`${randomBytes(masterKeyLength).toString('hex')}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Throws `OperatorError` if it is not there, not a key, or can be read by others. */
export async function readKeyFile(path: string): Promise<Bytes> {
  const { mode } = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    throw new OperatorError(
      `${path} is missing, and without it no device's key can be read: restore it from a backup, or set ROLLCALL_MASTER_KEY`,
    );
  });
  if ((mode & 0o077) !== 0) {
    throw new OperatorError(`${path} can be read by others. It seals every device's key: run chmod 600 ${path}`);
  }
  for (let attempt = 0; ; attempt++) {
    const master = fromHex((await readFile(path, 'utf8')).trim());
    if (master?.length === masterKeyLength) return master;
    // Another process may be writing it at this moment.
    if (attempt === 20) {
      throw new OperatorError(`${path} does not hold 64 hexadecimal digits: restore it from a backup`);
    }
    await new Promise(resolve => setTimeout(resolve, 25));
  }
}

const masterKeyLength = 32;
const commandTimeout = 30_000;
