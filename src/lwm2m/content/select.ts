import type { Bytes } from '../../base/bytes.ts';
import { ContentFormats } from '../../coap/codec/contentFormat.ts';
import type { ResourceTypes } from '../definitions.ts';
import type { Path } from '../path.ts';
import type { EnablerVersion } from '../registrationRequest.ts';
import type { Entry } from '../value.ts';
import { ContentError, type ContentFault, contentFault } from './fault.ts';
import { decodeOpaque, encodeOpaque } from './opaque.ts';
import { decodeText, encodeText } from './text.ts';
import { Typing } from './typing.ts';

/**
 * Reads what a device says about `base` in a Content-Format: values by path, typed by the definitions. What nobody
 * defined keeps the type it had on the wire. `version` is that of the object `base` belongs to.
 * Never throws, whatever the bytes are; the entries hold copies of them.
 */
export function decodeContent(
  format: number,
  base: Path,
  payload: Bytes,
  definitions: ResourceTypes,
  version?: EnablerVersion,
): readonly Entry[] | ContentFault {
  const codec = codecs.get(format);
  if (codec === undefined) return contentFault('unknown-format', String(format));
  return caught(() => codec.decode(base, payload, new Typing(definitions, base, version)));
}

/** Writes values that stand at or below `base`: the mirror of `decodeContent`. */
export function encodeContent(
  format: number,
  base: Path,
  entries: readonly Entry[],
  definitions: ResourceTypes,
  version?: EnablerVersion,
): Bytes | ContentFault {
  const codec = codecs.get(format);
  if (codec === undefined) return contentFault('unknown-format', String(format));
  return caught(() => codec.encode(base, entries, new Typing(definitions, base, version)));
}

/** Whether a Content-Format is one of those that hold values. */
export function isValueFormat(format: number): boolean {
  return codecs.has(format);
}

interface Codec {
  decode(base: Path, payload: Bytes, typing: Typing): readonly Entry[];
  encode(base: Path, entries: readonly Entry[], typing: Typing): Bytes;
}

function caught<T>(work: () => T): T | ContentFault {
  try {
    return work();
  } catch (error) {
    if (error instanceof ContentError) return error.fault;
    throw error;
  }
}

const codecs: ReadonlyMap<number, Codec> = new Map<number, Codec>([
  [ContentFormats.text, { decode: decodeText, encode: encodeText }],
  [ContentFormats.octetStream, { decode: decodeOpaque, encode: encodeOpaque }],
]);
