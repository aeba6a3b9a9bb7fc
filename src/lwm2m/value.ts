import { type Bytes, sameBytes, toHex } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import type { ValuePath } from './path.ts';

/**
 * The value of a resource (LwM2M Core 1.2 appendix C): String and Corelnk are texts, Float a number, Integer and
 * Unsigned Integer a number, or a `bigint` beyond 2^53, Opaque bytes. A value whose resource nobody defined has the
 * type that it had on the wire.
 */
export type ResourceValue = string | number | bigint | boolean | Bytes | Time | ObjectLink;

/** A Time: in seconds since 1970-01-01T00:00Z, whole, possibly negative. An object, so that no integer passes for it. */
export interface Time {
  readonly unix: number;
}

/** An Objlnk: an object instance. 65535 in both stands for "none". */
export interface ObjectLink {
  readonly object: number;
  readonly instance: number;
}

/** One value, where it stands, and when it was measured. */
export interface Entry {
  readonly path: ValuePath;
  readonly value: ResourceValue;
  /**
   * In seconds, as SenML has it: since 1970 if 2^28 or more, else counted from the receipt (RFC 8428 §4.5.3). Absent
   * means that the sender said nothing. `measuredAt` makes a point in time of it.
   */
  readonly time?: number;
  /** What the sender said it counts in; else the definition tells. */
  readonly unit?: string;
}

/** When a value was measured that came at `received`: `undefined` if the sender did not say. */
export function measuredAt({ time }: Pick<Entry, 'time'>, received: WallTime): WallTime | undefined {
  if (time === undefined) return undefined;
  return (time >= firstAbsoluteTime ? time * 1000 : received + time * 1000) as WallTime;
}

export function isBytes(value: ResourceValue): value is Bytes {
  return value instanceof Uint8Array;
}

export function isTime(value: ResourceValue): value is Time {
  return typeof value === 'object' && 'unix' in value;
}

export function isObjectLink(value: ResourceValue): value is ObjectLink {
  return typeof value === 'object' && 'object' in value;
}

export function sameValue(a: ResourceValue, b: ResourceValue): boolean {
  if (typeof a !== 'object' || typeof b !== 'object') return Object.is(a, b);
  if (isBytes(a)) return isBytes(b) && sameBytes(a, b);
  if (isTime(a)) return isTime(b) && a.unix === b.unix;
  return isObjectLink(b) && a.object === b.object && a.instance === b.instance;
}

/** As people read it: bytes in hexadecimal, links as `3303:0`, times in ISO 8601. */
export function formatValue(value: ResourceValue): string {
  if (typeof value !== 'object') return String(value);
  if (isBytes(value)) return toHex(value);
  if (isTime(value)) return formatTime(value);
  return formatObjectLink(value);
}

export function formatObjectLink({ object, instance }: ObjectLink): string {
  return `${object}:${instance}`;
}

/** `undefined` if the text is not two identifiers with a colon between them. */
export function parseObjectLink(text: string): ObjectLink | undefined {
  const match = /^(\d{1,5}):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [object, instance] = [Number(match[1]), Number(match[2])];
  return object > 0xffff || instance > 0xffff ? undefined : { object, instance };
}

/** Beyond what a calendar date can be, the bare seconds. */
function formatTime({ unix }: Time): string {
  const date = new Date(unix * 1000);
  return Number.isNaN(date.getTime()) ? `${unix} s` : date.toISOString().replace('.000Z', 'Z');
}

/** Smaller values of `t` are relative to the receipt (RFC 8428 §4.5.3). */
const firstAbsoluteTime = 2 ** 28;
