import { type Bytes, textOf, utf8 } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import { assertNever } from '../../base/unreachable.ts';
import { Writer } from '../../base/writer.ts';
import type { ResourceType } from '../definition.ts';
import { levelOf, type Path, pathIds, pathOf, type ValuePath } from '../path.ts';
import { type Entry, isBytes, isObjectLink, isTime, type ResourceValue } from '../value.ts';
import { Collected } from './collected.ts';
import { ContentError, wrongType } from './fault.ts';
import { limits } from './limits.ts';
import { narrowed, type Typing } from './typing.ts';

/**
 * TLV (Content-Format 11542; LwM2M Core 1.2 §7.4.8). One element, with lengths of up to 24 bits:
 *
 * ```
 *   7 6    5    4 3    2 1 0
 * +-----+-----+-----+-------+---------------+-----------------+-------
 * | kind| id  | len | length|  Identifier   | Length          | Value
 * |     | 16? | size|       |  8 or 16 bits | 0, 8, 16, 24 bit| …
 * +-----+-----+-----+-------+---------------+-----------------+-------
 * ```
 *
 * Only the definition says what the bytes of a value mean; without one they stay bytes.
 */
export function decodeTlv(base: Path, payload: Bytes, typing: Typing): readonly Entry[] {
  const collected = new Collected(base, typing);
  const baseIds = pathIds(base);
  for (const element of elements(payload)) decodeElement(placeOf(baseIds, element), element, collected, typing);
  return collected.entries;
}

export function encodeTlv(base: Path, entries: readonly Entry[], typing: Typing): Bytes {
  const level = levelOf(base);
  if (level === 'root') throw new ContentError('not-representable', 'TLV names no object');
  const depth = level === 'object' ? 1 : level === 'instance' ? 2 : 3;
  const leaves = entries.map(entry => {
    typing.check(entry);
    if (entry.time !== undefined) throw new ContentError('not-representable', 'TLV has no times');
    const ids = pathIds(entry.path);
    // A resource is written with its own element: below `/3/0/1` stands resource 1, not nothing.
    if (
      depth < 3 ? pathOf(ids.slice(0, depth)) !== base : pathOf(ids.slice(0, 3)) !== pathOf(pathIds(base).slice(0, 3))
    ) {
      throw new ContentError('wrong-path', `${entry.path} is not in ${base}`);
    }
    return { ids, bytes: valueBytes(entry.value, typing.type(entry.path)) };
  });
  return encodeLevel(leaves, depth === 1 ? 1 : 2);
}

/** Whether a payload to create an instance from names its instance itself (LwM2M Core 1.2 §6.3.6). */
export function namesInstance(payload: Bytes): boolean {
  return payload.length > 0 && payload[0]! >>> 6 === kind.instance;
}

interface Element {
  readonly kind: number;
  readonly id: number;
  readonly value: Bytes;
}

function* elements(bytes: Bytes): Iterable<Element> {
  const reader = new Reader(bytes);
  try {
    while (reader.left > 0) {
      const type = reader.u8();
      const id = type & 0x20 ? reader.u16() : reader.u8();
      const lengthSize = (type >>> 3) & 0x3;
      const length =
        lengthSize === 0 ? type & 0x7 : lengthSize === 1 ? reader.u8() : lengthSize === 2 ? reader.u16() : reader.u24();
      yield { kind: type >>> 6, id, value: reader.take(length) };
    }
  } catch (error) {
    if (error instanceof DecodeError) throw new ContentError('malformed', error.message);
    throw error;
  }
}

/**
 * The identifiers of an element at the top. Clients differ: some wrap what was asked for once more, in the instance or
 * the resource that the request has named already.
 */
function placeOf(base: readonly number[], { kind: of, id }: Element): readonly number[] {
  const level = of === kind.instance ? 1 : of === kind.resourceInstance ? 3 : 2;
  if (base.length < level) throw new ContentError('wrong-path', `an element of a level below /${base.join('/')}`);
  return [...base.slice(0, level), id];
}

function decodeElement(ids: readonly number[], element: Element, collected: Collected, typing: Typing): void {
  const path = pathOf(ids);
  if (path === undefined) throw new ContentError('wrong-path', `/${ids.join('/')}`);
  switch (element.kind) {
    case kind.instance:
      for (const inner of elements(element.value)) {
        if (inner.kind !== kind.resource && inner.kind !== kind.multiple) throw nested(path);
        decodeElement([...ids, inner.id], inner, collected, typing);
      }
      return;
    case kind.multiple:
      for (const inner of elements(element.value)) {
        if (inner.kind !== kind.resourceInstance) throw nested(path);
        decodeElement([...ids, inner.id], inner, collected, typing);
      }
      return;
    default:
      collected.add(path, bytesValue(path as ValuePath, element.value, typing.type(path as ValuePath)));
  }
}

function nested(path: Path): ContentError {
  return new ContentError('malformed', `an element that cannot stand in ${path}`);
}

function bytesValue(path: ValuePath, bytes: Bytes, type: ResourceType | undefined): ResourceValue {
  if (bytes.length > limits.maxLength) throw new ContentError('too-long', path);
  const value = type === undefined ? bytes.slice() : readValue(type, bytes);
  if (value === undefined) throw wrongType(path, type!);
  return value;
}

/** The value of a type in its binary form (LwM2M Core 1.2 appendix C.2); `undefined` if the bytes are none. */
function readValue(type: ResourceType, bytes: Bytes): ResourceValue | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (type) {
    case 'string':
    case 'corelnk':
      return textOf(bytes);
    case 'integer':
      return readInteger(view, true);
    case 'unsigned integer':
      return readInteger(view, false);
    case 'float':
      return bytes.length === 4 ? view.getFloat32(0) : bytes.length === 8 ? view.getFloat64(0) : undefined;
    case 'boolean':
      return bytes.length === 1 && bytes[0]! <= 1 ? bytes[0] === 1 : undefined;
    case 'opaque':
      return bytes.slice();
    case 'time': {
      const unix = readInteger(view, true);
      return typeof unix === 'number' ? { unix } : undefined;
    }
    case 'objlnk':
      return bytes.length === 4 ? { object: view.getUint16(0), instance: view.getUint16(2) } : undefined;
    case 'none':
      return undefined;
    default:
      return assertNever(type);
  }
}

function readInteger(view: DataView, signed: boolean): number | bigint | undefined {
  switch (view.byteLength) {
    case 1:
      return signed ? view.getInt8(0) : view.getUint8(0);
    case 2:
      return signed ? view.getInt16(0) : view.getUint16(0);
    case 4:
      return signed ? view.getInt32(0) : view.getUint32(0);
    case 8:
      return narrowed(signed ? view.getBigInt64(0) : view.getBigUint64(0));
    default:
      return undefined;
  }
}

function valueBytes(value: ResourceValue, type: ResourceType | undefined): Bytes {
  if (typeof value === 'string') return utf8(value);
  if (typeof value === 'boolean') return Uint8Array.of(value ? 1 : 0);
  if (typeof value === 'bigint') return integerBytes(value, type !== 'unsigned integer');
  if (typeof value === 'number') {
    return type === 'float' || !Number.isSafeInteger(value)
      ? floatBytes(value)
      : integerBytes(BigInt(value), type !== 'unsigned integer');
  }
  if (isBytes(value)) return value;
  if (isTime(value)) return integerBytes(BigInt(value.unix), true);
  return isObjectLink(value) ? new Writer(4).u16(value.object).u16(value.instance).finish() : assertNever(value);
}

/** In the shortest of 1, 2, 4 and 8 bytes. */
function integerBytes(value: bigint, signed: boolean): Bytes {
  const fits = (bits: number) => (signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)) === value;
  const length = fits(8) ? 1 : fits(16) ? 2 : fits(32) ? 4 : 8;
  const whole = new Uint8Array(8);
  new DataView(whole.buffer).setBigUint64(0, BigInt.asUintN(64, value));
  return whole.subarray(8 - length);
}

function floatBytes(value: number): Bytes {
  const single = Object.is(Math.fround(value), value);
  const bytes = new Uint8Array(single ? 4 : 8);
  const view = new DataView(bytes.buffer);
  if (single) view.setFloat32(0, value);
  else view.setFloat64(0, value);
  return bytes;
}

interface Leaf {
  readonly ids: readonly number[];
  readonly bytes: Bytes;
}

/** The elements of one level: 1 for instances of an object, 2 for resources, 3 for their instances. */
function encodeLevel(leaves: readonly Leaf[], level: number): Bytes {
  const groups = new Map<number, Leaf[]>();
  for (const leaf of leaves) {
    const group = groups.get(leaf.ids[level]!);
    if (group === undefined) groups.set(leaf.ids[level]!, [leaf]);
    else group.push(leaf);
  }
  const writer = new Writer();
  for (const [id, group] of groups) {
    const { ids, bytes } = group[0]!;
    const isValue = ids.length === level + 1;
    if (isValue && group.length > 1) throw new ContentError('duplicate-path', `/${ids.join('/')}`);
    const of =
      level === 1 ? kind.instance : level === 3 ? kind.resourceInstance : isValue ? kind.resource : kind.multiple;
    writeElement(writer, of, id, isValue ? bytes : encodeLevel(group, level + 1));
  }
  return writer.finish();
}

function writeElement(writer: Writer, of: number, id: number, value: Bytes): void {
  const length = value.length;
  const lengthSize = length < 8 ? 0 : length < 0x100 ? 1 : length < 0x1_0000 ? 2 : 3;
  writer.u8((of << 6) | (id > 0xff ? 0x20 : 0) | (lengthSize << 3) | (lengthSize === 0 ? length : 0));
  if (id > 0xff) writer.u16(id);
  else writer.u8(id);
  if (lengthSize === 1) writer.u8(length);
  else if (lengthSize === 2) writer.u16(length);
  else if (lengthSize === 3) writer.u24(length);
  writer.put(value);
}

const kind = { instance: 0, resourceInstance: 1, multiple: 2, resource: 3 } as const;
