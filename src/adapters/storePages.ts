import type { Bytes } from '../base/bytes.ts';
import { type Header, number64, readTree, type StoreFile, type Tree, treeLength } from './storeFile.ts';

/**
 * Everything that one header leads to. Each page is checked before it is believed: that it is in the file, is the one
 * that was asked for, comes once, and that no offset leads out of it. What does not pass is told to `onDamage` and left
 * out; the rest goes on.
 */
export class StorePages {
  readonly header: Header;
  readonly #file: StoreFile;
  readonly #onDamage: (damage: Damage) => void;
  /** One bit a page: whether something leads to it. */
  readonly #seen: Uint8Array;
  /** How many pages something leads to, so far. */
  pages = 0;

  constructor(file: StoreFile, header: Header, onDamage: (damage: Damage) => void) {
    this.header = header;
    this.#file = file;
    this.#onDamage = onDamage;
    this.#seen = new Uint8Array(Math.ceil((Math.min(header.lastPage, maxPages) + 1) / 8));
  }

  /** The sub-databases by name. */
  databases(): Map<string, Tree> {
    const found = new Map<string, Tree>();
    for (const { key, value, isDatabase } of this.entries(this.header.databases, 'databases')) {
      if (!isDatabase || value.length !== treeLength) continue;
      // The library ends their names as C does.
      found.set(new TextDecoder().decode(key).replace(/\0$/, ''), readTree(value, 0));
    }
    return found;
  }

  /** All entries of a tree in the order of their keys, as views that are valid until the next one. */
  *entries(tree: Tree, database: string): Generator<Entry, void> {
    let found = 0;
    let damaged = false;
    const broken: Broken = (page, what) => {
      damaged = true;
      this.#onDamage({ database, page, what });
    };
    const buffers: Buffer[] = [];
    const open: { page: Buffer; number: number; next: number }[] = [];
    const descend = (number: number): void => {
      if (!this.#claim(number, 1, broken)) return;
      // One buffer for each level of the tree.
      const into = (buffers[open.length] ??= Buffer.alloc(this.header.pageSize));
      const page = this.#checked(number, broken, into);
      if (page !== undefined) open.push({ page, number, next: 0 });
    };
    if (tree.root !== undefined) descend(tree.root);
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const { page, number } = top;
      const index = top.next++;
      if (index === countOf(page)) {
        open.pop();
        continue;
      }
      if (kindOf(page) === branch) {
        descend(childOf(page, index));
        continue;
      }
      found++;
      const entry = this.#entry(page, number, index, broken);
      if (entry !== undefined) yield entry;
    }
    if (!damaged && found !== tree.entries) {
      broken(tree.root ?? 0, `there are ${found} entries, and there should be ${tree.entries}`);
    }
  }

  /** The entries of one leaf, whatever leads to it, as views that are valid until the next one. */
  *leafEntries(number: number, database: string): Generator<Entry, void> {
    const broken: Broken = (page, what) => {
      this.#onDamage({ database, page, what });
    };
    if (!this.#claim(number, 1, broken)) return;
    const page = this.#checked(number, broken, Buffer.alloc(this.header.pageSize));
    if (page === undefined || kindOf(page) !== leaf) return;
    for (let index = 0; index < countOf(page); index++) {
      const entry = this.#entry(page, number, index, broken);
      if (entry !== undefined) yield entry;
    }
  }

  /**
   * All pages, but of leaves no more than their headers: so the file is read in one go, and in a tenth of the time.
   * Whatever is wrong on a larger scale than a page shows.
   */
  skim(): void {
    const leaves = this.#leaves();
    const visit = (tree: Tree, database: string): void => {
      const broken: Broken = (page, what) => {
        this.#onDamage({ database, page, what });
      };
      const open = tree.root === undefined ? [] : [tree.root];
      for (let number = open.pop(); number !== undefined; number = open.pop()) {
        if (!this.#claim(number, 1, broken) || leaves[number] === 1) continue;
        const page = this.#checked(number, broken, Buffer.alloc(this.header.pageSize));
        for (let i = 0; page !== undefined && i < countOf(page); i++) open.push(childOf(page, i));
      }
    };
    visit(this.header.free, 'free pages');
    for (const [name, tree] of this.databases()) visit(tree, name);
  }

  /** Which whole pages of the file have the header of a leaf. */
  #leaves(): Uint8Array {
    const { pageSize, lastPage } = this.header;
    const leaves = new Uint8Array(Math.min(lastPage, maxPages) + 1);
    const bytes = Buffer.alloc(pagesAtOnce * pageSize);
    for (let first = 0; first < leaves.length; first += pagesAtOnce) {
      const length = this.#file.read(first * pageSize, bytes);
      for (let i = 0; (i + 1) * pageSize <= length; i++) {
        const at = i * pageSize;
        if (number64(bytes, at) === first + i && kindOf(bytes, at) === leaf) leaves[first + i] = 1;
      }
    }
    return leaves;
  }

  /** Pages that are free, and that something leads to all the same: the next transactions would write over them. */
  checkFree(): void {
    for (const page of this.freePages()) {
      if (!this.isSeen(page)) continue;
      this.#onDamage({ database: 'free pages', page, what: 'is in use, and free' });
      return;
    }
  }

  /** Each page that is free, as far as the list of them can be read. */
  *freePages(): Generator<number, void> {
    for (const { value } of this.entries(this.header.free, 'free pages')) {
      const view = new DataView(value.buffer, value.byteOffset, value.length);
      for (let at = 8; at + 8 <= value.length; at += 8) {
        let number = Number(view.getBigInt64(at, true));
        let count = 1;
        if (number === 0) continue;
        if (number < 0 && at + 16 <= value.length) {
          count = -number;
          number = Number(view.getBigInt64((at += 8), true));
        }
        for (let page = number; page < number + count && page <= this.header.lastPage; page++) yield page;
      }
    }
  }

  /** Whether something leads to it, so far. */
  isSeen(page: number): boolean {
    return (this.#seen[page >>> 3]! & (1 << (page & 7))) !== 0;
  }

  /** What a page says of itself: a leaf, or the first of the pages of a long value; `undefined` for anything else. */
  kindOf(number: number): PageKind | undefined {
    const page = Buffer.alloc(this.header.pageSize);
    if (this.#file.read(number * page.length, page) < page.length || number64(page, 0) !== number) return undefined;
    if (kindOf(page) === overflow) return { kind: 'long', pages: page.readUInt32LE(20) };
    if (kindOf(page) !== leaf || this.#checked(number, () => undefined, page) === undefined) return undefined;
    const long: PageRange[] = [];
    for (let index = 0; index < countOf(page); index++) {
      const node = nodeOf(page, index);
      if ((page.readUInt16LE(node + 4) & bigData) === 0) continue;
      const at = node + nodeHeaderLength + page.readUInt16LE(node + 6);
      const count = Math.ceil((headerLength + page.readUInt32LE(node)) / page.length);
      long.push({ first: number64(page, at), count });
    }
    return { kind: 'leaf', long };
  }

  /** A branch or a leaf that can be read without looking outside it. */
  #checked(number: number, broken: Broken, page: Buffer): Buffer | undefined {
    const { pageSize } = this.header;
    if (this.#file.read(number * pageSize, page) < pageSize) {
      return broken(number, 'is missing: the file ends before it');
    }
    const kind = kindOf(page);
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22);
    const room = pageSize - headerLength;
    if (number64(page, 0) !== number || (kind !== branch && kind !== leaf)) {
      return broken(number, 'is not what it should be');
    }
    if (lower > upper || upper > room || lower % 2 !== 0) return broken(number, 'has bounds that cannot be');
    for (let i = 0; i < lower / 2; i++) {
      const node = nodeOf(page, i);
      if (node < headerLength + upper || node + nodeHeaderLength > pageSize) {
        return broken(number, 'leads out of itself');
      }
      let end = node + nodeHeaderLength + page.readUInt16LE(node + 6);
      if (kind === leaf) end += (page.readUInt16LE(node + 4) & bigData) === 0 ? page.readUInt32LE(node) : longLength;
      if (end > pageSize) return broken(number, 'leads out of itself');
    }
    return page;
  }

  /** `undefined` if its value cannot be read. */
  #entry(page: Buffer, number: number, index: number, broken: Broken): Entry | undefined {
    const node = nodeOf(page, index);
    const flags = page.readUInt16LE(node + 4);
    const start = node + nodeHeaderLength;
    const end = start + page.readUInt16LE(node + 6);
    const length = page.readUInt32LE(node);
    const value =
      (flags & bigData) === 0 ? view(page, end, end + length) : this.#long(page, end, length, number, broken);
    return value && { key: view(page, start, end), value, isDatabase: (flags & subDatabase) !== 0 };
  }

  /** A value that has pages of its own; the node has their first number. */
  #long(page: Buffer, at: number, length: number, owner: number, broken: Broken): Bytes | undefined {
    const { pageSize, lastPage } = this.header;
    const number = number64(page, at);
    const count = Math.ceil((headerLength + length) / pageSize);
    if (count > lastPage) return broken(owner, 'has a value that is longer than the store');
    if (!this.#claim(number, count, broken)) return undefined;
    const bytes = Buffer.alloc(headerLength + length);
    if (this.#file.read(number * pageSize, bytes) < bytes.length)
      return broken(number, 'is missing: the file ends before it');
    if (number64(bytes, 0) !== number || kindOf(bytes) !== overflow) {
      return broken(number, 'is not what it should be');
    }
    return view(bytes, headerLength, bytes.length);
  }

  /** Whether the pages can be, and nothing led to them before. */
  #claim(number: number, count: number, broken: Broken): boolean {
    if (number < 2 || number + count - 1 > this.header.lastPage || number + count > maxPages) {
      broken(number, 'is none of the store');
      return false;
    }
    for (let page = number; page < number + count; page++) {
      if (this.isSeen(page)) {
        broken(page, 'is used twice');
        return false;
      }
      this.#seen[page >>> 3]! |= 1 << (page & 7);
    }
    this.pages += count;
    return true;
  }
}

/** `long`: where the values of a leaf are that have pages of their own. */
export type PageKind =
  | { readonly kind: 'leaf'; readonly long: readonly PageRange[] }
  | { readonly kind: 'long'; readonly pages: number };

export interface PageRange {
  readonly first: number;
  readonly count: number;
}

export interface Entry {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly isDatabase: boolean;
}

export interface Damage {
  readonly database: string;
  readonly page: number;
  readonly what: string;
}

/** Tells of damage; there is nothing then. */
type Broken = (page: number, what: string) => undefined;

/** Of the page that begins at `at`. */
function kindOf(page: Buffer, at = 0): number {
  return page.readUInt16LE(at + 18) & kinds;
}

/** No `Buffer`, whose `slice` would not copy. */
function view(page: Buffer, start: number, end: number): Bytes {
  return new Uint8Array(page.buffer, page.byteOffset + start, end - start);
}

function countOf(page: Buffer): number {
  return page.readUInt16LE(20) >>> 1;
}

function nodeOf(page: Buffer, index: number): number {
  return headerLength + page.readUInt16LE(headerLength + 2 * index);
}

/** The page that a node of a branch leads to. */
function childOf(page: Buffer, index: number): number {
  const node = nodeOf(page, index);
  return page.readUInt32LE(node) + page.readUInt16LE(node + 4) * 2 ** 32;
}

const pagesAtOnce = 256;
const headerLength = 24;
const nodeHeaderLength = 8;
/** Of what stands in a node for a value with pages of its own: number, transaction, pages. */
const longLength = 24;
const branch = 0x01;
const leaf = 0x02;
const overflow = 0x04;
const kinds = branch | leaf | overflow;
const bigData = 0x01;
const subDatabase = 0x02;
/** Of the 64 GB that a store's map has. */
const maxPages = 2 ** 24;
