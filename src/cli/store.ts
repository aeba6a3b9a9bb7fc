import { openDataDirectory } from '../adapters/dataDirectory.ts';
import type { Keyring } from '../adapters/keyring.ts';
import { Administration } from '../adapters/lmdbAdmin.ts';
import type { Environment } from '../adapters/lmdbEnvironment.ts';

/**
 * Opens the store for one command, beside a server that may be running, and closes it whatever happens. Only what adds
 * something may make a store where there is none: to everything else a mistyped directory is an error.
 */
export async function withStore<T>(
  directory: string,
  work: (administration: Administration, environment: Environment, keyring: Keyring) => Promise<T>,
  create = false,
): Promise<T> {
  const { environment, keyring } = await openDataDirectory(directory, create);
  try {
    return await work(new Administration(environment, keyring), environment, keyring);
  } finally {
    await environment.root.close();
  }
}
