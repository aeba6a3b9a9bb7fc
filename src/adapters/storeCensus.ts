import type { Header, StoreFile, Tree } from './storeFile.ts';
import { StorePages } from './storePages.ts';

/**
 * Where every page of a store is, as of one header: something leads to it, it is free, or neither. In a sound store there
 * is no third kind, since a transaction that lets go of a page writes it into the list of free ones. So what neither leads
 * to nor is free stands below a page that is damaged, and is as new as everything else: pages of before, and what was
 * deleted, are on that list.
 *
 * That is believed only if it adds up: the names, the free pages and all sub-databases but one are whole, and of that
 * one, whose record says how many pages it has, exactly as many are missing as are left over. `counts` says of which
 * sub-databases it matters what is lost.
 */
export function takeCensus(file: StoreFile, header: Header, counts: (database: string) => boolean): Census {
  const pages = new StorePages(file, header, () => undefined);
  const counted: Counted[] = [];
  const count = (name: string, tree: Tree, read: () => number): void => {
    const before = pages.pages;
    const entries = read();
    counted.push({ name, lostEntries: tree.entries - entries, lostPages: tree.pages - (pages.pages - before) });
  };
  let databases = new Map<string, Tree>();
  count('databases', header.databases, () => {
    databases = pages.databases();
    return databases.size;
  });
  for (const [name, tree] of databases) count(name, tree, () => countOf(pages.entries(tree, name)));
  const free = new Set<number>();
  count('free pages', header.free, () => {
    for (const page of pages.freePages()) free.add(page);
    return header.free.entries;
  });
  const orphans = orphansOf(pages, free, counted);
  let lost = databases.size < header.databases.entries ? Number.POSITIVE_INFINITY : 0;
  for (const { name, lostEntries } of counted) {
    const found = orphans?.database === name ? orphans.entries : 0;
    if (counts(name)) lost += Math.max(0, lostEntries - found);
  }
  return { lost, orphans };
}

export interface Census {
  /** How many entries cannot be read; infinite if nobody knows which sub-databases there are. */
  readonly lost: number;
  readonly orphans: Orphans | undefined;
}

/** Leaves that nothing leads to, since a branch above them is damaged. */
export interface Orphans {
  readonly database: string;
  readonly leaves: readonly number[];
  readonly entries: number;
}

function orphansOf(pages: StorePages, free: ReadonlySet<number>, counted: readonly Counted[]): Orphans | undefined {
  const torn = counted.filter(({ lostPages }) => lostPages !== 0);
  const [tree] = torn;
  if (tree === undefined || torn.length > 1 || tree.name === 'databases' || tree.name === 'free pages')
    return undefined;
  const left = new Set<number>();
  for (let page = 2; page <= pages.header.lastPage; page++) {
    if (!pages.isSeen(page) && !free.has(page)) left.add(page);
  }
  if (left.size !== tree.lostPages) return undefined;
  const leaves = leavesAmong(pages, left);
  let entries = 0;
  for (const number of leaves) entries += countOf(pages.leafEntries(number, tree.name));
  return entries > tree.lostEntries ? undefined : { database: tree.name, leaves, entries };
}

/** Of the pages of a long value only the first has a header; what stands in the others may look like anything. */
function leavesAmong(pages: StorePages, left: ReadonlySet<number>): number[] {
  const values = new Set<number>();
  const leaves: number[] = [];
  const hide = (first: number, count: number): void => {
    for (let page = first; page < first + count && left.has(page); page++) values.add(page);
  };
  for (const page of left) {
    const found = values.has(page) ? undefined : pages.kindOf(page);
    if (found?.kind === 'long') hide(page, found.pages);
    if (found?.kind !== 'leaf') continue;
    leaves.push(page);
    for (const { first, count } of found.long) hide(first, count);
  }
  return leaves.filter(page => !values.has(page));
}

function countOf(entries: Iterable<unknown>): number {
  let count = 0;
  for (const _ of entries) count++;
  return count;
}

interface Counted {
  readonly name: string;
  readonly lostEntries: number;
  readonly lostPages: number;
}
