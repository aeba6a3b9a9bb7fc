import type { Brand } from '../base/brand.ts';

/**
 * Where something stands in a device's tree of objects (LwM2M Core 1.2 §6.1). A path *is* its canonical text, since it
 * is a map key, a store key, a JSON key and a log word: `/`, `/3303`, `/3303/0`, `/3303/0/5700`, `/3303/0/5700/1`.
 * Decimal, without leading zeros, without a slash at the end. Only this file makes one.
 */
export type Path = RootPath | ObjectPath | InstancePath | ResourcePath | ResourceInstancePath;

export type RootPath = Brand<string, 'RootPath'>;
export type ObjectPath = Brand<string, 'ObjectPath'>;
export type InstancePath = Brand<string, 'InstancePath'>;
export type ResourcePath = Brand<string, 'ResourcePath'>;
export type ResourceInstancePath = Brand<string, 'ResourceInstancePath'>;

/** Where a value can stand. */
export type ValuePath = ResourcePath | ResourceInstancePath;

export type PathLevel = 'root' | 'object' | 'instance' | 'resource' | 'resource-instance';

export const rootPath = '/' as RootPath;

/** Identifiers go from 0 to here: 65535 stands for "none" (LwM2M Core 1.2, MAX_ID). */
export const maxPathId = 65_534;

/** The path a text spells, or `undefined` if it is not a path in canonical form. */
export function parsePath(text: string): Path | undefined {
  if (text === '/') return rootPath;
  if (!canonical.test(text)) return undefined;
  for (const segment of text.slice(1).split('/')) if (Number(segment) > maxPathId) return undefined;
  return text as Path;
}

export function objectPath(object: number): ObjectPath {
  return `/${id(object)}` as ObjectPath;
}

export function instancePath(object: number, instance: number): InstancePath {
  return `/${id(object)}/${id(instance)}` as InstancePath;
}

export function resourcePath(object: number, instance: number, resource: number): ResourcePath {
  return `/${id(object)}/${id(instance)}/${id(resource)}` as ResourcePath;
}

/** The path of up to four identifiers; `undefined` if there are more, or one of them is none. */
export function pathOf(ids: readonly number[]): Path | undefined {
  if (ids.length > levels.length - 1 || !ids.every(isPathId)) return undefined;
  return `/${ids.join('/')}` as Path;
}

/** The identifiers a path consists of, none for the root. */
export function pathIds(path: Path): readonly number[] {
  if (path === rootPath) return [];
  const ids: number[] = [];
  let current = 0;
  for (let i = 1; i < path.length; i++) {
    const character = path.charCodeAt(i);
    if (character !== slash) {
      current = current * 10 + character - zero;
    } else {
      ids.push(current);
      current = 0;
    }
  }
  ids.push(current);
  return ids;
}

export function levelOf(path: Path): PathLevel {
  if (path === rootPath) return 'root';
  let slashes = 0;
  for (let i = 0; i < path.length; i++) if (path.charCodeAt(i) === slash) slashes++;
  return levels[slashes]!;
}

export function isValuePath(path: Path): path is ValuePath {
  const level = levelOf(path);
  return level === 'resource' || level === 'resource-instance';
}

/** One level up; the root has no parent. */
export function parentOf(path: Path): Path | undefined {
  if (path === rootPath) return undefined;
  return (path.slice(0, path.lastIndexOf('/')) || '/') as Path;
}

/** One level down; `undefined` below a resource instance, or if `child` is no identifier. */
export function childOf(path: Path, child: number): Path | undefined {
  return pathOf([...pathIds(path), child]);
}

/** The object a path belongs to; `undefined` for the root. */
export function objectOf(path: Path): number | undefined {
  return pathIds(path)[0];
}

/** The resource that a value belongs to: a resource instance's own, a resource itself. */
export function resourceOf(path: ValuePath): ResourcePath {
  return (levelOf(path) === 'resource' ? path : parentOf(path)) as ResourcePath;
}

/** Whether `inner` is `outer` or stands below it. */
export function containsPath(outer: Path, inner: Path): boolean {
  return outer === rootPath || inner === outer || inner.startsWith(`${outer}/`);
}

/** In the order of the tree: parents before children, numbers as numbers. */
export function comparePaths(a: Path, b: Path): number {
  const left = pathIds(a);
  const right = pathIds(b);
  for (let i = 0; i < left.length && i < right.length; i++) {
    if (left[i] !== right[i]) return left[i]! - right[i]!;
  }
  return left.length - right.length;
}

export function isPathId(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= maxPathId;
}

/** For callers that know what they name: a wrong identifier here is a mistake of ours. */
function id(value: number): number {
  if (!isPathId(value)) throw new RangeError(`${value} is no identifier of an object, instance or resource`);
  return value;
}

const canonical = /^(?:\/(?:0|[1-9]\d{0,4})){1,4}$/;
const levels: readonly PathLevel[] = ['root', 'object', 'instance', 'resource', 'resource-instance'];
const slash = 0x2f;
const zero = 0x30;
