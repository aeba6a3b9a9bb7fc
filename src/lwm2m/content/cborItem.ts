import { type Bytes, textOf } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import type { Time } from '../value.ts';
import { ContentError } from './fault.ts';
import { limits } from './limits.ts';
import { parseDateTime } from './time.ts';
import { narrowed } from './typing.ts';

/** What one CBOR item says. A time is an item with tag 0 or 1 (RFC 8949 §3.4.1, §3.4.2). */
export type CborItem = number | bigint | string | boolean | null | Bytes | Time | readonly CborItem[] | CborMap;

/** In the order of the bytes; keys may be of any kind, and whether one stands there twice, its reader must ask. */
export class CborMap {
  readonly pairs: readonly (readonly [key: CborItem, item: CborItem])[];

  constructor(pairs: readonly (readonly [key: CborItem, item: CborItem])[]) {
    this.pairs = pairs;
  }
}

/**
 * Reads what devices report in CBOR (RFC 8949). `cborScan` and cbor-x, which read registrations, do not serve here:
 * LwM2M CBOR has arrays for keys, Time has a tag, and what constrained devices write are arrays and maps of indefinite
 * length. Strings have definite lengths, depth and lengths are bounded; of tags there may be those of times and of
 * decimal fractions (RFC 8428 §6). Throws `ContentError`; texts and bytes are copies.
 */
export function readCbor(bytes: Bytes): CborItem {
  const reader = new Reader(bytes);
  try {
    // A tag that only says "this is CBOR" (RFC 8949 §3.4.6).
    if (bytes[0] === 0xd9 && bytes[1] === 0xd9 && bytes[2] === 0xf7) reader.take(3);
    const item = readItem(reader, 0);
    reader.end();
    return item;
  } catch (error) {
    if (error instanceof DecodeError) throw malformed(error.message);
    throw error;
  }
}

function readItem(reader: Reader, depth: number): CborItem {
  if (depth > limits.maxDepth) throw new ContentError('too-deep');
  const initial = reader.u8();
  const information = initial & 0x1f;
  switch (initial >>> 5) {
    case 0:
      return argument(reader, information);
    case 1:
      return negative(argument(reader, information));
    case 2:
      return reader.take(stringLength(reader, information)).slice();
    case 3:
      return text(reader.take(stringLength(reader, information)));
    case 4:
      return [...repeated(reader, information, () => readItem(reader, depth + 1))];
    case 5:
      return new CborMap([
        ...repeated(reader, information, () => [readItem(reader, depth + 1), readItem(reader, depth + 1)] as const),
      ]);
    case 6:
      return readTagged(reader, argument(reader, information), depth);
    default:
      return readSimple(reader, information);
  }
}

/** As many as the head says, or up to the "break" (RFC 8949 §3.2.2). */
function* repeated<T>(reader: Reader, information: number, read: () => T): Iterable<T> {
  if (information === indefinite) {
    while (!reader.skipIf(breakByte)) yield read();
    return;
  }
  const count = argument(reader, information);
  // Every item has a byte at least: a count beyond them ends early, whatever it claims.
  for (let i = 0; i < count; i++) yield read();
}

function readTagged(reader: Reader, tag: number | bigint, depth: number): Time | number {
  const item = readItem(reader, depth + 1);
  const read = tag === 0 ? dateTime(item) : tag === 1 ? epoch(item) : tag === 4 ? decimalFraction(item) : undefined;
  if (read === undefined) throw malformed(`tag ${tag}`);
  return read;
}

function dateTime(item: CborItem): Time | undefined {
  return typeof item === 'string' ? parseDateTime(item) : undefined;
}

function epoch(item: CborItem): Time | undefined {
  return typeof item === 'number' && Number.isSafeInteger(Math.floor(item)) ? { unix: Math.floor(item) } : undefined;
}

/** An exponent of ten and a mantissa (RFC 8949 §3.4.4): by way of text, which rounds once. */
function decimalFraction(item: CborItem): number | undefined {
  if (!Array.isArray(item) || item.length !== 2) return undefined;
  const [exponent, mantissa] = item as readonly CborItem[];
  return Number.isInteger(exponent) && Number.isInteger(mantissa)
    ? Number(`${mantissa as number}e${exponent as number}`)
    : undefined;
}

function readSimple(reader: Reader, information: number): CborItem {
  switch (information) {
    case 20:
      return false;
    case 21:
      return true;
    case 22:
      return null;
    case 25:
      return halfPrecision(reader.u16());
    case 26:
      return view(reader.take(4)).getFloat32(0);
    case 27:
      return view(reader.take(8)).getFloat64(0);
    default:
      throw malformed(`simple value ${information}`);
  }
}

/** A `bigint` only where a number is not exact: most items are small, and BigInt arithmetic is not free. */
function argument(reader: Reader, information: number): number | bigint {
  if (information < 24) return information;
  if (information === 24) return reader.u8();
  if (information === 25) return reader.u16();
  if (information === 26) return reader.u32();
  if (information === 27) return narrowed(view(reader.take(8)).getBigUint64(0));
  throw malformed(information === indefinite ? 'a string of indefinite length' : 'a reserved length');
}

function negative(argument: number | bigint): number | bigint {
  return typeof argument === 'number' && argument < Number.MAX_SAFE_INTEGER
    ? -1 - argument
    : narrowed(-1n - BigInt(argument));
}

function stringLength(reader: Reader, information: number): number {
  const length = argument(reader, information);
  if (length > limits.maxLength) throw new ContentError('too-long', `${length} bytes`);
  return Number(length);
}

function text(bytes: Bytes): string {
  const decoded = textOf(bytes);
  if (decoded === undefined) throw malformed('invalid UTF-8');
  return decoded;
}

/** IEEE 754 binary16 (RFC 8949 appendix D). */
function halfPrecision(half: number): number {
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  const magnitude =
    exponent === 0
      ? mantissa * 2 ** -24
      : exponent === 31
        ? mantissa === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : (mantissa + 1024) * 2 ** (exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

function view(bytes: Bytes): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function malformed(detail: string): ContentError {
  return new ContentError('malformed', detail);
}

const indefinite = 31;
const breakByte = 0xff;
