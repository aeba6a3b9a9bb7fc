import { containsPath, isValuePath, type Path, type ValuePath } from '../path.ts';
import type { Entry } from '../value.ts';
import { ContentError } from './fault.ts';

/** Where the value of a format stands that holds one: the format itself does not say. */
export function singlePath(base: Path): ValuePath {
  if (!isValuePath(base)) throw new ContentError('not-one-value', `${base} has many values`);
  return base;
}

/** The one entry that such a format can write. */
export function oneValue(base: Path, entries: readonly Entry[]): Entry {
  const [entry] = entries;
  if (entry === undefined || entries.length > 1) throw new ContentError('not-one-value', `${entries.length} values`);
  if (!containsPath(base, entry.path)) throw new ContentError('wrong-path', `${entry.path} is not below ${base}`);
  return entry;
}
