import type { Bytes } from '../../base/bytes.ts';
import type { Path } from '../path.ts';
import { type Entry, isBytes, type ResourceValue } from '../value.ts';
import { type CborItem, CborMap, readCbor } from './cborItem.ts';
import { CborWriter } from './cborWriter.ts';
import { ContentError } from './fault.ts';
import { decodeRecords, encodeRecords, type SenmlRecord } from './senml.ts';
import type { Typing } from './typing.ts';

/** SenML in CBOR (Content-Format 112; RFC 8428 §6, LwM2M Core 1.2 §7.4.6). */
export function decodeSenmlCbor(base: Path, payload: Bytes, typing: Typing): readonly Entry[] {
  return decodeRecords(base, readCborPack(payload), typing);
}

export function encodeSenmlCbor(base: Path, entries: readonly Entry[], typing: Typing): Bytes {
  return writeCborPack(encodeRecords(base, entries, typing));
}

export function readCborPack(payload: Bytes): readonly SenmlRecord[] {
  const pack = readCbor(payload);
  if (!Array.isArray(pack)) throw new ContentError('malformed', 'not an array');
  return (pack as readonly CborItem[]).map(readRecord);
}

export function writeCborPack(pack: readonly SenmlRecord[]): Bytes {
  const writer = new CborWriter();
  writer.array(pack.length);
  for (const record of pack) {
    writer.map(record.size);
    for (const [label, value] of record) {
      const number = labels.indexOf(label);
      if (number < 0) writer.text(label);
      else writer.integer(number - firstLabel);
      writeField(writer, value);
    }
  }
  return writer.finish();
}

function readRecord(item: CborItem): SenmlRecord {
  if (!(item instanceof CborMap)) throw new ContentError('malformed', 'a record that is no map');
  const record = new Map<string, ResourceValue | null>();
  for (const [key, value] of item.pairs) {
    const label = typeof key === 'string' ? key : typeof key === 'number' ? (labels[key + firstLabel] ?? `${key}`) : '';
    if (label === '') throw new ContentError('malformed', 'a label that is neither text nor integer');
    if (record.has(label)) throw new ContentError('malformed', `"${label}" twice in one record`);
    record.set(label, fieldValue(value));
  }
  return record;
}

function fieldValue(item: CborItem): ResourceValue | null {
  return Array.isArray(item) || item instanceof CborMap ? null : (item as ResourceValue | null);
}

function writeField(writer: CborWriter, value: ResourceValue | null): void {
  if (typeof value === 'string') writer.text(value);
  else if (typeof value === 'boolean') writer.boolean(value);
  else if (typeof value === 'bigint') writer.integer(value);
  else if (value !== null && isBytes(value)) writer.bytes(value);
  else if (Number.isSafeInteger(value) && !Object.is(value, -0)) writer.integer(value as number);
  else writer.float(value as number);
}

/** From `bs`, -6, to `vd`, 8 (RFC 8428 §6, table 4). */
const labels = ['bs', 'bv', 'bu', 'bt', 'bn', 'bver', 'n', 'u', 'v', 'vs', 'vb', 's', 't', 'ut', 'vd'];
const firstLabel = 6;
