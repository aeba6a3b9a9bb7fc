import { containsPath, isValuePath, type Path } from '../path.ts';
import type { Entry, ResourceValue } from '../value.ts';
import { ContentError } from './fault.ts';
import { limits } from './limits.ts';
import type { Typing } from './typing.ts';

/** What a codec has read so far: each value typed, below the path that was asked for, and there once. */
export class Collected {
  readonly #base: Path;
  readonly #typing: Typing;
  readonly #entries: Entry[] = [];
  readonly #seen = new Set<string>();

  constructor(base: Path, typing: Typing) {
    this.#base = base;
    this.#typing = typing;
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** Takes a value as a self-describing format spelled it; throws if it does not belong there. */
  add(path: Path, wire: ResourceValue, { time, unit }: Pick<Entry, 'time' | 'unit'> = {}): void {
    if (!isValuePath(path)) throw new ContentError('wrong-path', `${path} has no value of its own`);
    if (!containsPath(this.#base, path)) throw new ContentError('wrong-path', `${path} is not below ${this.#base}`);
    if (this.#entries.length >= limits.maxEntries) throw new ContentError('too-many-entries');
    const place = time === undefined ? path : `${path} ${time}`;
    if (this.#seen.has(place)) throw new ContentError('duplicate-path', path);
    this.#seen.add(place);
    this.#entries.push({
      path,
      value: this.#typing.conform(path, wire),
      ...(time !== undefined && { time }),
      ...(unit !== undefined && { unit }),
    });
  }
}
