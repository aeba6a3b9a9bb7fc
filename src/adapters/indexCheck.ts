import type { Bytes } from '../base/bytes.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import { isDistinct, termsOf } from '../fleet/terms.ts';
import { bucketOf, hashOf, rowsInBucket } from './hashBuckets.ts';
import type { Environment } from './lmdbEnvironment.ts';
import { termKey } from './lmdbForms.ts';
import { RowSet, rowsPerChunk } from './rowSet.ts';

/** What the index would hold of one chunk of rows, made from their records; and whether it does. */
export class ExpectedChunk {
  readonly number: number;
  readonly #rows = new Map<string, RowSet>();
  readonly #buckets = new Map<string, Set<string>>();

  constructor(number: number) {
    this.number = number;
  }

  add(record: DeviceRecord): void {
    const offset = record.row % rowsPerChunk;
    for (const term of new Set(termsOf(record))) {
      if (isDistinct(term)) {
        const hash = hashOf(term);
        entryOf(this.#buckets, bucketOf(hash), () => new Set<string>()).add(`${hash} ${offset}`);
      } else {
        entryOf(this.#rows, term, () => RowSet.empty()).add(offset);
      }
    }
  }

  /** The terms that differ from what is stored, by name. */
  *differences({ terms }: Environment): Generator<string> {
    const range = { start: termKey(this.number, ''), end: termKey(this.number + 1, '') };
    for (const { key, value } of terms.getRange(range)) {
      const term = new TextDecoder().decode(key.subarray(3));
      if (!this.#agrees(term, value)) yield term;
      this.#rows.delete(term);
      this.#buckets.delete(term);
    }
    yield* this.#rows.keys();
    yield* this.#buckets.keys();
  }

  #agrees(term: string, stored: Bytes): boolean {
    const bucket = this.#buckets.get(term);
    if (bucket === undefined) return this.#rows.get(term)?.equals(RowSet.decode(stored)) ?? false;
    const found = rowsInBucket(stored).map(({ hash, offset }) => `${hash} ${offset}`);
    return found.length === bucket.size && found.every(entry => bucket.has(entry));
  }
}

/** The chunks that the index has something of. */
export function* indexedChunks({ terms }: Environment): Generator<number> {
  for (let next = 0; ; ) {
    const [key] = Array.from(terms.getKeys({ start: termKey(next, ''), limit: 1 }));
    if (key === undefined) return;
    const number = (key[0]! << 16) | (key[1]! << 8) | key[2]!;
    yield number;
    next = number + 1;
  }
}

function entryOf<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
