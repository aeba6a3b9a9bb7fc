import type { Bytes } from '../base/bytes.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import { type DtlsRecord, dtls12, recordHeaderLength, writeRecordHeader, writeUint48 } from './codec/record.ts';
import { open, seal } from './crypto/aead.ts';
import type { DirectionKeys } from './crypto/keySchedule.ts';

/** A whole record of an epoch that has keys, as it goes onto the wire (RFC 5246 §6.2.3.3, RFC 6655 §3). */
export function sealRecord(
  suite: CipherSuite,
  { key, iv }: DirectionKeys,
  type: number,
  epoch: number,
  sequence: number,
  plaintext: Bytes,
): Bytes {
  const length = explicitNonceLength + plaintext.length + suite.tagLength;
  const record = new Uint8Array(recordHeaderLength + length);
  writeRecordHeader(record, 0, type, dtls12, epoch, sequence, length);
  // The explicit part is epoch and sequence number: unique under the key because they are (RFC 6655 §3).
  writeEpochAndSequence(record, recordHeaderLength, epoch, sequence);
  nonce.set(iv);
  nonce.set(record.subarray(recordHeaderLength, recordHeaderLength + explicitNonceLength), iv.length);
  writeAdditionalData(type, epoch, sequence, plaintext.length);
  seal(suite, key, nonce, additionalData, plaintext, record, recordHeaderLength + explicitNonceLength);
  return record;
}

/** What a protected record holds, or `undefined` if it is not authentic. */
export function openRecord(suite: CipherSuite, { key, iv }: DirectionKeys, record: DtlsRecord): Bytes | undefined {
  const { fragment } = record;
  const length = fragment.length - explicitNonceLength - suite.tagLength;
  if (length < 0 || record.version !== dtls12) return undefined;
  // The explicit part counts as it was received: some clients send random ones.
  nonce.set(iv);
  nonce.set(fragment.subarray(0, explicitNonceLength), iv.length);
  writeAdditionalData(record.type, record.epoch, record.sequence, length);
  return open(suite, key, nonce, additionalData, fragment.subarray(explicitNonceLength));
}

/** By how much a protected fragment is longer than what it carries. */
export function protectionOverhead(suite: CipherSuite): number {
  return explicitNonceLength + suite.tagLength;
}

/** seq_num + TLSCompressed.type + TLSCompressed.version + TLSCompressed.length (RFC 5246 §6.2.3.3). */
function writeAdditionalData(type: number, epoch: number, sequence: number, length: number): void {
  writeEpochAndSequence(additionalData, 0, epoch, sequence);
  additionalData[8] = type;
  additionalData[9] = dtls12 >>> 8;
  additionalData[10] = dtls12 & 0xff;
  additionalData[11] = length >>> 8;
  additionalData[12] = length;
}

function writeEpochAndSequence(bytes: Bytes, at: number, epoch: number, sequence: number): void {
  bytes[at] = epoch >>> 8;
  bytes[at + 1] = epoch;
  writeUint48(bytes, at + 2, sequence);
}

const explicitNonceLength = 8;
// Scratch memory: both are used up before the function that filled them returns.
const nonce = new Uint8Array(12);
const additionalData = new Uint8Array(13);
