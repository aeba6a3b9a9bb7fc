import type { CoreLink, Description } from '../lwm2m/registrationRequest.ts';
import { formatVersion } from '../lwm2m/version.ts';
import { decodeAllocation } from './allocation.ts';
import { decodeDescription } from './description.ts';
import type { DeviceRecord, Registration } from './device.ts';

/**
 * What a device can be found by: names and values, of the endpoint itself and of the links it registered. Index and
 * filter both start from here, so that what one finds the other agrees with.
 */
export class DeviceAttributes {
  readonly record: DeviceRecord;
  #description: Description | undefined;
  #endpoint: readonly Attribute[] | undefined;
  #links: readonly CoreLink[] | undefined;

  constructor(record: DeviceRecord) {
    this.record = record;
  }

  get description(): Description | undefined {
    const { registration } = this.record;
    if (registration === undefined) return undefined;
    this.#description ??= decodeDescription(registration.description);
    return this.#description;
  }

  /** Of the endpoint: its names, its metadata, its objects, and what else it said of itself. */
  get endpoint(): readonly Attribute[] {
    this.#endpoint ??= endpointAttributes(this.record, this.description);
    return this.#endpoint;
  }

  /** What it registered as links, its LwM2M objects and instances among them. */
  get links(): readonly CoreLink[] {
    this.#links ??= this.description === undefined ? [] : linksOf(this.description);
    return this.#links;
  }

  /** All of them: whatever holds for the endpoint or for one of its links (RFC 9176 §6.2). */
  *all(): IterableIterator<Attribute> {
    yield* this.endpoint;
    for (const link of this.links) yield* linkAttributes(link);
  }
}

export type Attribute = readonly [name: string, value: string];

/** `href` and `anchor` as the device wrote them. A flag has the empty value. */
export function linkAttributes({ href, attributes }: CoreLink): Attribute[] {
  const found: Attribute[] = [['href', href]];
  for (const name in attributes) {
    const value = attributes[name]!;
    addTokens(found, name, value === true ? '' : value);
  }
  return found;
}

/** Metadata, parameters of the registration that nobody here knows, endpoint type and base. */
export function ownAttributes({ metadata, extra, endpointType, base }: Description): Attribute[] {
  const found: Attribute[] = [];
  for (const name in metadata) addTokens(found, name, metadata[name]!);
  for (const name in extra) {
    const value = extra[name];
    // Several values are one of a parameter that was sent several times (RFC 9176 §5), or of a list in the CBOR map.
    for (const one of Array.isArray(value) ? value : [value]) {
      if (typeof one === 'string') addTokens(found, name, one);
      else if (typeof one === 'number' || typeof one === 'boolean') found.push([name, String(one)]);
    }
  }
  if (endpointType !== undefined) addTokens(found, 'et', endpointType);
  if (base !== undefined) found.push(['base', base]);
  return found;
}

function endpointAttributes(record: DeviceRecord, description: Description | undefined): Attribute[] {
  const found: Attribute[] = [['ep', record.name]];
  if (record.sector !== undefined) found.push(['d', record.sector]);
  if (record.registration === undefined || description === undefined) return found;
  const { dialect, version, transport, allocation } = record.registration;
  const { profile, tags } = decodeAllocation(allocation);
  found.push(['dialect', dialect], ['transport', transport], ['profile', profile]);
  for (const tag of tags) found.push(['tag', tag]);
  if (version !== undefined) found.push(['lwm2m', formatVersion(version)]);
  for (const { id, version: objectVersion, instances } of description.objects) {
    // An object that names no version has 1.0 (LwM2M Core 1.2 §7.2.2).
    found.push(['object', `${id}`], ['object', `${id};${formatVersion(objectVersion ?? [1, 0])}`]);
    for (const instance of instances) found.push(['instance', `/${id}/${instance}`]);
  }
  found.push(...ownAttributes(description));
  return found;
}

/** `rt="a b"` is found by each of its values (RFC 6690 §4.1: relation types). */
function addTokens(found: Attribute[], name: string, value: string): void {
  if (!value.includes(' ') || !relationTypes.has(name)) found.push([name, value]);
  else for (const token of value.split(' ')) if (token !== '') found.push([name, token]);
}

function linksOf({ root, objects, links }: Description): CoreLink[] {
  const prefix = root === '/' ? '' : root;
  const found: CoreLink[] = [];
  for (const { id, version, instances } of objects) {
    const ver = version === undefined ? {} : { ver: formatVersion(version) };
    if (instances.length === 0 || version !== undefined) found.push({ href: `${prefix}/${id}`, attributes: ver });
    for (const instance of instances) found.push({ href: `${prefix}/${id}/${instance}`, attributes: {} });
  }
  return [...found, ...links];
}

/** When it was last heard, as far as the index knows it: the day, so that an update changes it once a day at most. */
export function contactDay({ lastContact }: Registration): string {
  return dayOf(lastContact);
}

/** Six digits, which sort as the days do until the year 4707. */
export function dayOf(at: number): string {
  return String(Math.max(0, Math.floor(at / dayLength))).padStart(6, '0');
}

/** Attributes with several values, separated by spaces; `tag` is ours, the others are RFC 6690's and RFC 9176's. */
export const relationTypes: ReadonlySet<string> = new Set(['rt', 'if', 'rel', 'rev', 'ct', 'et', 'tag']);
const dayLength = 86_400_000;
