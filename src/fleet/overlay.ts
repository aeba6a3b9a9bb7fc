import type { DeviceRecord } from './device.ts';
import type { EndpointName, Row, Sector } from './names.ts';
import type { Commit, CommitResult } from './store.ts';

/**
 * The changes of a store that are under way, laid over what is stored, so that the next decision sees them. For each
 * it is known on which others it rests: if one of those is not written, nor may it be, even where the version fits by
 * chance, because somebody else made the same number of changes.
 *
 * `lay` each commit when it is asked for; `written` when it was checked and put into a transaction, or was not; `settle`
 * when that is over.
 */
export class Overlay {
  readonly #records = new Map<Row, { record: DeviceRecord; by: Underway }>();
  readonly #names = new Map<string, Row>();

  record(row: Row): DeviceRecord | undefined {
    return this.#records.get(row)?.record;
  }

  row(name: EndpointName, sector: Sector | undefined): Row | undefined {
    return this.#names.size === 0 ? undefined : this.#names.get(keyOf(name, sector));
  }

  lay({ devices }: Commit): Underway {
    const underway: Underway = { restsOn: [], isWritten: false };
    for (const { record, expected } of devices) {
      const before = this.#records.get(record.row);
      if (before !== undefined) underway.restsOn.push(before.by);
      this.#records.set(record.row, { record, by: underway });
      if (expected === 0) this.#names.set(keyOf(record.name, record.sector), record.row);
    }
    return underway;
  }

  settle({ devices }: Commit, underway: Underway, result: CommitResult): void {
    underway.isWritten = result === 'durable';
    underway.restsOn = [];
    for (const { record, expected } of devices) {
      // What was laid over a change that is not so rests on nothing: nobody is to decide on it any more.
      const isTop = this.#records.get(record.row)?.by === underway;
      if (result !== 'durable' || isTop) this.#records.delete(record.row);
      if (expected === 0) this.#names.delete(keyOf(record.name, record.sector));
    }
  }
}

/** One commit, from when it is asked for until it is settled. */
export interface Underway {
  restsOn: Underway[];
  /** In the transaction at hand or in one before. */
  isWritten: boolean;
}

/** Whether everything that a commit was decided on is so. */
export function stands({ restsOn }: Underway): boolean {
  return restsOn.every(({ isWritten }) => isWritten);
}

function keyOf(name: EndpointName, sector: Sector | undefined): string {
  return `${sector ?? ''}\0${name}`;
}
