import { type Bytes, noBytes } from '../base/bytes.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import {
  ContentType,
  type DtlsRecord,
  dtls12,
  recordHeaderLength,
  writeRecordHeader,
  writeUint48,
} from './codec/record.ts';
import { open, seal } from './crypto/aead.ts';
import { cbcLength, openCbc, sealCbc } from './crypto/cbc.ts';
import type { DirectionKeys } from './crypto/keySchedule.ts';

/**
 * A whole record of an epoch that has keys, as it goes onto the wire (RFC 5246 §6.2.3, RFC 6655 §3, RFC 7366 §3). With
 * a connection ID the type is sealed too, behind the content (RFC 9146 §4).
 */
export function sealRecord(
  suite: CipherSuite,
  keys: DirectionKeys,
  type: number,
  epoch: number,
  sequence: number,
  plaintext: Bytes,
  cid: Bytes = noBytes,
): Bytes {
  const withCid = cid.length > 0;
  const outerType = withCid ? ContentType.tls12Cid : type;
  const inner = withCid ? withType(plaintext, type) : plaintext;
  const length = protectedLength(suite, inner.length);
  const start = recordHeaderLength + cid.length;
  const record = new Uint8Array(start + length);
  writeRecordHeader(record, 0, outerType, dtls12, epoch, sequence, length, cid);
  if (suite.cipher === 'aes-128-cbc') {
    writeEpochAndSequence(nonce, 0, epoch, sequence);
    const data = additionalData(outerType, epoch, sequence, cid, length - suite.tagLength);
    sealCbc(keys, nonce.subarray(0, explicitNonceLength), data, inner, record, start);
    return record;
  }
  // The explicit part is epoch and sequence number: unique under the key because they are (RFC 6655 §3).
  writeEpochAndSequence(record, start, epoch, sequence);
  nonce.set(keys.iv);
  nonce.set(record.subarray(start, start + explicitNonceLength), keys.iv.length);
  const data = additionalData(outerType, epoch, sequence, cid, inner.length);
  seal(suite, keys.key, nonce, data, inner, record, start + explicitNonceLength);
  return record;
}

/** What a protected record holds, or `undefined` if it is not authentic. */
export function openRecord(suite: CipherSuite, keys: DirectionKeys, record: DtlsRecord): Opened | undefined {
  const { type, epoch, sequence, cid, fragment } = record;
  const plaintext =
    record.version !== dtls12
      ? undefined
      : suite.cipher === 'aes-128-cbc'
        ? openCbc(keys, additionalData(type, epoch, sequence, cid, fragment.length - suite.tagLength), fragment)
        : openAead(suite, keys, record);
  if (plaintext === undefined) return undefined;
  return cid.length === 0 ? { type, plaintext } : withoutType(plaintext);
}

function openAead(suite: CipherSuite, { key, iv }: DirectionKeys, record: DtlsRecord): Bytes | undefined {
  const { type, epoch, sequence, cid, fragment } = record;
  const length = fragment.length - explicitNonceLength - suite.tagLength;
  if (length < 0) return undefined;
  // The explicit part counts as it was received: some clients send random ones.
  nonce.set(iv);
  nonce.set(fragment.subarray(0, explicitNonceLength), iv.length);
  const data = additionalData(type, epoch, sequence, cid, length);
  return open(suite, key, nonce, data, fragment.subarray(explicitNonceLength));
}

export interface Opened {
  /** The real one, of a record with a connection ID too. */
  readonly type: number;
  readonly plaintext: Bytes;
}

/** How long a fragment at least is that carries so many bytes: CBC may pad it further. */
export function protectedLength(suite: CipherSuite, length: number): number {
  return (suite.cipher === 'aes-128-cbc' ? cbcLength(length) : explicitNonceLength + length) + suite.tagLength;
}

function withType(content: Bytes, type: number): Bytes {
  const inner = new Uint8Array(content.length + 1);
  inner.set(content);
  inner[content.length] = type;
  return inner;
}

/** The type is the last byte that is not zero: zeros may pad a record (RFC 9146 §4). Without one it is no record. */
function withoutType(inner: Bytes): Opened | undefined {
  let end = inner.length - 1;
  while (end >= 0 && inner[end] === 0) end--;
  return end < 0 ? undefined : { type: inner[end]!, plaintext: inner.subarray(0, end) };
}

/**
 * Without a connection ID seq_num + TLSCompressed.type + TLSCompressed.version + TLSCompressed.length (RFC 5246
 * §6.2.3.3), with one what RFC 9146 §5.3 puts in their place: nothing that is valid as one is valid as the other. Of an
 * AEAD `length` is the plaintext's; of encrypt-then-MAC it is that of IV and ciphertext (RFC 7366 §3, RFC 9146 §5.2).
 */
function additionalData(type: number, epoch: number, sequence: number, cid: Bytes, length: number): Bytes {
  if (cid.length === 0) {
    writeEpochAndSequence(plainData, 0, epoch, sequence);
    plainData[8] = type;
    writeUint16(plainData, 9, dtls12);
    writeUint16(plainData, 11, length);
    return plainData;
  }
  cidData[9] = cid.length;
  writeUint16(cidData, 11, dtls12);
  writeEpochAndSequence(cidData, 13, epoch, sequence);
  cidData.set(cid, 21);
  writeUint16(cidData, 21 + cid.length, length);
  return cidData.subarray(0, 23 + cid.length);
}

function writeEpochAndSequence(bytes: Bytes, at: number, epoch: number, sequence: number): void {
  writeUint16(bytes, at, epoch);
  writeUint48(bytes, at + 2, sequence);
}

function writeUint16(bytes: Bytes, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

const explicitNonceLength = 8;
// Scratch memory: all of it is used up before the function that filled it returns.
const nonce = new Uint8Array(12);
const plainData = new Uint8Array(13);
/** Eight bytes of 0xff and the type of the record, twice: what never changes is written here. */
const cidData = new Uint8Array(23 + 255).fill(0xff, 0, 8);
cidData[8] = ContentType.tls12Cid;
cidData[10] = ContentType.tls12Cid;
