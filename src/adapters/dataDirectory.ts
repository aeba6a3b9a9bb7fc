import { Keyring } from './keyring.ts';
import { type Environment, openEnvironment, readMeta, transact, writeMeta } from './lmdbEnvironment.ts';
import { storeForm } from './lmdbForms.ts';
import { buildIndex } from './lmdbUpgrade.ts';
import { keyFromEnvironment, putNextKeyInPlace, readMasterKey, readNextKey } from './masterKey.ts';
import { OperatorError } from './operatorError.ts';

/** A data directory: the store, and the keys that its secrets are sealed under. */
export interface DataDirectory {
  readonly environment: Environment;
  readonly keyring: Keyring;
}

/**
 * Opens a data directory, making what is missing if `create`. Throws `OperatorError` if it is not there, or if the
 * master key is not the one it was made with: with another one every device would fail its handshake. A store of an
 * earlier version is brought up to date first, and `notice` is told.
 */
export async function openDataDirectory(
  directory: string,
  create: boolean,
  notice: (text: string) => void = toStderr,
): Promise<DataDirectory> {
  const environment = await openEnvironment(directory, create);
  try {
    if (readMeta(environment, 'form') !== storeForm) {
      notice(`the store in ${directory} is of an earlier version and gets its index, once`);
      notice(`${await buildIndex(environment, directory)} devices are indexed`);
    }
    return { environment, keyring: await openKeyring(environment, directory) };
  } catch (error) {
    await environment.root.close();
    throw error;
  }
}

function toStderr(text: string): void {
  process.stderr.write(`rollcall: ${text}\n`);
}

async function openKeyring(environment: Environment, directory: string): Promise<Keyring> {
  const wrapped = readMeta(environment, 'keys');
  const master = await readMasterKey(directory, wrapped === undefined);
  if (wrapped === undefined) {
    const keyring = Keyring.create(master);
    // Another process may do the same at this moment: the first one's keys stand.
    if (await transact(environment, () => claim(environment, keyring))) return keyring;
    return openKeyring(environment, directory);
  }
  const keyring = Keyring.unwrap(master, wrapped) ?? (await finishRotation(environment, directory));
  if (keyring !== undefined) return keyring;
  throw new OperatorError(
    `the master key is not the one that ${directory} was made with: restore its master.key, or set ROLLCALL_MASTER_KEY to that key`,
  );
}

function claim(environment: Environment, keyring: Keyring): boolean {
  if (readMeta(environment, 'keys') !== undefined) return false;
  void writeMeta(environment, 'keys', keyring.wrapped);
  return true;
}

/** A rotation that ended between the store's change and the file's: the new key is the good one. */
async function finishRotation(environment: Environment, directory: string): Promise<Keyring | undefined> {
  if ((await keyFromEnvironment('ROLLCALL_MASTER_KEY')) !== undefined) return undefined;
  const next = await readNextKey(directory);
  const keyring = next && Keyring.unwrap(next, readMeta(environment, 'keys')!);
  if (keyring !== undefined) await putNextKeyInPlace(directory);
  return keyring;
}
