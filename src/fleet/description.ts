import { Decoder, Encoder } from 'cbor-x';
import { type Bytes, noBytes } from '../base/bytes.ts';
import { asMaps, asObjects } from '../lwm2m/peerNames.ts';
import { type CoreLink, type Description, emptyDescription } from '../lwm2m/registrationRequest.ts';

/**
 * A description as the record keeps it: encoded once at registration and decoded only to be shown, so that an update,
 * which is what devices do all day, copies bytes. A list by position, since names would take more room than values.
 */
export function encodeDescription(d: Description): Bytes {
  const encoded = encoder.encode([
    formVersion,
    d.root,
    d.contentFormats,
    d.objects.map(({ id, version, instances }) => [id, version ?? null, instances]),
    d.links.map(({ href, attributes }) => [href, asMaps(attributes)]),
    asMaps(d.metadata),
    d.observations.map(({ path, pmin, pmax }) => [path, pmin ?? null, pmax ?? null]),
    asMaps(d.extra),
    d.endpointType ?? null,
    d.base ?? null,
    d.model ?? null,
    d.awake ?? null,
    d.bootId ?? null,
  ]);
  last = { bytes: new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.length), description: d };
  return last.bytes;
}

/** Throws on bytes that `encodeDescription` did not make: a damaged store is no input of a peer. */
export function decodeDescription(bytes: Bytes): Description {
  if (bytes === last.bytes) return last.description;
  if (bytes.length === 0) return emptyDescription;
  const [form, root, contentFormats, objects, links, metadata, observations, extra, et, base, model, awake, boot] =
    decoder.decode(bytes) as StoredDescription;
  if (form !== formVersion) throw new Error(`a description in form ${form}, which this version does not know`);
  return {
    root,
    contentFormats,
    objects: objects.map(([id, version, instances]) => ({ id, version: version ?? undefined, instances })),
    links: links.map(([href, attributes]) => ({ href, attributes: asObjects(attributes) as CoreLink['attributes'] })),
    metadata: asObjects(metadata) as Description['metadata'],
    observations: observations.map(([path, pmin, pmax]) => ({
      path,
      pmin: pmin ?? undefined,
      pmax: pmax ?? undefined,
    })),
    extra: asObjects(extra) as Description['extra'],
    endpointType: et ?? undefined,
    base: base ?? undefined,
    model: model ?? undefined,
    awake: awake ?? undefined,
    bootId: boot ?? undefined,
  };
}

/**
 * What an update makes of a description: a list replaces the list, metadata and private fields are merged one by one.
 */
export function mergeDescription(before: Bytes, changes: Partial<Description>): Bytes {
  const description = decodeDescription(before);
  return encodeDescription({
    ...description,
    ...changes,
    metadata: { ...description.metadata, ...changes.metadata },
    extra: { ...description.extra, ...changes.extra },
  });
}

type StoredDescription = [
  form: number,
  root: string,
  contentFormats: number[],
  objects: [number, [number, number] | null, number[]][],
  links: [string, Map<string, string | true>][],
  metadata: Map<string, string>,
  observations: [string, number | null, number | null][],
  extra: Map<string, unknown>,
  endpointType: string | null,
  base: string | null,
  model: string | number | null,
  awake: number | null,
  bootId: string | null,
];

/** What was encoded last: whoever stores a registration makes the index's terms of it at once. */
let last: { readonly bytes: Bytes; readonly description: Description } = {
  bytes: noBytes,
  description: emptyDescription,
};
const formVersion = 1;
const encoder = new Encoder({ mapsAsObjects: false, useRecords: false });
const decoder = new Decoder({ mapsAsObjects: false, useRecords: false });
