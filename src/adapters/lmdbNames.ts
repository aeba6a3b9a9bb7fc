import { type Bytes, concatBytes, noBytes, utf8 } from '../base/bytes.ts';
import type { Environment } from './lmdbEnvironment.ts';
import { decodeName } from './lmdbForms.ts';
import { RowSet, rowsPerChunk } from './rowSet.ts';

/** The rows of endpoint names, by chunk. */
export type NamedRows = ReadonlyMap<number, RowSet>;

/**
 * The rows of an endpoint name, or of all names that begin like it, in any sector. Names lie by sector, so each sector is
 * looked into, and the next one is found by leaping over it. `undefined` where that would be too many.
 */
export function namedRows(environment: Environment, endpoint: string, prefix: boolean): NamedRows | undefined {
  const { names } = environment;
  const name = utf8(endpoint);
  const found = new Map<number, RowSet>();
  let left = maxNames;
  let sectors = 0;
  for (let sector = sectorFrom(environment, noBytes); sector !== undefined; ) {
    if (++sectors > maxSectors) return undefined;
    const start = concatBytes(sector, nul, name);
    if (prefix) {
      for (const { value } of names.getRange({ start, end: concatBytes(start, last), limit: left })) {
        add(found, value);
        left--;
      }
      if (left === 0) return undefined;
    } else {
      const value = names.get(start);
      if (value !== undefined) add(found, value);
    }
    sector = sectorFrom(environment, concatBytes(sector, afterNul));
  }
  return found;
}

/** The first sector whose names stand at `start` or later; the empty one is the default sector. */
function sectorFrom({ names }: Environment, start: Bytes): Bytes | undefined {
  for (const key of names.getKeys({ start, limit: 1 })) return key.slice(0, key.indexOf(0));
  return undefined;
}

function add(found: Map<number, RowSet>, entry: Bytes): void {
  const { row } = decodeName(entry);
  const chunk = Math.floor(row / rowsPerChunk);
  let rows = found.get(chunk);
  if (rows === undefined) {
    rows = RowSet.empty();
    found.set(chunk, rows);
  }
  rows.add(row % rowsPerChunk);
}

const nul = Uint8Array.of(0);
const afterNul = Uint8Array.of(1);
/** After all of UTF-8. */
const last = Uint8Array.of(0xff);
/** A few milliseconds' worth. */
const maxNames = 4096;
const maxSectors = 256;
