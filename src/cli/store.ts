import { Keyring } from '../adapters/keyring.ts';
import { Administration } from '../adapters/lmdbAdmin.ts';
import { type Environment, openEnvironment } from '../adapters/lmdbEnvironment.ts';

/** Opens the store for one command, beside a server that may be running, and closes it whatever happens. */
export async function withStore<T>(
  directory: string,
  work: (administration: Administration, environment: Environment, keyring: Keyring) => Promise<T>,
): Promise<T> {
  const environment = await openEnvironment(directory, true);
  try {
    const keyring = await Keyring.open(directory);
    return await work(new Administration(environment, keyring), environment, keyring);
  } finally {
    await environment.root.close();
  }
}
