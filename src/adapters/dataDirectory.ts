import { sameBytes } from '../base/bytes.ts';
import { Keyring, OperatorError } from './keyring.ts';
import { type Environment, openEnvironment, readMeta, writeMeta } from './lmdbEnvironment.ts';

/** A data directory: the store, and the master key that its secrets are sealed under. */
export interface DataDirectory {
  readonly environment: Environment;
  readonly keyring: Keyring;
}

/**
 * Opens a data directory, making what is missing if `create`. Throws `OperatorError` if it is not there, or if the
 * master key is not the one its secrets were sealed under: with another one every device would fail its handshake.
 */
export async function openDataDirectory(directory: string, create: boolean): Promise<DataDirectory> {
  const environment = await openEnvironment(directory, create);
  try {
    const known = readMeta(environment, 'masterKeyCheck');
    const keyring = await Keyring.open(directory, known === undefined);
    if (known === undefined) await writeMeta(environment, 'masterKeyCheck', keyring.check);
    else if (!sameBytes(known, keyring.check)) {
      throw new OperatorError(
        `the master key is not the one that ${directory} was made with: restore its master.key, or set ROLLCALL_MASTER_KEY to that key`,
      );
    }
    return { environment, keyring };
  } catch (error) {
    await environment.root.close();
    throw error;
  }
}
