/**
 * A map that always knows its oldest entry. A plain `Map` keeps the order too, but finding its first entry walks over
 * everything that was deleted before it: in a table that is full, thousands of steps each time.
 */
export class FifoMap<Key, Value> {
  readonly #slots = new Map<Key, Slot<Key, Value>>();
  /** In order of age. A slot that was deleted stays until it is the oldest, or until such slots are the majority. */
  #queue: Slot<Key, Value>[] = [];
  #head = 0;

  get size(): number {
    return this.#slots.size;
  }

  get(key: Key): Value | undefined {
    return this.#slots.get(key)?.value;
  }

  /** The entry becomes the youngest one, even if its key was there before. */
  set(key: Key, value: Value): void {
    this.delete(key);
    const slot: Slot<Key, Value> = { key, value, live: true };
    this.#slots.set(key, slot);
    this.#queue.push(slot);
  }

  delete(key: Key): boolean {
    const slot = this.#slots.get(key);
    if (slot === undefined) return false;
    slot.live = false;
    this.#slots.delete(key);
    this.#trim();
    return true;
  }

  /** The key of the oldest entry. */
  oldestKey(): Key | undefined {
    return this.#queue[this.#head]?.key;
  }

  oldest(): Value | undefined {
    return this.#queue[this.#head]?.value;
  }

  /** All entries, the oldest first. Entries may be deleted meanwhile, but not added. */
  *[Symbol.iterator](): IterableIterator<[Key, Value]> {
    for (const { key, value, live } of this.#queue.slice(this.#head)) if (live) yield [key, value];
  }

  #trim(): void {
    const queue = this.#queue;
    while (this.#head < queue.length && !queue[this.#head]!.live) this.#head++;
    if (queue.length - this.#slots.size <= Math.max(this.#slots.size, smallest)) return;
    this.#queue = queue.filter(({ live }) => live);
    this.#head = 0;
  }
}

interface Slot<Key, Value> {
  readonly key: Key;
  readonly value: Value;
  live: boolean;
}

const smallest = 64;
