import type { Instant } from './time.ts';

/**
 * Many deadlines, of which the loop only ever asks for the next one: a binary heap in which each key stands at most
 * once and can be moved or taken out in logarithmic time.
 */
export class Deadlines<Key> {
  readonly #heap: { key: Key; at: Instant }[] = [];
  readonly #position = new Map<Key, number>();

  get size(): number {
    return this.#heap.length;
  }

  next(): Instant | undefined {
    return this.#heap[0]?.at;
  }

  /** When `key` is due, if it is set. */
  at(key: Key): Instant | undefined {
    const position = this.#position.get(key);
    return position === undefined ? undefined : this.#heap[position]?.at;
  }

  set(key: Key, at: Instant): void {
    const position = this.#position.get(key);
    if (position === undefined) {
      this.#heap.push({ key, at });
      this.#position.set(key, this.#heap.length - 1);
      this.#up(this.#heap.length - 1);
      return;
    }
    const entry = this.#heap[position]!;
    entry.at = at;
    this.#up(position);
    this.#down(this.#position.get(key)!);
  }

  clear(key: Key): void {
    const position = this.#position.get(key);
    if (position === undefined) return;
    this.#position.delete(key);
    const last = this.#heap.pop()!;
    if (position === this.#heap.length) return;
    this.#heap[position] = last;
    this.#position.set(last.key, position);
    this.#up(position);
    this.#down(this.#position.get(last.key)!);
  }

  /** Takes out and returns the earliest key that is due at `now`, or `undefined` if none is. */
  takeDue(now: Instant): Key | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    this.clear(first.key);
    return first.key;
  }

  #up(from: number): void {
    let position = from;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (this.#heap[parent]!.at <= this.#heap[position]!.at) return;
      this.#swap(parent, position);
      position = parent;
    }
  }

  #down(from: number): void {
    let position = from;
    for (;;) {
      const left = 2 * position + 1;
      if (left >= this.#heap.length) return;
      const right = left + 1;
      const smaller = right < this.#heap.length && this.#heap[right]!.at < this.#heap[left]!.at ? right : left;
      if (this.#heap[position]!.at <= this.#heap[smaller]!.at) return;
      this.#swap(position, smaller);
      position = smaller;
    }
  }

  #swap(a: number, b: number): void {
    const entryA = this.#heap[a]!;
    const entryB = this.#heap[b]!;
    this.#heap[a] = entryB;
    this.#heap[b] = entryA;
    this.#position.set(entryB.key, a);
    this.#position.set(entryA.key, b);
  }
}
