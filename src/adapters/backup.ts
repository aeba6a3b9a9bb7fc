import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { WallTime } from '../base/time.ts';
import { type Environment, openEnvironment, transact, writeMeta } from './lmdbEnvironment.ts';
import { dropSessions } from './lmdbSessions.ts';
import { makeDirectory } from './makeDirectory.ts';
import { OperatorError } from './operatorError.ts';
import { place, wantRoom, watched, withStage } from './staging.ts';
import { readSound, storePath } from './storeCheck.ts';

/**
 * Copies a store into one file, beside a server that goes on: everything that was durable at one moment. Sessions are
 * left out, since a copy must not wake them, with the pages where they stood; and so is the master key, without which
 * the keys in it cannot be read.
 */
export async function takeBackup(
  environment: Environment,
  target: string,
  at: WallTime,
  progress: Progress,
): Promise<BackupResult> {
  const file = await targetFile(target, at);
  const { size } = await stat(storePath(environment.directory));
  await wantRoom(dirname(file), 2 * size);
  return withStage(dirname(file), async stage => {
    const snapshot = join(stage, 'snapshot');
    const whole = join(stage, 'whole');
    await makeDirectory(snapshot);
    await makeDirectory(whole);
    await watched(storePath(snapshot), environment.root.backup(snapshot, false), bytes =>
      progress('copy', bytes, size),
    );
    const damage = readSound(storePath(snapshot), (pages, of) => progress('check', pages, of));
    if (damage !== undefined) {
      throw new OperatorError(
        `the store is damaged, and no backup was made: ${damage}. See what can be saved: rollcall doctor --data ${environment.directory}`,
      );
    }
    const copy = await openEnvironment(snapshot, false);
    try {
      await dropSessions(copy);
      await transact(copy, () => {
        void copy.meta.remove('home');
        void writeMeta(copy, 'backup', { at });
      });
      // Compacted: what was deleted is not in it.
      const written = copy.root.backup(whole, true);
      await watched(storePath(whole), written, bytes => progress('write', bytes, size));
      await place(storePath(whole), file);
      const [devices, credentials, events] = [copy.devices, copy.credentials, copy.events].map(database =>
        database.getKeysCount(),
      ) as [number, number, number];
      return { file, at, bytes: (await stat(file)).size, devices, credentials, events };
    } finally {
      await copy.root.close();
    }
  });
}

export interface BackupResult {
  readonly file: string;
  readonly at: WallTime;
  readonly bytes: number;
  readonly devices: number;
  readonly credentials: number;
  readonly events: number;
}

/** How far a step has come. */
export type Progress = (step: 'copy' | 'check' | 'write' | 'records', done: number, of: number) => void;

/** In a directory the moment is the name. */
async function targetFile(target: string, at: WallTime): Promise<string> {
  const found = await stat(target).catch(() => undefined);
  if (found?.isDirectory()) {
    const moment = new Date(at).toISOString().replace(/\.\d+/, '').replaceAll(':', '');
    return join(resolve(target), `rollcall-${moment}.mdb`);
  }
  if (found !== undefined) throw new OperatorError(`${target} exists already, and nothing is written over`);
  const parent = dirname(resolve(target));
  if (!(await stat(parent).catch(() => undefined))?.isDirectory()) {
    throw new OperatorError(`the directory ${parent} is not there`);
  }
  return resolve(target);
}
