import type { Peer } from '../base/peer.ts';
import type { WallTime } from '../base/time.ts';
import type { ValuePath } from '../lwm2m/path.ts';
import { type Entry, formatValue, measuredAt, type ResourceValue } from '../lwm2m/value.ts';
import type { Row } from './names.ts';

/** The last value of a resource that a device reported, by whatever way: readable while the device sleeps. */
export interface LastValue {
  readonly path: ValuePath;
  readonly value: ResourceValue;
  readonly received: WallTime;
  /** When it was measured, if the device said so. */
  readonly measured: WallTime | undefined;
  readonly source: ValueSource;
  /** The association and the DTLS record that brought it, so that a copy of the record does nothing after a restart. */
  readonly peer: Peer | undefined;
  readonly sequence: number | undefined;
}

export type ValueSource = 'notification' | 'read' | 'send' | 'write';

/** Written over what was there. A conflict if the registration is over. */
export interface ValueChange {
  readonly row: Row;
  readonly generation: number;
  readonly value: LastValue;
}

/** How a value came. */
export type Receipt = Pick<LastValue, 'received' | 'source' | 'peer' | 'sequence'>;

/**
 * What a report makes of the last values: of each path the newest entry. What is new beyond `room` is left out: then
 * `refused` says how many, and the values that were there before stay.
 */
export function lastValues(
  row: Row,
  generation: number,
  entries: readonly Entry[],
  receipt: Receipt,
  isKnown: (path: ValuePath) => boolean,
  room: () => number,
): { changes: ValueChange[]; refused: number } {
  const newest = new Map<ValuePath, LastValue>();
  for (const entry of entries) {
    const value = { path: entry.path, value: entry.value, measured: measuredAt(entry, receipt.received), ...receipt };
    const before = newest.get(entry.path);
    if (before === undefined || (value.measured ?? value.received) >= (before.measured ?? before.received)) {
      newest.set(entry.path, value);
    }
  }
  const changes: ValueChange[] = [];
  let refused = 0;
  let left: number | undefined;
  for (const value of newest.values()) {
    if (!isKnown(value.path)) {
      left ??= room();
      if (left <= 0) {
        refused++;
        continue;
      }
      left--;
    }
    changes.push({ row, generation, value });
  }
  return { changes, refused };
}

/** As JSON has it: bytes in hexadecimal, times in ISO 8601, links as `3303:0`, integers beyond 2^53 as texts. */
export function jsonValue(value: ResourceValue): string | number | boolean {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value !== 'object') return value;
  return formatValue(value);
}

/** What an event says of a report: the first values, and how many there are besides. */
export function valueDetails(entries: readonly Entry[], refused: number): Readonly<Record<string, unknown>> {
  const shown = entries.slice(0, shownValues);
  return {
    values: Object.fromEntries(shown.map(({ path, value }) => [path, short(jsonValue(value))])),
    ...(entries.length > shown.length ? { more: entries.length - shown.length } : {}),
    ...(refused > 0 ? { refused } : {}),
  };
}

function short(value: string | number | boolean): string | number | boolean {
  return typeof value === 'string' && value.length > longestShown ? `${value.slice(0, longestShown)}…` : value;
}

/** An event has a few hundred bytes; the values themselves stand in the store. */
const shownValues = 8;
const longestShown = 64;
