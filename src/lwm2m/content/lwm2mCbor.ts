import type { Bytes } from '../../base/bytes.ts';
import { comparePaths, type Path, pathIds, pathOf } from '../path.ts';
import type { Entry } from '../value.ts';
import { itemValue, writeValue } from './cbor.ts';
import { type CborItem, CborMap, readCbor } from './cborItem.ts';
import { CborWriter } from './cborWriter.ts';
import { Collected } from './collected.ts';
import { ContentError } from './fault.ts';
import { limits } from './limits.ts';
import type { Typing } from './typing.ts';

/**
 * LwM2M CBOR (Content-Format 11544; LwM2M Core 1.2 §7.4.7): maps inside each other, one for each level of the path, or
 * several levels at once where a key is an array: `{3: {0: {0: "ACME"}}}` is `{[3, 0, 0]: "ACME"}`.
 */
export function decodeLwm2mCbor(base: Path, payload: Bytes, typing: Typing): readonly Entry[] {
  const collected = new Collected(base, typing);
  for (const [path, item] of leaves(payload)) collected.add(path, itemValue(item));
  return collected.entries;
}

export function encodeLwm2mCbor(_base: Path, entries: readonly Entry[], typing: Typing): Bytes {
  const sorted = [...entries].sort((a, b) => comparePaths(a.path, b.path));
  for (const entry of sorted) {
    typing.check(entry);
    if (entry.time !== undefined) throw new ContentError('not-representable', 'LwM2M CBOR has no times');
  }
  const writer = new CborWriter();
  const leaves = sorted.map(entry => ({ ids: pathIds(entry.path), entry }));
  writeLevel(writer, leaves, 0, typing);
  return writer.finish();
}

/** A list of paths: every end is `null`. */
export function decodeLwm2mCborPaths(payload: Bytes): readonly Path[] {
  const paths: Path[] = [];
  for (const [path, item] of leaves(payload)) {
    if (item !== null) throw new ContentError('malformed', `${path} has a value`);
    if (paths.length >= limits.maxEntries) throw new ContentError('too-many-entries');
    paths.push(path);
  }
  return paths;
}

export function encodeLwm2mCborPaths(paths: readonly Path[]): Bytes {
  const writer = new CborWriter();
  writer.map(paths.length);
  for (const path of paths) {
    const ids = pathIds(path);
    writer.array(ids.length);
    for (const id of ids) writer.integer(id);
    writer.null();
  }
  return writer.finish();
}

/** What stands at the ends of the maps, with its path. */
function* leaves(payload: Bytes): Iterable<readonly [path: Path, item: CborItem]> {
  const item = readCbor(payload);
  if (!(item instanceof CborMap)) throw new ContentError('malformed', 'not a map');
  yield* leavesBelow([], item);
}

function* leavesBelow(ids: readonly number[], map: CborMap): Iterable<readonly [path: Path, item: CborItem]> {
  for (const [key, item] of map.pairs) {
    const below = [...ids, ...keyIds(key)];
    if (item instanceof CborMap) {
      if (below.length > 3) throw new ContentError('wrong-path', `a map below /${below.join('/')}`);
      yield* leavesBelow(below, item);
      continue;
    }
    const path = pathOf(below);
    if (path === undefined) throw new ContentError('wrong-path', `/${below.join('/')}`);
    yield [path, item];
  }
}

function keyIds(key: CborItem): readonly number[] {
  const ids = Array.isArray(key) ? (key as readonly CborItem[]) : [key];
  if (ids.length === 0 || ids.length > 4 || !ids.every(id => typeof id === 'number')) {
    throw new ContentError('malformed', 'a key is neither an identifier nor a list of them');
  }
  return ids as readonly number[];
}

interface Leaf {
  readonly ids: readonly number[];
  readonly entry: Entry;
}

/** One map for what these leaves have at `level`; one key for several levels, as long as there is no choice. */
function writeLevel(writer: CborWriter, leaves: readonly Leaf[], level: number, typing: Typing): void {
  const groups = new Map<number, Leaf[]>();
  for (const leaf of leaves) {
    const id = leaf.ids[level]!;
    const group = groups.get(id);
    if (group === undefined) groups.set(id, [leaf]);
    else group.push(leaf);
  }
  writer.map(groups.size);
  for (const group of groups.values()) {
    const first = group[0]!;
    const depth = sharedDepth(group, level);
    if (depth === level + 1) writer.integer(first.ids[level]!);
    else {
      writer.array(depth - level);
      for (let i = level; i < depth; i++) writer.integer(first.ids[i]!);
    }
    if (first.ids.length > depth) writeLevel(writer, group, depth, typing);
    else if (group.length === 1) writeValue(writer, first.entry.value, typing.type(first.entry.path));
    else throw new ContentError('duplicate-path', first.entry.path);
  }
}

/** How many identifiers from the root all of them share. */
function sharedDepth(leaves: readonly Leaf[], from: number): number {
  const first = leaves[0]!.ids;
  let depth = from + 1;
  while (depth < first.length && leaves.every(({ ids }) => ids[depth] === first[depth])) depth++;
  return depth;
}
