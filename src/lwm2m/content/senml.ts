import { type Path, parsePath, rootPath } from '../path.ts';
import { type Entry, formatObjectLink, isBytes, isTime, parseObjectLink, type ResourceValue } from '../value.ts';
import { Collected } from './collected.ts';
import { ContentError } from './fault.ts';
import { limits } from './limits.ts';
import type { Typing } from './typing.ts';

/**
 * A SenML Record (RFC 8428 §4) by the labels of its fields, whatever the representation: `vd` is bytes already, numbers
 * may be a `bigint`, and CBOR may say `v` as a time. `null` stands for what no known field may hold: arrays, maps, null.
 */
export type SenmlRecord = ReadonlyMap<string, ResourceValue | null>;

/** A record by itself: the base fields applied (RFC 8428 §4.6), but a relative time left as it is. */
export interface ResolvedRecord {
  readonly name: string;
  readonly unit: string | undefined;
  /** In seconds; below 2^28 counted from now (RFC 8428 §4.5.3). `undefined` if neither field was there. */
  readonly time: number | undefined;
  /** `undefined` for a record without a value, as in a list of paths to read. */
  readonly value: ResourceValue | undefined;
}

/** Applies the base fields of a pack. Records that hold nothing else disappear. Throws `ContentError`. */
export function* resolveRecords(pack: Iterable<SenmlRecord>): Iterable<ResolvedRecord> {
  let baseName = '';
  let baseUnit: string | undefined;
  let baseTime: number | undefined;
  let baseValue: number | bigint | undefined;
  for (const record of pack) {
    checkFields(record);
    baseName = (record.get('bn') as string | undefined) ?? baseName;
    baseUnit = (record.get('bu') as string | undefined) ?? baseUnit;
    baseTime = asNumber(record.get('bt')) ?? baseTime;
    baseValue = (record.get('bv') as number | bigint | undefined) ?? baseValue;
    if (![...record.keys()].some(label => regularFields.has(label))) continue;
    const time = asNumber(record.get('t'));
    const name = baseName + ((record.get('n') as string | undefined) ?? '');
    if (name.length > limits.maxLength) throw new ContentError('too-long', 'a name');
    yield {
      name,
      unit: (record.get('u') as string | undefined) ?? baseUnit,
      time: time === undefined ? baseTime : time + (baseTime ?? 0),
      value: recordValue(record, baseValue),
    };
  }
}

/** The values of a pack, by path: names are paths in LwM2M (Core 1.2 §7.4.5). */
export function decodeRecords(base: Path, pack: Iterable<SenmlRecord>, typing: Typing): readonly Entry[] {
  const collected = new Collected(base, typing);
  for (const { name, unit, time, value } of resolveRecords(pack)) {
    if (value === undefined) throw malformed(`${name} has no value`);
    collected.add(recordPath(name), value, {
      ...(time !== undefined && { time }),
      ...(unit !== undefined && { unit }),
    });
  }
  return collected.entries;
}

/** The mirror: names relative to a base name that stands in the first record. */
export function encodeRecords(base: Path, entries: readonly Entry[], typing: Typing): SenmlRecord[] {
  return entries.map((entry, index) => {
    typing.check(entry);
    const whole = entries.length === 1 && entry.path === base;
    const baseName = whole ? base : base === rootPath ? '/' : `${base}/`;
    if (!whole && !entry.path.startsWith(baseName))
      throw new ContentError('wrong-path', `${entry.path} not in ${base}`);
    const record = new Map<string, ResourceValue | null>();
    if (index === 0) record.set('bn', baseName);
    if (!whole) record.set('n', entry.path.slice(baseName.length));
    if (entry.unit !== undefined) record.set('u', entry.unit);
    if (entry.time !== undefined) record.set('t', entry.time);
    return record.set(...valueField(entry.value));
  });
}

/** The paths of a pack whose records have no values, as Read-Composite asks (LwM2M Core 1.2 §6.3.8). */
export function decodePathRecords(pack: Iterable<SenmlRecord>): readonly Path[] {
  const paths: Path[] = [];
  for (const { name, value } of resolveRecords(pack)) {
    if (value !== undefined) throw malformed(`${name} has a value`);
    if (paths.length >= limits.maxEntries) throw new ContentError('too-many-entries');
    paths.push(recordPath(name));
  }
  return paths;
}

export function encodePathRecords(paths: readonly Path[]): SenmlRecord[] {
  return paths.map(path => new Map([['n', path as string]]));
}

function recordPath(name: string): Path {
  // A base name may end in a slash that nothing follows.
  const path = parsePath(name.length > 1 && name.endsWith('/') ? name.slice(0, -1) : name);
  if (path === undefined) throw new ContentError('wrong-path', `"${name}"`);
  return path;
}

function checkFields(record: SenmlRecord): void {
  for (const [label, value] of record) {
    const kind = fields.get(label);
    if (kind === undefined) {
      // What must be understood has a name that ends so; what is unknown otherwise is ignored (RFC 8428 §4.4).
      if (label.endsWith('_')) throw new ContentError('unsupported-senml', label);
      continue;
    }
    const fits =
      kind === 'number'
        ? typeof value === 'number' || typeof value === 'bigint' || (label === 'v' && value !== null && isTime(value))
        : kind === 'bytes'
          ? value !== null && isBytes(value)
          : typeof value === kind;
    if (!fits) throw malformed(`"${label}" is no ${kind}`);
    if ((label === 't' || label === 'bt') && !Number.isFinite(Number(value))) throw malformed('a time that is none');
  }
  const version = record.get('bver');
  if (version !== undefined && !(Number.isInteger(version) && Number(version) >= 1 && Number(version) <= 10)) {
    throw new ContentError('unsupported-senml', `version ${version as number}`);
  }
  // No resource of LwM2M is an integral over time: to drop it in silence would be to lose it.
  if (record.has('s') || record.has('bs')) throw new ContentError('unsupported-senml', 'a sum');
}

function recordValue(record: SenmlRecord, baseValue: number | bigint | undefined): ResourceValue | undefined {
  const present = valueFields.filter(label => record.has(label));
  if (present.length > 1) throw malformed(`${present.join(' and ')} in one record`);
  const [label] = present;
  if (label === undefined) return undefined;
  const value = record.get(label)!;
  if (label === 'v' && baseValue !== undefined && !isTime(value)) return sum(value as number | bigint, baseValue);
  if (label !== 'vlo') return value;
  const link = parseObjectLink(value as string);
  if (link === undefined) throw malformed(`"${value as string}" is no object link`);
  return link;
}

function sum(value: number | bigint, base: number | bigint): number | bigint {
  if (typeof value === 'number' && typeof base === 'number') return value + base;
  if (typeof value === 'bigint' && typeof base === 'bigint') return value + base;
  const [whole, other] = typeof value === 'bigint' ? [value, base as number] : [base as bigint, value as number];
  return Number.isInteger(other) ? whole + BigInt(other) : Number(whole) + other;
}

function valueField(value: ResourceValue): [label: string, value: ResourceValue] {
  if (typeof value === 'string') return ['vs', value];
  if (typeof value === 'boolean') return ['vb', value];
  if (typeof value !== 'object') return ['v', value];
  if (isBytes(value)) return ['vd', value];
  return isTime(value) ? ['v', value.unix] : ['vlo', formatObjectLink(value)];
}

function asNumber(value: ResourceValue | null | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

function malformed(detail: string): ContentError {
  return new ContentError('malformed', detail);
}

/** RFC 8428 §4.3, and `vlo`, the object link that LwM2M registered (Core 1.1 §7.4.5). */
const fields: ReadonlyMap<string, 'string' | 'number' | 'boolean' | 'bytes'> = new Map([
  ['bn', 'string'],
  ['bt', 'number'],
  ['bu', 'string'],
  ['bv', 'number'],
  ['bs', 'number'],
  ['bver', 'number'],
  ['n', 'string'],
  ['u', 'string'],
  ['v', 'number'],
  ['vs', 'string'],
  ['vb', 'boolean'],
  ['vd', 'bytes'],
  ['vlo', 'string'],
  ['s', 'number'],
  ['t', 'number'],
  ['ut', 'number'],
]);
const valueFields = ['v', 'vs', 'vb', 'vd', 'vlo'] as const;
const regularFields: ReadonlySet<string> = new Set([...valueFields, 'n', 'u', 's', 't', 'ut']);
