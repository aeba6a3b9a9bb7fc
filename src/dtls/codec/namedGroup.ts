import { type Bytes, noBytes } from '../../base/bytes.ts';
import { DecodeError, Reader } from '../../base/reader.ts';
import { Writer } from '../../base/writer.ts';

/** The curves that we agree to for an ephemeral exchange (IANA TLS Supported Groups). */
export const NamedGroup = {
  secp256r1: 23,
  x25519: 29,
} as const;
export type NamedGroup = (typeof NamedGroup)[keyof typeof NamedGroup];

/** Most wanted first: X25519 has no points to check, and costs less on both sides. */
export const namedGroups: readonly NamedGroup[] = [NamedGroup.x25519, NamedGroup.secp256r1];

export function namedGroup(id: number): NamedGroup | undefined {
  return namedGroups.find(known => known === id);
}

/** `NamedCurve named_curve_list<2..2^16-1>` (RFC 8422 §5.1.1), open as it is; `undefined` if it is malformed. */
export function decodeGroups(data: Bytes): readonly number[] | undefined {
  try {
    const reader = new Reader(data);
    const list = new Reader(reader.vector16());
    reader.end();
    if (list.left < 2) throw new DecodeError('named_curve_list');
    const groups: number[] = [];
    while (list.left > 0) groups.push(list.u16());
    return groups;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

export function encodeGroups(groups: readonly number[]): Bytes {
  const writer = new Writer(2 + 2 * groups.length).u16(2 * groups.length);
  for (const group of groups) writer.u16(group);
  return writer.finish();
}

/** `ECPointFormat ec_point_format_list<1..2^8-1>` (RFC 8422 §5.1.2); `undefined` if it is malformed. */
export function decodePointFormats(data: Bytes): Bytes | undefined {
  const formats = data[0] === data.length - 1 ? data.subarray(1) : noBytes;
  return formats.length === 0 ? undefined : formats;
}

/** The one list that RFC 8422 §5.1.2 still lets anybody send. */
export const uncompressedOnly: Bytes = Uint8Array.of(1, 0);
/** ECPointFormat: the point as `4 | x | y`. */
export const uncompressed = 0;
