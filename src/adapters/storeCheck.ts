import { statSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from './operatorError.ts';
import { type Header, StoreFile, type Tree } from './storeFile.ts';
import { type Damage, StorePages } from './storePages.ts';

/**
 * Whether a store can be handed to LMDB, which trusts what it maps into memory: a damaged file would end the process
 * without a word. The headers are looked at whenever a store is opened, the pages by a server that starts.
 */

/** Throws `OperatorError` if a header is damaged. */
export function checkHeaders(directory: string): void {
  inspect(directory, file => {
    const { damage } = file.headers();
    if (damage.length > 0) throw damaged(directory, damage[0]!);
  });
}

/**
 * Throws `OperatorError` if something is wrong with the pages. Of a large store only what can be seen without reading all
 * of each, so that a start does not wait for it.
 */
export function checkPages(directory: string): void {
  inspect(directory, file => {
    for (let attempt = 1; ; attempt++) {
      const { headers } = file.headers();
      const look = file.size <= readInFull ? readInOneGo : skim;
      const damage = headers[0] === undefined ? [] : look(file, headers[0]);
      if (damage[0] === undefined) return;
      // Somebody may have written meanwhile, and used pages again that were free: then this says nothing.
      const isStill = file.headers().headers[0]?.transaction === headers[0]?.transaction;
      if (isStill) throw damaged(directory, describe(damage[0]));
      if (attempt === attempts) return;
    }
  });
}

/** Whether everything that a header leads to is sound; everything of every page is looked at. */
export function readAll(
  file: StoreFile,
  header: Header,
  progress: (pages: number, of: number) => void = () => undefined,
): StructureReport {
  const damage: Damage[] = [];
  const pages = new StorePages(file, header, found => damage.push(found));
  const databases = pages.databases();
  for (const [name, tree] of databases) {
    let entries = 0;
    for (const _ of pages.entries(tree, name)) if (++entries % 1000 === 0) progress(pages.pages, header.lastPage);
  }
  pages.checkFree();
  return { damage, databases, pages: pages.pages };
}

/** Whether the names of the sub-databases are sound, which LMDB reads when it opens a store. */
export function readNames(file: StoreFile, header: Header): boolean {
  let isSound = true;
  new StorePages(file, header, () => {
    isSound = false;
  }).databases();
  return isSound;
}

/** What is wrong first with a file that nobody writes to; `undefined` if nothing is. */
export function readSound(path: string, progress?: (pages: number, of: number) => void): string | undefined {
  const file = StoreFile.open(path);
  try {
    const { headers, damage } = file.headers();
    if (damage.length > 0 || headers[0] === undefined) return damage[0];
    const found = readAll(file, headers[0], progress).damage[0];
    return found && describe(found);
  } finally {
    file.close();
  }
}

/**
 * Inside a write transaction, and so while nobody else commits: throws `OperatorError` unless it goes on from the newest
 * state that the file has. It may not where a program that does not keep to `withDoor` opened the store, or one that was
 * stopped while it did: LMDB would write over what was committed last.
 */
export function checkNewest(directory: string, transaction: number): void {
  inspect(directory, file => {
    const { headers, damage } = file.headers();
    if (headers[0] === undefined) throw damaged(directory, damage.join('; '));
    if (headers[0].transaction + 1 === transaction) return;
    throw new OperatorError(
      `nothing is written to the store in ${directory}: another program opened it, and what came last would be undone. Let only Rollcall open it; its next command, for example rollcall device list --data ${directory}, puts it right`,
    );
  });
}

export interface StructureReport {
  readonly damage: readonly Damage[];
  readonly databases: ReadonlyMap<string, Tree>;
  /** How many are in use. */
  readonly pages: number;
}

export function describe({ database, page, what }: Damage): string {
  return `page ${page} of ${database} ${what}`;
}

export function storePath(directory: string): string {
  return join(directory, 'data.mdb');
}

function skim(file: StoreFile, header: Header): Damage[] {
  const damage: Damage[] = [];
  new StorePages(file, header, found => damage.push(found)).skim();
  return damage;
}

function readInOneGo(file: StoreFile, header: Header): readonly Damage[] {
  return readAll(file, header).damage;
}

function inspect(directory: string, look: (file: StoreFile) => void): void {
  const path = storePath(directory);
  // One that another process is making at this moment has nothing in it yet.
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0) return;
  const file = StoreFile.open(path);
  try {
    look(file);
  } finally {
    file.close();
  }
}

/** What LMDB says of a page that cannot be; an error of anything else is returned as it is. */
export function explainDamage(error: unknown, directory: string): unknown {
  const { code, message } = error as { code?: unknown; message: string };
  return damageCodes.has(code) ? damaged(directory, message) : error;
}

function damaged(directory: string, what: string): OperatorError {
  return new OperatorError(
    `the store in ${directory} is damaged: ${what}. See what can be saved: rollcall doctor --data ${directory}; or restore a backup: rollcall restore BACKUP --data ANOTHER`,
  );
}

/** MDB_PAGE_NOTFOUND, MDB_CORRUPTED, MDB_PANIC, MDB_INVALID. */
const damageCodes: ReadonlySet<unknown> = new Set([-30_797, -30_796, -30_795, -30_793]);
const attempts = 5;
/** In bytes: a tenth of a second. */
const readInFull = 32 * 2 ** 20;
