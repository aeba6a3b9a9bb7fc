import { type Bytes, noBytes } from '../../base/bytes.ts';

/** What a record carries (RFC 5246 §6.2.1). */
export const ContentType = {
  changeCipherSpec: 20,
  alert: 21,
  handshake: 22,
  applicationData: 23,
  /** Any of the others, sealed in it, and a connection ID in front (RFC 9146 §4). */
  tls12Cid: 25,
  returnRoutabilityCheck: 27, // RFC 9853 §4
} as const;

/** Versions count down from the ones' complement of 1.2 (RFC 6347 §4.1). */
export const dtls12 = 0xfefd;
export const dtls10 = 0xfeff;

/** One record of a datagram. `cid` and `fragment` are views into it. */
export interface DtlsRecord {
  readonly type: number;
  readonly version: number;
  readonly epoch: number;
  readonly sequence: number;
  /** Empty in all but `tls12Cid` records. */
  readonly cid: Bytes;
  readonly fragment: Bytes;
}

/**
 * Reads the record at `at`, or `undefined` if none is there: the rest of a datagram that does not parse is dropped
 * (RFC 6347 §4.1.2.7). The length of a connection ID stands nowhere in the record: whoever reads it has chosen it.
 *
 * ```
 *  struct {
 *    ContentType type;            1 byte
 *    ProtocolVersion version;     2
 *    uint16 epoch;                2
 *    uint48 sequence_number;      6
 *    opaque cid[cid_length];      only in tls12_cid records (RFC 9146 §4)
 *    uint16 length;               2
 *    opaque fragment[length];
 *  } DTLSPlaintext;
 * ```
 */
export function decodeRecord(datagram: Bytes, at: number, cidLength = 0): DtlsRecord | undefined {
  const withCid = datagram[at] === ContentType.tls12Cid;
  if (withCid && cidLength === 0) return undefined;
  const start = at + recordHeaderLength + (withCid ? cidLength : 0);
  if (start > datagram.length) return undefined;
  const length = (datagram[start - 2]! << 8) | datagram[start - 1]!;
  if (length > maxFragmentLength || start + length > datagram.length) return undefined;
  const version = (datagram[at + 1]! << 8) | datagram[at + 2]!;
  if (version >>> 8 !== 0xfe) return undefined;
  return {
    type: datagram[at]!,
    version,
    epoch: (datagram[at + 3]! << 8) | datagram[at + 4]!,
    sequence: readUint48(datagram, at + 5),
    cid: withCid ? datagram.subarray(at + cidOffset, start - 2) : noBytes,
    fragment: datagram.subarray(start, start + length),
  };
}

/** How many bytes of its datagram a record takes. */
export function recordLength({ cid, fragment }: DtlsRecord): number {
  return recordHeaderLength + cid.length + fragment.length;
}

/** Writes the header in front of a fragment that stands, or will stand, `recordHeaderLength + cid.length` bytes further on. */
export function writeRecordHeader(
  bytes: Bytes,
  at: number,
  type: number,
  version: number,
  epoch: number,
  sequence: number,
  length: number,
  cid: Bytes = noBytes,
): void {
  bytes[at] = type;
  bytes[at + 1] = version >>> 8;
  bytes[at + 2] = version;
  bytes[at + 3] = epoch >>> 8;
  bytes[at + 4] = epoch;
  writeUint48(bytes, at + 5, sequence);
  bytes.set(cid, at + cidOffset);
  bytes[at + cidOffset + cid.length] = length >>> 8;
  bytes[at + cidOffset + cid.length + 1] = length;
}

/** A record without protection: epoch 0. */
export function encodePlainRecord(type: number, version: number, sequence: number, fragment: Bytes): Bytes {
  const bytes = new Uint8Array(recordHeaderLength + fragment.length);
  writeRecordHeader(bytes, 0, type, version, 0, sequence, fragment.length);
  bytes.set(fragment, recordHeaderLength);
  return bytes;
}

export function writeUint48(bytes: Bytes, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  bytes[at] = high >>> 8;
  bytes[at + 1] = high;
  bytes[at + 2] = value >>> 24;
  bytes[at + 3] = value >>> 16;
  bytes[at + 4] = value >>> 8;
  bytes[at + 5] = value;
}

function readUint48(bytes: Bytes, at: number): number {
  const high = (bytes[at]! << 8) | bytes[at + 1]!;
  const low = ((bytes[at + 2]! << 24) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!) >>> 0;
  return high * 0x1_0000_0000 + low;
}

/** All that a ChangeCipherSpec says (RFC 5246 §7.1). */
export const changeCipherSpec: Bytes = Uint8Array.of(1);
/** Without a connection ID. */
export const recordHeaderLength = 13;
const cidOffset = 11;
export const maxSequence = 2 ** 48 - 1;
/** How much plaintext a record may hold, unless less was agreed (RFC 5246 §6.2.1). */
export const maxPlaintextLength = 2 ** 14;
/** 2^14 bytes of plaintext and what protection may add (RFC 5246 §6.2.3). */
const maxFragmentLength = 2 ** 14 + 2048;
