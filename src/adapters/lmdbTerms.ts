import type { Bytes } from '../base/bytes.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { Row } from '../fleet/names.ts';
import type { FoundPage, Selection } from '../fleet/store.ts';
import { isDistinct, overflow, type TermChanges, type TermTest } from '../fleet/terms.ts';
import { bucketOf, changeBucket, findInBucket, type HashedRow, hashOf } from './hashBuckets.ts';
import type { Environment } from './lmdbEnvironment.ts';
import { decodeRecord, termKey } from './lmdbForms.ts';
import { type NamedRows, namedRows } from './lmdbNames.ts';
import { RowSet, rowsPerChunk } from './rowSet.ts';

/**
 * The index: for each chunk of 4096 rows and each term the rows of the chunk that have it. The chunk stands first in the
 * key, so that whatever a new device brings, common words and words of its own, lands on the few pages of the newest
 * chunk; and a lookup, which goes through the chunks in order of rows, needs neither iterator nor sorting, and can stop
 * and go on anywhere.
 */

/** What a group of commits does to the index, gathered so that a term which all its devices have is written once. */
export class TermWrites {
  readonly #chunks = new Map<number, ChunkWrites>();

  /** A change of nothing that the index knows costs nothing. */
  note(row: Row, { removed, added }: TermChanges): void {
    if (removed.size === 0 && added.size === 0) return;
    const number = Math.floor(row / rowsPerChunk);
    let chunk = this.#chunks.get(number);
    if (chunk === undefined) {
      chunk = new ChunkWrites(number);
      this.#chunks.set(number, chunk);
    }
    const offset = row % rowsPerChunk;
    for (const term of removed) chunk.note(term, offset, false);
    for (const term of added) chunk.note(term, offset, true);
  }

  /** Inside the transaction that writes the records. */
  write(environment: Environment): void {
    for (const chunk of this.#chunks.values()) chunk.write(environment);
    this.#chunks.clear();
  }
}

class ChunkWrites {
  readonly #number: number;
  /** The rows of each term, complemented where they lose it; in the order in which that happened. */
  readonly #rows = new Map<string, number[]>();
  readonly #hashed = new Map<string, HashedRow[]>();

  constructor(number: number) {
    this.#number = number;
  }

  note(term: string, offset: number, added: boolean): void {
    if (isDistinct(term)) {
      const hash = hashOf(term);
      pushTo(this.#hashed, bucketOf(hash), { hash, offset, added });
    } else {
      pushTo(this.#rows, term, added ? offset : ~offset);
    }
  }

  write({ terms }: Environment): void {
    for (const [term, offsets] of this.#rows) {
      const key = termKey(this.#number, term);
      const stored = terms.get(key);
      const rows = stored === undefined ? RowSet.empty() : RowSet.decode(stored);
      for (const offset of offsets) {
        if (offset < 0) rows.remove(~offset);
        else rows.add(offset);
      }
      put(terms, key, rows.encode());
    }
    for (const [bucket, changes] of this.#hashed) {
      const key = termKey(this.#number, bucket);
      put(terms, key, changeBucket(terms.get(key), changes));
    }
  }
}

function put(terms: Environment['terms'], key: Bytes, value: Bytes | undefined): void {
  if (value === undefined || value.length === 0) void terms.remove(key);
  else void terms.put(key, value);
}

/** A page of a lookup; see `Store.find`. */
export function findDevices(environment: Environment, selection: Selection, from: Row, limit: number): FoundPage {
  const { devices } = environment;
  const last = lastRow(environment);
  const tests = chunkTests(environment, selection.terms);
  const records: DeviceRecord[] = [];
  let effort = 0;
  for (let chunk = Math.floor(from / rowsPerChunk); chunk * rowsPerChunk <= last; chunk++) {
    const first = chunk * rowsPerChunk;
    if (effort >= maxEffort) return { records, next: Math.max(first, from) as Row };
    const { rows, looks } = candidates(environment, chunk, tests);
    effort += looks;
    if (rows === undefined) continue;
    for (const offset of rows.offsets(Math.max(0, from - first))) {
      const row = (first + offset) as Row;
      if (records.length === limit || effort >= maxEffort) return { records, next: row };
      const bytes = devices.get(row);
      effort += effortOf(bytes, selection.questions);
      const record = bytes === undefined ? undefined : decodeRecord(row, bytes);
      if (record !== undefined && selection.accepts(record)) records.push(record);
    }
  }
  return { records, next: undefined };
}

/** Names are looked for once, by the first test that asks for one: a question full of them costs no more than that. */
function chunkTests(environment: Environment, terms: Selection['terms']): ChunkTest[] {
  const tests: ChunkTest[] = [];
  let named = false;
  for (const test of terms) {
    if (!('endpoint' in test)) tests.push(test);
    else if (!named) {
      tests.push(namedRows(environment, test.endpoint, test.prefix) ?? everyState);
      named = true;
    }
  }
  return tests.length === 0 ? [everyState] : tests;
}

/** The rows of a chunk that pass all tests, as far as the index knows, `undefined` if there are none; and what that cost. */
function candidates(environment: Environment, chunk: number, tests: readonly ChunkTest[]): Candidates {
  // Of the words in ranges, for all tests together.
  const words = { left: maxWords };
  let rows: RowSet | undefined;
  let looks = 1;
  for (const test of tests) {
    const before = words.left;
    const found = passing(environment, chunk, test, words);
    looks += 2 + (before - words.left);
    if ('from' in test) looks += effortOfIterator;
    rows = rows === undefined || found === undefined ? found : rows.and(found);
    if (rows === undefined) break;
  }
  return { rows, looks };
}

function passing(
  environment: Environment,
  chunk: number,
  test: ChunkTest,
  words: { left: number },
): RowSet | undefined {
  const { terms } = environment;
  if (test instanceof Map) return test.get(chunk);
  let rows: RowSet | undefined;
  const add = (stored: Bytes | undefined) => {
    if (stored === undefined) return;
    if (rows === undefined) rows = RowSet.decode(stored);
    else rows.addStored(stored);
  };
  if ('any' in test) {
    for (const term of test.any) {
      if (!isDistinct(term)) {
        add(terms.get(termKey(chunk, term)));
        continue;
      }
      for (const offset of hashedRows(environment, chunk, term)) {
        rows ??= RowSet.empty();
        rows.add(offset);
      }
    }
  } else if ('from' in test) {
    const range = { start: termKey(chunk, test.from), end: termKey(chunk, test.until), limit: words.left };
    if (words.left > 0) {
      for (const { value } of terms.getRange(range)) {
        add(value);
        words.left--;
      }
    }
    // So many words begin like this that looking at all devices costs no more.
    if (words.left === 0) return passing(environment, chunk, everyState, words);
  }
  add(terms.get(termKey(chunk, overflow)));
  return rows;
}

function hashedRows({ terms }: Environment, chunk: number, term: string): number[] {
  const hash = hashOf(term);
  const bucket = terms.get(termKey(chunk, bucketOf(hash)));
  return bucket === undefined ? [] : findInBucket(bucket, hash);
}

/** 0 if there is none. */
function lastRow({ devices }: Environment): number {
  for (const key of devices.getKeys({ reverse: true, limit: 1 })) return key;
  return 0;
}

function pushTo<Value>(map: Map<string, Value[]>, key: string, value: Value): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}

interface Candidates {
  readonly rows: RowSet | undefined;
  /** In looks into the index. */
  readonly looks: number;
}

type ChunkTest = Exclude<TermTest, { endpoint: string }> | NamedRows;

const everyState: ChunkTest = { any: ['state=registered', 'state=none'] };
/** How many words of a chunk are looked at where a question has ranges of them. */
const maxWords = 512;
/** In looks into the index, of about a microsecond: a turn of the loop takes a few milliseconds at most, whatever is asked. */
const maxEffort = 3000;
/** A record is read; what its device said of itself is decoded, and gone through for each question. */
function effortOf(bytes: Bytes | undefined, questions: number): number {
  return 6 + (((bytes?.length ?? 0) * (1 + 2 * questions)) >>> 6);
}

/** Before it has found a word. */
const effortOfIterator = 10;
