import { constants } from 'node:fs';
import { copyFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Bytes, toHex } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import type { Progress } from './backup.ts';
import { Keyring, sameSecret } from './keyring.ts';
import { type Environment, openEnvironment, readMeta, transact } from './lmdbEnvironment.ts';
import { makeDirectory } from './makeDirectory.ts';
import { keyFromEnvironment, masterKeyPath, readKeyFile } from './masterKey.ts';
import { OperatorError } from './operatorError.ts';
import { type Complaint, checkRecords } from './recordCheck.ts';
import { place, wantRoom, watched, withStage } from './staging.ts';
import { readSound, storePath } from './storeCheck.ts';
import { startAnew } from './storeCopy.ts';

/**
 * Makes a data directory of a backup, or of a copied directory. Everything is looked at first, and that the master key
 * opens it; then the copy becomes a registry of its own, see `startAnew`. There must be no store in the directory.
 */
export async function restoreBackup(
  backup: string,
  directory: string,
  keyFile: string | undefined,
  now: WallTime,
  progress: Progress,
): Promise<RestoreResult> {
  const source = await sourceFile(backup);
  const { size } = await stat(source);
  const damage = readSound(source, (pages, of) => progress('check', pages, of));
  if (damage !== undefined) throw new OperatorError(`${source} is damaged, and nothing was restored: ${damage}`);
  await makeDirectory(directory);
  if ((await stat(storePath(directory)).catch(() => undefined)) !== undefined) {
    throw new OperatorError(`there is a store in ${directory}, and nothing is written over: name another directory`);
  }
  const master = await masterKeyFor(directory, keyFile);
  await wantRoom(directory, size);
  return withStage(directory, async stage => {
    const copied = copyFile(source, storePath(stage), constants.COPYFILE_FICLONE);
    await watched(storePath(stage), copied, bytes => progress('write', bytes, size));
    const environment = await openEnvironment(stage, false);
    let result: RestoreResult;
    try {
      const keyring = keyringOf(environment, master);
      const { counts, complaints } = checkRecords(environment, keyring, (done, of) => progress('records', done, of));
      if (counts.unsealed < counts.credentials) {
        throw new OperatorError(
          `${counts.credentials - counts.unsealed} of ${counts.credentials} credentials do not open with this master key: nothing was restored`,
        );
      }
      const at = readMeta(environment, 'backup')?.at ?? readMeta(environment, 'alive');
      await startAnew(environment, now);
      await transact(environment, () => void environment.meta.remove('backup'));
      result = { directory, at: at as WallTime | undefined, ...counts, complaints };
    } finally {
      await environment.root.close();
    }
    if (keyFile !== undefined) await putKey(directory, master);
    await place(storePath(stage), storePath(directory));
    return result;
  });
}

export interface RestoreResult {
  readonly directory: string;
  /** When the backup was taken; of a copied directory when a server was last known to run on it. */
  readonly at: WallTime | undefined;
  readonly devices: number;
  readonly registered: number;
  readonly credentials: number;
  readonly events: number;
  readonly complaints: readonly Complaint[];
}

async function masterKeyFor(directory: string, keyFile: string | undefined): Promise<Bytes> {
  if (keyFile !== undefined) return readKeyFile(keyFile);
  const given = await keyFromEnvironment('ROLLCALL_MASTER_KEY');
  if (given !== undefined) return given;
  const path = masterKeyPath(directory);
  if ((await stat(path).catch(() => undefined)) !== undefined) return readKeyFile(path);
  throw new OperatorError(
    `a backup has no master key in it: name its file with --master-key, set ROLLCALL_MASTER_KEY, or put it at ${path}`,
  );
}

function keyringOf(environment: Environment, master: Bytes): Keyring {
  const wrapped = readMeta(environment, 'keys');
  if (wrapped === undefined) throw new OperatorError('there are no keys in this backup: it is not one of a server');
  const keyring = Keyring.unwrap(master, wrapped);
  if (keyring !== undefined) return keyring;
  throw new OperatorError(
    'the master key is not the one that this backup was sealed under: name its file with --master-key, or set ROLLCALL_MASTER_KEY; after a rotation it is the key from before',
  );
}

/** One that is there already, from an attempt that was interrupted, is fine if it is the same. */
async function putKey(directory: string, master: Bytes): Promise<void> {
  const path = masterKeyPath(directory);
  try {
    await writeFile(path, `${toHex(master)}\n`, { mode: 0o600, flag: 'wx', flush: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && sameSecret(await readKeyFile(path), master)) return;
    throw new OperatorError(`${path} cannot be made: ${(error as Error).message}`);
  }
}

/** A directory stands for the store in it. */
async function sourceFile(backup: string): Promise<string> {
  const found = await stat(backup).catch((error: Error) => {
    throw new OperatorError(`${backup} cannot be read: ${error.message}`);
  });
  return found.isDirectory() ? join(backup, 'data.mdb') : backup;
}
