import { FifoMap } from '../base/fifoMap.ts';
import { seconds, type WallTime } from '../base/time.ts';
import { decodeAllocation, type EventRetention } from '../fleet/allocation.ts';
import type { Row } from '../fleet/names.ts';
import { type Environment, lastSequence, readMeta, transact } from './lmdbEnvironment.ts';
import { decodeEvent, decodeRecord } from './lmdbForms.ts';

/**
 * Removes the events that a device's retention leaves no room for: a pass over the log from the newest to the oldest, in
 * slices, that counts for each row what it has kept. The newest event of all stays, since it says which number comes
 * next. Eight bytes a row while a pass is under way.
 */
export class EventSweep {
  readonly #environment: Environment;
  readonly #limits = new FifoMap<Row, EventRetention>();
  #counts: Uint32Array;
  #bytes: Uint32Array;
  #next: number;

  constructor(environment: Environment) {
    this.#environment = environment;
    const rows = (readMeta(environment, 'nextRow') ?? 1) + 1;
    this.#counts = new Uint32Array(rows);
    this.#bytes = new Uint32Array(rows);
    this.#next = lastSequence(environment) - 1;
  }

  /** Looks at up to `limit` events; `undefined` once the pass has come to its end, else how many were removed. */
  async step(wall: WallTime, limit: number): Promise<number | undefined> {
    const { events } = this.#environment;
    const over: number[] = [];
    let looked = 0;
    for (const { key, value } of events.getRange({ start: this.#next, reverse: true, limit })) {
      looked++;
      this.#next = key - 1;
      const { row, at } = decodeEvent(key, value);
      if (!this.#keeps(row, value.length, wall - at)) over.push(key);
    }
    if (looked === 0) return undefined;
    if (over.length === 0) return 0;
    await transact(this.#environment, () => {
      for (const key of over) void events.remove(key);
    });
    return over.length;
  }

  #keeps(row: Row, size: number, age: number): boolean {
    const limits = this.#limitsOf(row);
    // Of a row that is newer than this pass nothing is old.
    if (row >= this.#counts.length) return true;
    const count = this.#counts[row]! + 1;
    const bytes = this.#bytes[row]! + size;
    if (count > limits.count || bytes > limits.bytes || age > seconds(limits.age)) return false;
    this.#counts[row] = count;
    this.#bytes[row] = bytes;
    return true;
  }

  #limitsOf(row: Row): EventRetention {
    const known = this.#limits.get(row);
    if (known !== undefined) return known;
    const bytes = this.#environment.devices.get(row);
    const registration = bytes === undefined ? undefined : decodeRecord(row, bytes).registration;
    const limits = decodeAllocation(registration?.allocation ?? new Uint8Array()).events;
    this.#limits.set(row, limits);
    if (this.#limits.size > knownLimits) this.#limits.delete(this.#limits.oldestKey()!);
    return limits;
  }
}

const knownLimits = 4096;
