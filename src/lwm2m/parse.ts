import { type Bytes, textOf } from '../base/bytes.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { type Link, parseLinks } from '../coap/codec/linkFormat.ts';
import { namesLwm2m, readObjectLinks } from './objectLinks.ts';
import { parseMapRegistration, parseMapUpdate } from './parseMap.ts';
import { isRefusal, type Refusal, refusal } from './refusal.ts';
import { type QueryParameters, queriedVersion, type RegisterQuery, readQuery, splitQuery } from './registerQuery.ts';
import { checkRules, namesAnother, queryDescription, type RegisteredAs, unlessEmpty } from './registerRules.ts';
import {
  type CoreLink,
  type EnablerVersion,
  emptyDescription,
  type RegistrationRequest,
  type UpdateRequest,
} from './registrationRequest.ts';
import { isAtLeast, isSupported } from './version.ts';

/** A request to the registration interface, as CoAP hands it on. */
export interface RawRegistration {
  /** Uri-Query options in order, e.g. `['ep=node', 'lt=60']`. */
  readonly query: readonly string[];
  readonly contentFormat: number | undefined;
  readonly payload: Bytes;
}

/**
 * Reads a registration in any of the three dialects: our CBOR map if the Content-Format says so, LwM2M if query or
 * links do, else that of a Resource Directory. With `strict`, LwM2M requests may have no parameters that the
 * specification does not know.
 */
export function parseRegister(raw: RawRegistration, strict = false): RegistrationRequest | Refusal {
  const parameters = splitQuery(raw.query);
  if (isRefusal(parameters)) return parameters;
  const version = queriedVersion(parameters);
  if (version !== undefined && 'kind' in version) return version;
  // First of all: what a version that we do not speak allows elsewhere, we cannot know.
  if (version !== undefined && !isSupported(version)) return refusal('unsupported-version');
  if (raw.contentFormat === ContentFormats.cbor) return parseMapRegistration(parameters, raw.payload);
  const links = parseLinkPayload(raw);
  if (isRefusal(links)) return links;
  return version !== undefined || namesLwm2m(links)
    ? parseLwm2mRegistration(parameters, version ?? [1, 0], links, strict)
    : parseRdRegistration(parameters, links);
}

/** Reads an update of a registration. What it says of the identity again must be as it was. */
export function parseUpdate(raw: RawRegistration, registered: RegisteredAs, strict = false): UpdateRequest | Refusal {
  const { dialect, version } = registered;
  const parameters = splitQuery(raw.query);
  if (isRefusal(parameters)) return parameters;
  const query = readQuery(parameters, dialect, version);
  if (isRefusal(query)) return query;
  if (dialect === 'lwm2m' && strict && hasUnknown(query)) return refusal('unknown-parameter');
  if (raw.contentFormat === ContentFormats.cbor) return parseMapUpdate(query, raw.payload, registered);
  const identity = namesAnother(query, registered);
  if (identity !== undefined) return identity;
  const rules = checkRules(dialect, version, query);
  if (isRefusal(rules)) return rules;
  const common = { lifetime: query.lifetime, sms: query.sms, ...rules };
  const fields = queryDescription(query);
  if (raw.payload.length === 0) {
    if (query.profileId !== undefined) return refusal('unknown-profile-id', query.profileId);
    return { ...common, description: unlessEmpty(fields) };
  }
  const links = parseLinkPayload(raw);
  if (isRefusal(links)) return links;
  if (dialect === 'rd') return { ...common, description: { ...fields, links: links.map(coreLink) } };
  const objects = readObjectLinks(links, registered.root);
  if (objects === undefined) return refusal('bad-links');
  // Where the new list does not tell of the root, nothing was said about it, or about its Content-Formats.
  const changed = namesLwm2m(links) ? objects : { objects: objects.objects, links: objects.links };
  return { ...common, description: { ...fields, ...changed } };
}

function parseLwm2mRegistration(
  parameters: QueryParameters,
  version: EnablerVersion,
  links: readonly Link[],
  strict: boolean,
): RegistrationRequest | Refusal {
  const query = readQuery(parameters, 'lwm2m', version);
  if (isRefusal(query)) return query;
  if (strict && hasUnknown(query)) return refusal('unknown-parameter');
  // A profile id stands for an object list that the server knows; we know none, so the list has to be here.
  if (query.profileId !== undefined && links.length === 0) return refusal('unknown-profile-id', query.profileId);
  const rules = checkRules('lwm2m', version, query);
  if (isRefusal(rules)) return rules;
  const objects = readObjectLinks(links);
  if (objects === undefined) return refusal('bad-links');
  // From 1.1 on the security layer may give the name (LwM2M Core 1.1 §6.2.1).
  if (query.endpoint === undefined && !isAtLeast(version, [1, 1])) return refusal('missing-endpoint-name');
  return {
    dialect: 'lwm2m',
    endpoint: query.endpoint,
    sector: query.sector,
    lifetime: query.lifetime,
    version,
    sms: query.sms,
    binding: rules.binding,
    queueMode: rules.queueMode ?? false,
    description: { ...emptyDescription, ...queryDescription(query), ...objects },
  };
}

function parseRdRegistration(parameters: QueryParameters, links: readonly Link[]): RegistrationRequest | Refusal {
  const query = readQuery(parameters, 'rd', undefined);
  if (isRefusal(query)) return query;
  const rules = checkRules('rd', undefined, query);
  if (isRefusal(rules)) return rules;
  return {
    dialect: 'rd',
    endpoint: query.endpoint,
    sector: query.sector,
    lifetime: query.lifetime,
    version: undefined,
    sms: undefined,
    binding: undefined,
    queueMode: false,
    description: { ...emptyDescription, ...queryDescription(query), links: links.map(coreLink) },
  };
}

function hasUnknown({ extra }: RegisterQuery): boolean {
  return Object.keys(extra).length > 0;
}

function coreLink({ href, attributes }: Link): CoreLink {
  return { href, attributes: { ...attributes } };
}

/** The payload as link-format; some clients leave the Content-Format out. */
function parseLinkPayload({ contentFormat, payload }: RawRegistration): readonly Link[] | Refusal {
  if (contentFormat !== undefined && contentFormat !== ContentFormats.linkFormat) {
    return refusal('content-format', String(contentFormat));
  }
  const text = textOf(payload);
  const links = text === undefined ? undefined : parseLinks(text);
  return links ?? refusal('bad-links');
}
