import { fromBase64, toBase64 } from '../../base/base64.ts';
import { type Bytes, utf8 } from '../../base/bytes.ts';
import type { Path } from '../path.ts';
import { type Entry, isBytes, type ResourceValue } from '../value.ts';
import { ContentError } from './fault.ts';
import { isJsonObject, type JsonObject, numberText, readJson } from './json.ts';
import { decodeRecords, encodeRecords, type SenmlRecord } from './senml.ts';
import type { Typing } from './typing.ts';

/** SenML in JSON (Content-Format 110; RFC 8428 §5, LwM2M Core 1.2 §7.4.5). */
export function decodeSenmlJson(base: Path, payload: Bytes, typing: Typing): readonly Entry[] {
  return decodeRecords(base, readJsonPack(payload), typing);
}

export function encodeSenmlJson(base: Path, entries: readonly Entry[], typing: Typing): Bytes {
  return writeJsonPack(encodeRecords(base, entries, typing));
}

export function readJsonPack(payload: Bytes): readonly SenmlRecord[] {
  const pack = readJson(payload);
  if (!Array.isArray(pack)) throw new ContentError('malformed', 'not an array');
  return pack.map(record => {
    if (!isJsonObject(record)) throw new ContentError('malformed', 'a record that is no object');
    return readRecord(record);
  });
}

export function writeJsonPack(pack: readonly SenmlRecord[]): Bytes {
  const records = pack.map(record => {
    const members = Array.from(record, ([label, value]) => `${JSON.stringify(label)}:${jsonValue(value)}`);
    return `{${members.join(',')}}`;
  });
  return utf8(`[${records.join(',')}]`);
}

function readRecord(object: JsonObject): SenmlRecord {
  const record = new Map<string, ResourceValue | null>();
  for (const [label, value] of object) {
    if (label !== 'vd') {
      record.set(label, typeof value === 'object' ? null : value);
      continue;
    }
    const bytes = typeof value === 'string' ? fromBase64(value, 'base64url') : undefined;
    if (bytes === undefined) throw new ContentError('malformed', '"vd" is not base64url');
    record.set(label, bytes);
  }
  return record;
}

function jsonValue(value: ResourceValue | null): string {
  if (typeof value === 'number' || typeof value === 'bigint') return numberText(value);
  return JSON.stringify(value !== null && isBytes(value) ? toBase64(value, 'base64url') : value);
}
