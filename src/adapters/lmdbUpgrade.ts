import type { Row } from '../fleet/names.ts';
import { termChanges } from '../fleet/terms.ts';
import { DirectoryLock } from './directoryLock.ts';
import { type Environment, transact, writeMeta } from './lmdbEnvironment.ts';
import { decodeRecord, storeForm } from './lmdbForms.ts';
import { TermWrites } from './lmdbTerms.ts';

/**
 * Brings a store of an earlier form to the newest by making its index: form 1 had none, and form 2 had names and events
 * in CBOR, which are still read. A server of an earlier version must not run on it meanwhile, since it would not keep the
 * index; interrupted, it begins again with the next one that opens the store.
 * Returns how many records there are.
 */
export async function buildIndex(environment: Environment, directory: string): Promise<number> {
  const lock = await DirectoryLock.take(directory);
  try {
    const indexed = await fillIndex(environment);
    await transact(environment, () => void writeMeta(environment, 'form', storeForm));
    return indexed;
  } finally {
    await lock.release();
  }
}

/** Makes the index from the records, whatever it held before. Returns how many records there are. */
export async function fillIndex(environment: Environment): Promise<number> {
  await environment.gate.pass(() => environment.terms.clearAsync());
  let indexed = 0;
  for (let from = 1; from > 0; ) {
    from = await transact(environment, () => {
      const terms = new TermWrites();
      let last = 0;
      let count = 0;
      for (const { key, value } of environment.devices.getRange({ start: from, limit: pageLength })) {
        terms.note(key as Row, termChanges(undefined, decodeRecord(key as Row, value)));
        last = key;
        count++;
      }
      terms.write(environment);
      indexed += count;
      return count < pageLength ? 0 : last + 1;
    });
  }
  return indexed;
}

const pageLength = 1024;
