import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { Bytes } from '../base/bytes.ts';
import { OperatorError } from './operatorError.ts';

/**
 * The file of an LMDB store, read page by page without the library: that maps the file into memory and trusts it, so
 * that a damaged one ends the process. Nothing here is ever written.
 *
 * ```
 *  page    number 8 | transaction 8 | – 2 | flags 2 | lower 2, upper 2, or pages 4 | offsets of nodes 2 each … nodes
 *  header  magic 4 | version 4 | – 8 | size of the map 8 | free pages: tree | databases: tree | last page 8 | transaction 8
 *  tree    page size 4, if it is the free pages' | flags 2 | depth 2 | pages 3 × 8 | entries 8 | root 8
 * ```
 * Little-endian. The first two pages are headers, written in turns: the one before the newest is that of the
 * transaction before, whose pages are all there still.
 */
export class StoreFile {
  readonly path: string;
  readonly #descriptor: number;

  private constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  static open(path: string): StoreFile {
    try {
      return new StoreFile(path, openSync(path, 'r'));
    } catch (error) {
      throw new OperatorError(`${path} cannot be read: ${(error as Error).message}`);
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  /** In bytes, at this moment. */
  get size(): number {
    return fstatSync(this.#descriptor).size;
  }

  /** What the headers say, newest first; what is wrong with a header that is not among them is in `damage`. */
  headers(): { readonly headers: readonly Header[]; readonly damage: readonly string[] } {
    const damage: string[] = [];
    const headers: Header[] = [];
    const first = this.#header(0, 0, damage);
    if (first !== undefined) headers.push(first);
    // Where the second one is, only the first one says.
    for (const pageSize of first === undefined ? pageSizes : [first.pageSize]) {
      const complaints: string[] = [];
      const second = this.#header(1, pageSize, complaints);
      if (second === undefined && pageSize !== (first?.pageSize ?? pageSizes.at(-1))) continue;
      if (second !== undefined) headers.push(second);
      damage.push(...complaints);
      break;
    }
    return { headers: headers.sort((a, b) => b.transaction - a.transaction), damage };
  }

  /** Fills `bytes` from what stands at `at`; returns how many there were, fewer where the file ends. */
  read(at: number, bytes: Buffer): number {
    return readSync(this.#descriptor, bytes, 0, bytes.length, at);
  }

  #header(number: number, pageSize: number, damage: string[]): Header | undefined {
    const bytes = Buffer.alloc(headerLength);
    const fault =
      this.read(number * pageSize, bytes) < headerLength
        ? 'is missing: the file ends before it'
        : bytes.every(byte => byte === 0)
          ? 'is all zeros'
          : bytes.readUInt32LE(24) !== magic || (bytes.readUInt16LE(18) & metaFlag) === 0
            ? 'is not one of a store'
            : bytes.readUInt32LE(28) !== version
              ? `is in version ${bytes.readUInt32LE(28)}, and ${version} is what we read`
              : !pageSizes.includes(bytes.readUInt32LE(48))
                ? `says that a page has ${bytes.readUInt32LE(48)} bytes`
                : undefined;
    if (fault !== undefined) {
      damage.push(`header ${number + 1} ${fault}`);
      return undefined;
    }
    return {
      pageSize: bytes.readUInt32LE(48),
      free: readTree(bytes, 48),
      databases: readTree(bytes, 96),
      lastPage: number64(bytes, 144),
      transaction: number64(bytes, 152),
    };
  }
}

export interface Header {
  readonly pageSize: number;
  readonly free: Tree;
  /** The names of the sub-databases, and their trees. */
  readonly databases: Tree;
  readonly lastPage: number;
  /** Counted up with each transaction that wrote something. */
  readonly transaction: number;
}

export interface Tree {
  readonly entries: number;
  /** Of all kinds: branches, leaves, and those of long values. */
  readonly pages: number;
  /** A page number; `undefined` if the tree is empty. */
  readonly root: number | undefined;
}

export function readTree(bytes: Bytes, at: number): Tree {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, treeLength);
  const number = (offset: number): number => Number(view.getBigUint64(offset, true));
  const root = view.getBigUint64(40, true);
  const pages = number(8) + number(16) + number(24);
  return { entries: number(32), pages, root: root === noPage ? undefined : Number(root) };
}

/** Below 2^53: nothing that is counted in a store comes near. */
export function number64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
}

export const treeLength = 48;
const magic = 0xbeefc0de;
const version = 2;
const metaFlag = 0x08;
const headerLength = 168;
const noPage = 2n ** 64n - 1n;
const pageSizes = [4096, 8192, 16_384, 32_768, 65_536];
