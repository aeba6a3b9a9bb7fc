import type { Bytes } from '../../base/bytes.ts';
import { DecodeError, type Reader } from '../../base/reader.ts';
import { Writer } from '../../base/writer.ts';

export const ExtensionType = {
  maxFragmentLength: 1, // RFC 6066 §4
  supportedGroups: 10, // RFC 8422 §5.1.1
  ecPointFormats: 11, // RFC 8422 §5.1.2
  encryptThenMac: 22, // RFC 7366 §2
  extendedMasterSecret: 23, // RFC 7627 §5.1
  connectionId: 54, // RFC 9146 §3
  returnRoutability: 61, // RFC 9853 §3
  renegotiationInfo: 0xff01, // RFC 5746 §3.2
} as const;

/** The extensions of a hello by type; those that nobody here knows stay raw. */
export type Extensions = ReadonlyMap<number, Bytes>;

export const noExtensions: Extensions = new Map();

/** How many bytes of plaintext a record may hold, by the code in max_fragment_length (RFC 6066 §4). */
export type MaxFragmentLength = 512 | 1024 | 2048 | 4096;
export const maxFragmentLengths: ReadonlyMap<number, MaxFragmentLength> = new Map([
  [1, 512],
  [2, 1024],
  [3, 2048],
  [4, 4096],
]);

/** Reads the extensions block to the end. It may be missing altogether (RFC 5246 §7.4.1.2). One type twice is malformed. */
export function readExtensions(reader: Reader): Extensions {
  if (reader.left === 0) return noExtensions;
  const length = reader.u16();
  if (length !== reader.left) throw new DecodeError('extensions do not fill the message');
  const extensions = new Map<number, Bytes>();
  while (reader.left > 0) {
    const type = reader.u16();
    if (extensions.has(type)) throw new DecodeError(`extension ${type} twice`);
    extensions.set(type, reader.vector16());
  }
  return extensions;
}

/** With nothing to say the block is left out, its length too. */
export function writeExtensions(writer: Writer, extensions: Extensions): void {
  if (extensions.size === 0) return;
  const block = new Writer(32);
  for (const [type, data] of extensions) block.u16(type).vector16(data);
  writer.vector16(block.finish());
}

/** `opaque cid<0..2^8-1>` (RFC 9146 §3); `undefined` if it is malformed. */
export function decodeConnectionId(data: Bytes): Bytes | undefined {
  return data[0] === data.length - 1 ? data.subarray(1) : undefined;
}

export function encodeConnectionId(cid: Bytes): Bytes {
  return new Writer(1 + cid.length).vector8(cid).finish();
}
