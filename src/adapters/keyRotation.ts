import type { CredentialId } from '../fleet/names.ts';
import type { DataDirectory } from './dataDirectory.ts';
import { DirectoryLock } from './directoryLock.ts';
import type { Keyring } from './keyring.ts';
import { type Environment, transact, writeMeta } from './lmdbEnvironment.ts';
import { decodeCredential, encodeCredential } from './lmdbForms.ts';
import { removeSession, resealSession } from './lmdbSessions.ts';
import { keyFromEnvironment, putNextKeyInPlace, writeNextKey } from './masterKey.ts';
import { OperatorError } from './operatorError.ts';

/**
 * Gives a data directory a new master key and seals everything in it anew, all in one transaction. No server may run on
 * it, since a server keeps the old key in memory. Returns how many secrets were sealed.
 *
 * The new key is on the disk before the store needs it, and the old file is replaced last: whenever it is interrupted,
 * the next one to open the directory finds the key that fits.
 */
export async function rotateKey(directory: string, { environment, keyring }: DataDirectory): Promise<RotationResult> {
  const lock = await DirectoryLock.take(directory);
  try {
    const inEnvironment = (await keyFromEnvironment('ROLLCALL_MASTER_KEY')) !== undefined;
    const given = await keyFromEnvironment('ROLLCALL_NEW_MASTER_KEY');
    if (inEnvironment && given === undefined) {
      throw new OperatorError(
        'the master key comes from ROLLCALL_MASTER_KEY: set ROLLCALL_NEW_MASTER_KEY to the new one, and replace the old one afterwards',
      );
    }
    if (!inEnvironment && given !== undefined) {
      throw new OperatorError('ROLLCALL_NEW_MASTER_KEY is for a key that comes from ROLLCALL_MASTER_KEY: unset it');
    }
    const next = keyring.rotated(given ?? (await writeNextKey(directory)));
    const result = await transact(environment, () => reseal(environment, keyring, next));
    if (!inEnvironment) await putNextKeyInPlace(directory);
    return result;
  } finally {
    await lock.release();
  }
}

export interface RotationResult {
  readonly credentials: number;
  readonly sessions: number;
}

function reseal(environment: Environment, from: Keyring, to: Keyring): RotationResult {
  let credentials = 0;
  // Keys first: writing into what is being read would move the cursor.
  const identities = Array.from(environment.credentials.getKeys());
  for (const identity of identities) {
    const credential = decodeCredential(environment.credentials.get(identity)!);
    const key = from.open(credential.sealedKey, identity);
    // What cannot be opened now could not be opened before: it stays as it is, to be looked at.
    if (key === undefined) continue;
    void environment.credentials.put(identity, encodeCredential({ ...credential, sealedKey: to.seal(key, identity) }));
    credentials++;
  }
  let sessions = 0;
  const owners = Array.from(environment.sessions.getKeys());
  for (const credential of owners) {
    const resealed = resealSession(environment.sessions.get(credential)!, from, to);
    if (resealed === undefined) removeSession(environment, credential as CredentialId);
    else {
      void environment.sessions.put(credential, resealed);
      sessions++;
    }
  }
  void writeMeta(environment, 'keys', to.wrapped);
  return { credentials, sessions };
}
