import { Deadlines } from '../base/deadlines.ts';
import type { Instant, WallTime } from '../base/time.ts';
import type { Row } from './names.ts';

/**
 * Which rows may have come to the end of their lifetime: buckets of a few seconds, in memory, rebuilt at start. A row
 * stays in its bucket when an update prolongs its lifetime, so that an update costs nothing here; whoever takes a row
 * out looks at its record and, if there is time left, puts it in again. Four bytes a device, and its place in a bucket.
 */
export class ExpiryIndex {
  readonly #buckets = new Map<number, Row[]>();
  readonly #order = new Deadlines<number>();
  /** For each row the bucket it is in, 0 for none. */
  #bucketOf = new Uint32Array(1024);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The row is due at `at` or later. Does nothing if it is in an earlier bucket already. */
  note(row: Row, at: WallTime): void {
    if (row >= this.#bucketOf.length) this.#grow(row);
    const bucket = Math.floor(at / bucketWidth);
    const current = this.#bucketOf[row]!;
    if (current !== 0 && current <= bucket) return;
    // An earlier bucket than before: the place in the later one is stale, and found to be so when it is taken out.
    if (current === 0) this.#size++;
    this.#bucketOf[row] = bucket;
    const rows = this.#buckets.get(bucket);
    if (rows !== undefined) rows.push(row);
    else {
      this.#buckets.set(bucket, [row]);
      this.#order.set(bucket, bucket as unknown as Instant);
    }
  }

  /** Takes out up to `limit` rows of buckets that are over. */
  takeDue(now: WallTime, limit: number): Row[] {
    const due: Row[] = [];
    for (;;) {
      const bucket = this.#order.next() as number | undefined;
      if (bucket === undefined || (bucket + 1) * bucketWidth > now) return due;
      const rows = this.#buckets.get(bucket)!;
      while (rows.length > 0 && due.length < limit) {
        const row = rows.pop()!;
        if (this.#bucketOf[row] !== bucket) continue;
        this.#bucketOf[row] = 0;
        this.#size--;
        due.push(row);
      }
      if (rows.length > 0) return due;
      this.#buckets.delete(bucket);
      this.#order.clear(bucket);
    }
  }

  /** When the next bucket is over. */
  next(): WallTime | undefined {
    const bucket = this.#order.next() as number | undefined;
    return bucket === undefined ? undefined : (((bucket + 1) * bucketWidth) as WallTime);
  }

  #grow(row: number): void {
    const larger = new Uint32Array(Math.max(row + 1, 2 * this.#bucketOf.length));
    larger.set(this.#bucketOf);
    this.#bucketOf = larger;
  }
}

/** In milliseconds: a device may be removed this much later than its lifetime and grace say. */
const bucketWidth = 4000;
