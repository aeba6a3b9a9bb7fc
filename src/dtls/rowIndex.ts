/**
 * Which row has a key, for keys that stand in the rows themselves: open addressing, 8 to 16 bytes a row and nothing for
 * the garbage collector to visit. Keys are unique, and a row's key does not change while it is in here.
 */
export class RowIndex {
  /** Row + 1 of each occupied place, 0 for a free one. At most half of the places are occupied. */
  readonly #places: Int32Array;
  readonly #mask: number;
  readonly #hashOf: (row: number) => number;

  /** `hashOf` gives the hash of a row's key: any integer. */
  constructor(rows: number, hashOf: (row: number) => number) {
    let places = 16;
    while (places < 2 * rows) places *= 2;
    this.#places = new Int32Array(places);
    this.#mask = places - 1;
    this.#hashOf = hashOf;
  }

  /** The row of the key with this hash that `has` it, or `-1`. */
  find(hash: number, has: (row: number) => boolean): number {
    for (let place = hash & this.#mask; ; place = (place + 1) & this.#mask) {
      const row = this.#places[place]! - 1;
      if (row < 0 || has(row)) return row;
    }
  }

  add(row: number): void {
    let place = this.#hashOf(row) & this.#mask;
    while (this.#places[place] !== 0) place = (place + 1) & this.#mask;
    this.#places[place] = row + 1;
  }

  /** While the row still holds its key. */
  delete(row: number): void {
    let hole = this.#hashOf(row) & this.#mask;
    while (this.#places[hole] !== row + 1) hole = (hole + 1) & this.#mask;
    // Moves back whatever stands behind the hole and wants to stand at or before it, so that no search ends early.
    for (let place = (hole + 1) & this.#mask; this.#places[place] !== 0; place = (place + 1) & this.#mask) {
      const wanted = this.#hashOf(this.#places[place]! - 1) & this.#mask;
      if (((place - wanted) & this.#mask) < ((place - hole) & this.#mask)) continue;
      this.#places[hole] = this.#places[place]!;
      hole = place;
    }
    this.#places[hole] = 0;
  }
}

/** Spreads one or two whole numbers below 2^53 over 32 bits. The numbers are ours: nobody chooses them to collide. */
export function hashOf(a: number, b = 0): number {
  let hash = Math.imul(a | 0, 0x9e3779b1) ^ Math.imul((a / 2 ** 32) | 0, 0x85ebca77);
  hash = Math.imul(hash ^ (hash >>> 15) ^ (b | 0), 0xc2b2ae3d) ^ Math.imul((b / 2 ** 32) | 0, 0x27d4eb2f);
  return hash ^ (hash >>> 13);
}
