import { type Bytes, noBytes } from '../base/bytes.ts';

/**
 * Terms that hardly any two devices share, names and serial numbers: a key for each would put every new device on pages
 * of its own. Instead the terms of a chunk lie in a few buckets by their hash, six bytes each: hash 4, offset of the row 2.
 * What shares a hash by accident is told apart on the record.
 */
export interface HashedRow {
  readonly hash: number;
  readonly offset: number;
  /** Whether the row gets the term, or loses it. */
  readonly added: boolean;
}

/** FNV-1a over the characters. Whoever makes collisions slows down the lookup of his own names. */
export function hashOf(term: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < term.length; i++) hash = Math.imul(hash ^ term.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** The term under which the bucket stands: no attribute begins like it. */
export function bucketOf(hash: number): string {
  return bucketNames[(hash ^ (hash >>> 16)) & (bucketCount - 1)]!;
}

export function changeBucket(stored: Bytes | undefined, changes: readonly HashedRow[]): Bytes {
  let before = stored ?? noBytes;
  const added = new Set<HashedRow>();
  for (const change of changes) {
    if (change.added) {
      added.add(change);
      continue;
    }
    const same = [...added].find(({ hash, offset }) => hash === change.hash && offset === change.offset);
    if (same === undefined) before = without(before, change);
    else added.delete(same);
  }
  const bytes = new Uint8Array(before.length + entryLength * added.size);
  bytes.set(before);
  const view = new DataView(bytes.buffer);
  let at = before.length;
  for (const { hash, offset } of added) {
    view.setUint32(at, hash, true);
    view.setUint16(at + 4, offset, true);
    at += entryLength;
  }
  return bytes;
}

/** Everything that a bucket holds. */
export function rowsInBucket(bucket: Bytes): { readonly hash: number; readonly offset: number }[] {
  const view = new DataView(bucket.buffer, bucket.byteOffset, bucket.length);
  return Array.from({ length: Math.floor(bucket.length / entryLength) }, (_, i) => ({
    hash: view.getUint32(i * entryLength, true),
    offset: view.getUint16(i * entryLength + 4, true),
  }));
}

/** The offsets of the rows with this hash. */
export function findInBucket(bucket: Bytes, hash: number): number[] {
  const view = new DataView(bucket.buffer, bucket.byteOffset, bucket.length);
  const offsets: number[] = [];
  for (let at = 0; at < bucket.length; at += entryLength) {
    if (view.getUint32(at, true) === hash) offsets.push(view.getUint16(at + 4, true));
  }
  return offsets;
}

function without(bucket: Bytes, { hash, offset }: HashedRow): Bytes {
  const view = new DataView(bucket.buffer, bucket.byteOffset, bucket.length);
  for (let at = 0; at < bucket.length; at += entryLength) {
    if (view.getUint32(at, true) !== hash || view.getUint16(at + 4, true) !== offset) continue;
    const rest = new Uint8Array(bucket.length - entryLength);
    rest.set(bucket.subarray(0, at));
    rest.set(bucket.subarray(at + entryLength), at);
    return rest;
  }
  return bucket;
}

const bucketCount = 16;
const bucketNames = Array.from({ length: bucketCount }, (_, i) => `#${i.toString(16)}`);
const entryLength = 6;
