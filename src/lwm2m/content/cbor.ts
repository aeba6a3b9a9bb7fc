import type { Bytes } from '../../base/bytes.ts';
import { assertNever } from '../../base/unreachable.ts';
import type { ResourceType } from '../definition.ts';
import type { Path } from '../path.ts';
import { type Entry, formatObjectLink, isBytes, isObjectLink, isTime, type ResourceValue } from '../value.ts';
import { type CborItem, CborMap, readCbor } from './cborItem.ts';
import { CborWriter } from './cborWriter.ts';
import { Collected } from './collected.ts';
import { ContentError } from './fault.ts';
import { oneValue, singlePath } from './single.ts';
import type { Typing } from './typing.ts';

/** CBOR (Content-Format 60; LwM2M Core 1.2 §7.4.4): one value, as one item. */
export function decodeCbor(base: Path, payload: Bytes, typing: Typing): readonly Entry[] {
  const collected = new Collected(base, typing);
  collected.add(singlePath(base), itemValue(readCbor(payload)));
  return collected.entries;
}

export function encodeCbor(base: Path, entries: readonly Entry[], typing: Typing): Bytes {
  const entry = oneValue(base, entries);
  typing.check(entry);
  const writer = new CborWriter();
  writeValue(writer, entry.value, typing.type(entry.path));
  return writer.finish();
}

/** The value an item is; throws on `null` and on what has parts. */
export function itemValue(item: CborItem): ResourceValue {
  if (item === null || Array.isArray(item) || item instanceof CborMap) throw new ContentError('malformed', 'no value');
  return item as ResourceValue;
}

/** One value as one item (LwM2M Core 1.2 appendix C.2). Whether a number is a float, only the definition knows. */
export function writeValue(writer: CborWriter, value: ResourceValue, type: ResourceType | undefined): void {
  switch (typeof value) {
    case 'string':
      writer.text(value);
      return;
    case 'boolean':
      writer.boolean(value);
      return;
    case 'bigint':
      writer.integer(value);
      return;
    case 'number':
      if (type === 'float' || !Number.isSafeInteger(value) || Object.is(value, -0)) writer.float(value);
      else writer.integer(value);
      return;
    default:
      if (isBytes(value)) writer.bytes(value);
      else if (isTime(value)) writer.integer(value.unix);
      else if (isObjectLink(value)) writer.text(formatObjectLink(value));
      else assertNever(value);
  }
}
