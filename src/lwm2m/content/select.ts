import type { Bytes } from '../../base/bytes.ts';
import { ContentFormats } from '../../coap/codec/contentFormat.ts';
import type { ResourceTypes } from '../definitions.ts';
import type { Path } from '../path.ts';
import type { EnablerVersion } from '../registrationRequest.ts';
import type { Entry } from '../value.ts';
import { decodeCbor, encodeCbor } from './cbor.ts';
import { ContentError, type ContentFault, contentFault } from './fault.ts';
import { decodeLwm2mCbor, decodeLwm2mCborPaths, encodeLwm2mCbor, encodeLwm2mCborPaths } from './lwm2mCbor.ts';
import { decodeLwm2mJson, encodeLwm2mJson } from './lwm2mJson.ts';
import { decodeOpaque, encodeOpaque } from './opaque.ts';
import { decodePathRecords, encodePathRecords } from './senml.ts';
import { decodeSenmlCbor, encodeSenmlCbor, readCborPack, writeCborPack } from './senmlCbor.ts';
import { decodeSenmlJson, encodeSenmlJson, readJsonPack, writeJsonPack } from './senmlJson.ts';
import { decodeText, encodeText } from './text.ts';
import { decodeTlv, encodeTlv } from './tlv.ts';
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

/**
 * Reads a list of paths, without values: what Read-Composite and Observe-Composite ask for (LwM2M Core 1.2 §6.3.8). In
 * SenML or LwM2M CBOR.
 */
export function decodePaths(format: number, payload: Bytes): readonly Path[] | ContentFault {
  return caught(() => {
    if (format === ContentFormats.senmlCbor) return decodePathRecords(readCborPack(payload));
    if (format === ContentFormats.senmlJson) return decodePathRecords(readJsonPack(payload));
    if (format === ContentFormats.lwm2mCbor) return decodeLwm2mCborPaths(payload);
    return contentFault('unknown-format', String(format));
  });
}

export function encodePaths(format: number, paths: readonly Path[]): Bytes | ContentFault {
  return caught(() => {
    if (format === ContentFormats.senmlCbor) return writeCborPack(encodePathRecords(paths));
    if (format === ContentFormats.senmlJson) return writeJsonPack(encodePathRecords(paths));
    if (format === ContentFormats.lwm2mCbor) return encodeLwm2mCborPaths(paths);
    return contentFault('unknown-format', String(format));
  });
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

const text: Codec = { decode: decodeText, encode: encodeText };
const tlv: Codec = { decode: decodeTlv, encode: encodeTlv };
const lwm2mJson: Codec = { decode: decodeLwm2mJson, encode: encodeLwm2mJson };
const codecs: ReadonlyMap<number, Codec> = new Map<number, Codec>([
  [ContentFormats.text, text],
  [ContentFormats.octetStream, { decode: decodeOpaque, encode: encodeOpaque }],
  [ContentFormats.cbor, { decode: decodeCbor, encode: encodeCbor }],
  [ContentFormats.senmlJson, { decode: decodeSenmlJson, encode: encodeSenmlJson }],
  [ContentFormats.senmlCbor, { decode: decodeSenmlCbor, encode: encodeSenmlCbor }],
  [ContentFormats.lwm2mTlv, tlv],
  [ContentFormats.lwm2mJson, lwm2mJson],
  [ContentFormats.lwm2mCbor, { decode: decodeLwm2mCbor, encode: encodeLwm2mCbor }],
  [ContentFormats.oldLwm2mText, text],
  [ContentFormats.oldLwm2mTlv, tlv],
  [ContentFormats.oldLwm2mJson, lwm2mJson],
]);
