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
    this.#endpoint ??= attributesOf(visit => visitEndpoint(this.record, this.description, visit));
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

/** Is called for one attribute after the other; no lists are made, since a registration has dozens. */
export type Visit = (name: string, value: string) => void;

/** Of the endpoint, in order: its names, what was allocated to it, its objects, and what it said of itself. */
export function visitEndpoint(record: DeviceRecord, description: Description | undefined, visit: Visit): void {
  visit('ep', record.name);
  if (record.sector !== undefined) visit('d', record.sector);
  if (record.registration === undefined || description === undefined) return;
  const { dialect, version, transport, allocation } = record.registration;
  const { profile, tags } = decodeAllocation(allocation);
  visit('dialect', dialect);
  visit('transport', transport);
  visit('profile', profile);
  for (const tag of tags) visit('tag', tag);
  if (version !== undefined) visit('lwm2m', formatVersion(version));
  for (const { id, version: objectVersion, instances } of description.objects) {
    visit('object', `${id}`);
    // An object that names no version has 1.0 (LwM2M Core 1.2 §7.2.2).
    visit('object', `${id};${objectVersion === undefined ? '1.0' : formatVersion(objectVersion)}`);
    for (const instance of instances) visit('instance', `/${id}/${instance}`);
  }
  visitOwn(description, visit);
}

/** Metadata, parameters of the registration that nobody here knows, endpoint type and base. */
function visitOwn({ metadata, extra, endpointType, base }: Description, visit: Visit): void {
  for (const name in metadata) visitTokens(name, metadata[name]!, visit);
  for (const name in extra) {
    const value = extra[name];
    // Several values are one of a parameter that was sent several times (RFC 9176 §5), or of a list in the CBOR map.
    for (const one of Array.isArray(value) ? value : [value]) {
      if (typeof one === 'string') visitTokens(name, one, visit);
      else if (typeof one === 'number' || typeof one === 'boolean') visit(name, String(one));
    }
  }
  if (endpointType !== undefined) visitTokens('et', endpointType, visit);
  if (base !== undefined) visit('base', base);
}

/** `href` and `anchor` as the device wrote them. A flag has the empty value. */
export function visitLink({ href, attributes }: CoreLink, visit: Visit): void {
  visit('href', href);
  for (const name in attributes) {
    const value = attributes[name]!;
    visitTokens(name, value === true ? '' : value, visit);
  }
}

export function linkAttributes(link: CoreLink): Attribute[] {
  return attributesOf(visit => visitLink(link, visit));
}

export function ownAttributes(description: Description): Attribute[] {
  return attributesOf(visit => visitOwn(description, visit));
}

function attributesOf(walk: (visit: Visit) => void): Attribute[] {
  const found: Attribute[] = [];
  walk((name, value) => found.push([name, value]));
  return found;
}

/** `rt="a b"` is found by each of its values (RFC 6690 §4.1: relation types). */
function visitTokens(name: string, value: string, visit: Visit): void {
  if (!value.includes(' ') || !relationTypes.has(name)) visit(name, value);
  else for (const token of value.split(' ')) if (token !== '') visit(name, token);
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
