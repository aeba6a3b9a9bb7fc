import { type Bytes, textOf } from '../base/bytes.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { type Link, parseLinks } from '../coap/codec/linkFormat.ts';
import { ignoredObjects, namesLwm2m, readObjectLinks } from './objectLinks.ts';
import { isRefusal, type Refusal, refusal } from './refusal.ts';
import { parseBinding, parseRegisterQuery, type RegisterQuery } from './registerQuery.ts';
import type { RegistrationMap } from './registrationMap.generated.ts';
import { isPrivateField, readRegistrationMap } from './registrationMap.ts';
import {
  type CoreLink,
  type Description,
  type Dialect,
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
 * links do, else that of a Resource Directory.
 */
export function parseRegister(raw: RawRegistration): RegistrationRequest | Refusal {
  const query = parseRegisterQuery(raw.query);
  if (isRefusal(query)) return query;
  if (raw.contentFormat === ContentFormats.cbor) return parseMapRegistration(query, raw.payload);
  const links = parseLinkPayload(raw);
  if (isRefusal(links)) return links;
  return query.version !== undefined || namesLwm2m(links)
    ? parseLwm2mRegistration(query, links)
    : parseRdRegistration(query, links);
}

/** Reads an update of a registration that was made in `dialect`; `version` is the registration's. */
export function parseUpdate(
  raw: RawRegistration,
  dialect: Dialect,
  version: EnablerVersion | undefined,
): UpdateRequest | Refusal {
  const query = parseRegisterQuery(raw.query);
  if (isRefusal(query)) return query;
  if (query.endpoint !== undefined || query.version !== undefined) return refusal('update-of-identity');
  const rules = checkRules(dialect, version, query);
  if (isRefusal(rules)) return rules;
  if (raw.contentFormat === ContentFormats.cbor) return parseMapUpdate(query, raw.payload, dialect, version);
  const common = { lifetime: query.lifetime, sms: query.sms, ...rules };
  const fields = partialDescription(query);
  if (raw.payload.length === 0) return { ...common, description: unlessEmpty(fields) };
  const links = parseLinkPayload(raw);
  if (isRefusal(links)) return links;
  if (dialect === 'rd') return { ...common, description: { ...fields, links: links.map(coreLink) } };
  const objects = readObjectLinks(links);
  return objects === undefined ? refusal('bad-links') : { ...common, description: { ...fields, ...objects } };
}

function parseLwm2mRegistration(query: RegisterQuery, links: readonly Link[]): RegistrationRequest | Refusal {
  const version: EnablerVersion = query.version ?? [1, 0];
  if (!isSupported(version)) return refusal('unsupported-version');
  // A profile id stands for an object list that the server knows; we know none.
  if (query.profileId !== undefined) return refusal('unknown-profile-id', query.profileId);
  const rules = checkRules('lwm2m', version, query);
  if (isRefusal(rules)) return rules;
  const objects = readObjectLinks(links);
  if (objects === undefined) return refusal('bad-links');
  return {
    dialect: 'lwm2m',
    endpoint: query.endpoint,
    sector: query.sector,
    lifetime: query.lifetime,
    version,
    sms: query.sms,
    binding: rules.binding,
    queueMode: rules.queueMode ?? false,
    description: { ...emptyDescription, ...partialDescription(query), ...objects },
  };
}

function parseRdRegistration(query: RegisterQuery, links: readonly Link[]): RegistrationRequest | Refusal {
  const rules = checkRules('rd', undefined, query);
  if (isRefusal(rules)) return rules;
  return {
    dialect: 'rd',
    endpoint: query.endpoint,
    sector: query.sector,
    lifetime: query.lifetime,
    version: undefined,
    sms: query.sms,
    binding: rules.binding,
    queueMode: rules.queueMode ?? false,
    description: { ...emptyDescription, ...partialDescription(query), links: links.map(coreLink) },
  };
}

function parseMapRegistration(query: RegisterQuery, payload: Bytes): RegistrationRequest | Refusal {
  const map = readRegistrationMap(payload);
  if (isRefusal(map)) return map;
  const merged = mergeQuery(query, map);
  if (isRefusal(merged)) return merged;
  const version = merged.version;
  if (version !== undefined && !isSupported(version)) {
    return refusal('unsupported-version');
  }
  const rules = checkRules('cbor', version, merged);
  if (isRefusal(rules)) return rules;
  return {
    dialect: 'cbor',
    endpoint: merged.endpoint,
    sector: merged.sector,
    lifetime: merged.lifetime,
    version,
    sms: merged.sms,
    binding: rules.binding,
    queueMode: rules.queueMode ?? false,
    description: { ...emptyDescription, ...partialDescription(query), ...mapDescription(map) },
  };
}

function parseMapUpdate(
  query: RegisterQuery,
  payload: Bytes,
  dialect: Dialect,
  version: EnablerVersion | undefined,
): UpdateRequest | Refusal {
  const map = readRegistrationMap(payload);
  if (isRefusal(map)) return map;
  if (map.ep !== undefined || map.d !== undefined || map.lwm2m !== undefined) return refusal('update-of-identity');
  const merged = mergeQuery(query, map);
  if (isRefusal(merged)) return merged;
  const rules = checkRules(dialect, version, merged);
  if (isRefusal(rules)) return rules;
  const description = unlessEmpty({ ...partialDescription(query), ...mapDescription(map) });
  return { lifetime: merged.lifetime, sms: merged.sms, ...rules, description };
}

/** What dialect and version allow for lifetime and binding. */
function checkRules(
  dialect: Dialect,
  version: EnablerVersion | undefined,
  { lifetime, binding, queueMode }: Pick<RegisterQuery, 'lifetime' | 'binding' | 'queueMode'>,
): { binding: string | undefined; queueMode: boolean | undefined } | Refusal {
  // 0 is infinite from LwM2M 1.1 on, and nothing before or elsewhere (RFC 9176 §5: 1 to 4294967295).
  const mayBeInfinite = dialect !== 'rd' && version !== undefined && isAtLeast(version, [1, 1]);
  if (lifetime === 0 && !mayBeInfinite) return refusal('bad-lifetime', '0');
  if (binding === undefined) return { binding: undefined, queueMode };
  // Our map knows no version without saying so: it may use every letter.
  const letters = parseBinding(binding, version ?? (dialect === 'cbor' ? [1, 2] : undefined));
  if (letters === undefined) return refusal('bad-binding', binding);
  return { binding: letters.binding, queueMode: letters.queueMode || queueMode === true ? true : queueMode };
}

/** A field may stand in query and map, if both say the same. */
function mergeQuery(query: RegisterQuery, map: RegistrationMap): RegisterQuery | Refusal {
  const { ep, lt, lwm2m, b, q, sms, d, base, et } = map;
  const pairs: readonly [keyof RegisterQuery, unknown][] = [
    ['endpoint', ep],
    ['lifetime', lt],
    ['version', lwm2m],
    ['binding', b],
    ['queueMode', q],
    ['sms', sms],
    ['sector', d],
    ['base', base],
    ['endpointType', et],
  ];
  const merged: Record<string, unknown> = { ...query };
  for (const [field, value] of pairs) {
    if (value === undefined) continue;
    if (query[field] !== undefined && JSON.stringify(query[field]) !== JSON.stringify(value)) {
      return refusal('query-contradicts-map', field);
    }
    merged[field] = value;
  }
  return merged as unknown as RegisterQuery;
}

function partialDescription(query: RegisterQuery): Partial<Description> {
  return {
    ...(query.base === undefined ? {} : { base: query.base }),
    ...(query.endpointType === undefined ? {} : { endpointType: query.endpointType }),
    ...(Object.keys(query.extra).length === 0 ? {} : { extra: query.extra }),
  };
}

function mapDescription(map: RegistrationMap): Partial<Description> {
  const extra = Object.fromEntries(Object.entries(map).filter(([name]) => isPrivateField(name)));
  return {
    ...(map.meta === undefined ? {} : { metadata: map.meta as Record<string, string> }),
    ...(map.ct === undefined ? {} : { contentFormats: map.ct }),
    ...(map.obj === undefined ? {} : { objects: mapObjects(map.obj) }),
    ...(map.obs === undefined ? {} : { observations: map.obs.map(({ p, pmin, pmax }) => ({ path: p, pmin, pmax })) }),
    ...(map.links === undefined ? {} : { links: map.links.map(mapLink) }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
    ...(map.et === undefined ? {} : { endpointType: map.et }),
    ...(map.base === undefined ? {} : { base: map.base }),
    ...(map.model === undefined ? {} : { model: map.model }),
    ...(map.awake === undefined ? {} : { awake: map.awake }),
    ...(map.boot === undefined ? {} : { bootId: map.boot }),
  };
}

function mapObjects(objects: NonNullable<RegistrationMap['obj']>): Description['objects'] {
  return objects
    .filter(({ id }) => !ignoredObjects.has(id))
    .map(({ id, v, i }) => ({ id, version: v, instances: i as number[] }));
}

function mapLink({ href, ...attributes }: { href: string; [name: string]: string | number | boolean }): CoreLink {
  const entries = Object.entries(attributes).filter(([, value]) => value !== false);
  return {
    href,
    attributes: Object.fromEntries(entries.map(([name, value]) => [name, value === true || String(value)])),
  };
}

function coreLink({ href, attributes }: Link): CoreLink {
  return { href, attributes: { ...attributes } };
}

/** The payload as link-format: some clients leave the Content-Format out, and some mean pre-standard numbers. */
function parseLinkPayload({ contentFormat, payload }: RawRegistration): readonly Link[] | Refusal {
  if (contentFormat !== undefined && contentFormat !== ContentFormats.linkFormat) {
    return refusal('content-format', String(contentFormat));
  }
  const text = textOf(payload);
  const links = text === undefined ? undefined : parseLinks(text);
  return links ?? refusal('bad-links');
}

function unlessEmpty<T extends object>(value: T): T | undefined {
  return Object.keys(value).length === 0 ? undefined : value;
}
