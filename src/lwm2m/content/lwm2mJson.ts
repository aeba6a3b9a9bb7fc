import { fromBase64, toBase64 } from '../../base/base64.ts';
import { type Bytes, utf8 } from '../../base/bytes.ts';
import { type Path, parsePath, rootPath, type ValuePath } from '../path.ts';
import {
  type Entry,
  formatObjectLink,
  isBytes,
  isObjectLink,
  isTime,
  parseObjectLink,
  type ResourceValue,
} from '../value.ts';
import { Collected } from './collected.ts';
import { ContentError } from './fault.ts';
import { isJsonObject, type JsonObject, type JsonValue, numberText, readJson } from './json.ts';
import type { Typing } from './typing.ts';

/**
 * The JSON of LwM2M 1.0 (Content-Format 11543; LwM2M 1.0 §6.4.4): `{"bn":"/3/0/","e":[{"n":"0","sv":"ACME"}]}`. Names
 * are relative to the base name, or where there is none to the path that was asked for. Bytes are a Base64 `sv`.
 */
export function decodeLwm2mJson(base: Path, payload: Bytes, typing: Typing): readonly Entry[] {
  const document = readJson(payload);
  if (!isJsonObject(document)) throw malformed('not an object');
  const elements = document.get('e');
  if (!Array.isArray(elements)) throw malformed('"e" is no array');
  const baseName = text(document, 'bn') ?? base;
  const baseTime = time(document, 'bt');
  const collected = new Collected(base, typing);
  for (const element of elements as readonly JsonValue[]) {
    if (!isJsonObject(element)) throw malformed('an element that is no object');
    const path = elementPath(baseName, text(element, 'n') ?? '');
    const own = time(element, 't');
    const at = own === undefined ? baseTime : own + (baseTime ?? 0);
    collected.add(path, elementValue(element, path, typing), at === undefined ? {} : { time: at });
  }
  return collected.entries;
}

export function encodeLwm2mJson(base: Path, entries: readonly Entry[], typing: Typing): Bytes {
  const baseName = base === rootPath ? '/' : `${base}/`;
  const elements = entries.map(entry => {
    typing.check(entry);
    const { path, value } = entry;
    if (path !== base && !path.startsWith(baseName)) throw new ContentError('wrong-path', `${path} is not in ${base}`);
    const at = entry.time === undefined ? '' : `,"t":${numberText(entry.time)}`;
    return `{"n":${JSON.stringify(path.slice(baseName.length))},${valueField(value)}${at}}`;
  });
  return utf8(`{"bn":${JSON.stringify(baseName)},"e":[${elements.join(',')}]}`);
}

function elementPath(baseName: string, name: string): Path {
  // Some write `/3/0` and `0`, some `/3/0/` and `0`, some the whole path as name, and for one resource no name at all.
  const joined = name.startsWith('/') ? name : `${baseName.replace(/\/$/, '')}/${name}`;
  const path = parsePath(joined.length > 1 ? joined.replace(/\/$/, '') : joined);
  if (path === undefined) throw new ContentError('wrong-path', `"${baseName}" and "${name}"`);
  return path;
}

function elementValue(element: JsonObject, path: Path, typing: Typing): ResourceValue {
  const present = (['v', 'sv', 'bv', 'ov'] as const).filter(label => element.has(label));
  if (present.length !== 1) throw malformed(`${path} has ${present.length} values`);
  const label = present[0]!;
  const value = element.get(label)!;
  if (label === 'v' && (typeof value === 'number' || typeof value === 'bigint')) return value;
  if (label === 'bv' && typeof value === 'boolean') return value;
  if (typeof value !== 'string' || label === 'v' || label === 'bv') throw malformed(`"${label}" of ${path}`);
  const isOpaque = label === 'sv' && typing.type(path as ValuePath) === 'opaque';
  const read = label === 'ov' ? parseObjectLink(value) : isOpaque ? fromBase64(value, 'base64') : value;
  if (read === undefined) throw malformed(`"${label}" of ${path}`);
  return read;
}

function valueField(value: ResourceValue): string {
  if (typeof value === 'number' || typeof value === 'bigint') return `"v":${numberText(value)}`;
  if (typeof value === 'boolean') return `"bv":${value}`;
  if (typeof value === 'string') return `"sv":${JSON.stringify(value)}`;
  if (isTime(value)) return `"v":${value.unix}`;
  if (isObjectLink(value)) return `"ov":"${formatObjectLink(value)}"`;
  return `"sv":"${isBytes(value) ? toBase64(value, 'base64') : ''}"`;
}

function text(object: JsonObject, name: string): string | undefined {
  const value = object.get(name);
  if (value !== undefined && typeof value !== 'string') throw malformed(`"${name}" is no text`);
  return value;
}

function time(object: JsonObject, name: string): number | undefined {
  const value = object.get(name);
  if (value !== undefined && !Number.isFinite(value)) throw malformed(`"${name}" is no time`);
  return value as number | undefined;
}

function malformed(detail: string): ContentError {
  return new ContentError('malformed', detail);
}
