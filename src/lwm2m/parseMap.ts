import type { Bytes } from '../base/bytes.ts';
import { ignoredObjects } from './objectLinks.ts';
import { isRefusal, type Refusal, refusal } from './refusal.ts';
import { emptyQuery, type QueryParameters, type RegisterQuery, readQuery } from './registerQuery.ts';
import { checkRules, namesAnother, type RegisteredAs, unlessEmpty } from './registerRules.ts';
import type { RegistrationMap } from './registrationMap.generated.ts';
import { isOpenField, readRegistrationMap } from './registrationMap.ts';
import {
  type CoreLink,
  type Description,
  emptyDescription,
  type RegistrationRequest,
  type UpdateRequest,
} from './registrationRequest.ts';
import { isSupported } from './version.ts';

/** A registration in our CBOR map. A field may stand in the query too, if both say the same. */
export function parseMapRegistration(parameters: QueryParameters, payload: Bytes): RegistrationRequest | Refusal {
  const map = readRegistrationMap(payload);
  if (isRefusal(map)) return map;
  const query = readQuery(parameters, 'cbor', map.lwm2m);
  if (isRefusal(query)) return query;
  const merged = mergeQuery(query, map);
  if (isRefusal(merged)) return merged;
  const { version } = merged;
  if (version !== undefined && !isSupported(version)) return refusal('unsupported-version');
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
    description: completed(describe(merged, map)),
  };
}

/** What changed, as a map: of a registration made in any dialect. */
export function parseMapUpdate(
  query: RegisterQuery,
  payload: Bytes,
  registered: RegisteredAs,
): UpdateRequest | Refusal {
  const map = readRegistrationMap(payload);
  if (isRefusal(map)) return map;
  const merged = mergeQuery(query, map);
  if (isRefusal(merged)) return merged;
  const identity = namesAnother(merged, registered);
  if (identity !== undefined) return identity;
  const rules = checkRules(registered.dialect, registered.version, merged);
  if (isRefusal(rules)) return rules;
  return {
    lifetime: merged.lifetime,
    sms: merged.sms,
    ...rules,
    description: unlessEmpty(changesOf(describe(merged, map))),
  };
}

function mergeQuery(query: RegisterQuery, map: RegistrationMap): RegisterQuery | Refusal {
  const said: RegisterQuery = {
    endpoint: map.ep,
    sector: map.d,
    lifetime: map.lt,
    version: map.lwm2m,
    binding: map.b,
    queueMode: map.q,
    sms: map.sms,
    profileId: undefined,
    base: map.base,
    endpointType: map.et,
    extra: nothing,
  };
  if (query === emptyQuery) return said;
  const merged: Record<string, unknown> = { ...said };
  for (const [field, asked] of Object.entries(query)) {
    const value = said[field as keyof RegisterQuery];
    if (asked === undefined || field === 'extra') continue;
    if (value !== undefined && JSON.stringify(asked) !== JSON.stringify(value)) {
      return refusal('query-contradicts-map', field);
    }
    merged[field] = asked;
  }
  const fields = new Map<string, unknown>(Object.entries(map));
  const extra = Object.entries(query.extra);
  for (const [name, value] of extra) {
    if (fields.has(name) && String(fields.get(name)) !== String(value)) return refusal('query-contradicts-map', name);
  }
  merged.extra = Object.fromEntries(extra.filter(([name]) => !fields.has(name)));
  return merged as unknown as RegisterQuery;
}

/** What query and map say of the device; `undefined` where they say nothing. */
type Said = { readonly [Field in keyof Description]: Description[Field] | undefined };

function describe(merged: RegisterQuery, map: RegistrationMap): Said {
  return {
    root: undefined,
    contentFormats: map.ct,
    objects: map.obj && mapObjects(map.obj),
    links: map.links?.map(mapLink),
    metadata: map.meta as Description['metadata'] | undefined,
    observations: map.obs?.map(({ p, pmin, pmax }) => ({ path: p, pmin, pmax })),
    extra: openFields(merged.extra, map),
    endpointType: merged.endpointType,
    base: merged.base,
    model: map.model,
    awake: map.awake,
    bootId: map.boot,
  };
}

/** Spelled out, so that all registrations have one shape. */
function completed(said: Said): Description {
  return {
    root: said.root ?? emptyDescription.root,
    contentFormats: said.contentFormats ?? emptyDescription.contentFormats,
    objects: said.objects ?? emptyDescription.objects,
    links: said.links ?? emptyDescription.links,
    metadata: said.metadata ?? emptyDescription.metadata,
    observations: said.observations ?? emptyDescription.observations,
    extra: said.extra ?? emptyDescription.extra,
    endpointType: said.endpointType,
    base: said.base,
    model: said.model,
    awake: said.awake,
    bootId: said.bootId,
  };
}

function changesOf(said: Said): Partial<Description> {
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}

function openFields(queried: Description['extra'], map: RegistrationMap): Description['extra'] | undefined {
  let open: Record<string, unknown> | undefined;
  for (const name in queried) (open ??= {})[name] = queried[name];
  for (const name in map) if (isOpenField(name)) (open ??= {})[name] = map[name as keyof RegistrationMap];
  return open;
}

/** In the order in which link-format is read too, so that a device looks the same in either dialect. */
function mapObjects(objects: NonNullable<RegistrationMap['obj']>): Description['objects'] {
  const found: Description['objects'][number][] = [];
  for (const { id, v, i } of objects) {
    if (!ignoredObjects.has(id)) found.push({ id, version: v, instances: inOrder(i as number[], byNumber) });
  }
  return inOrder(found, byId);
}

/** Most lists are sorted as they come, and to look costs less than to sort. */
function inOrder<T>(list: T[], compare: (a: T, b: T) => number): T[] {
  for (let i = 1; i < list.length; i++) if (compare(list[i - 1]!, list[i]!) > 0) return [...list].sort(compare);
  return list;
}

function mapLink({ href, ...attributes }: { href: string; [name: string]: string | number | boolean }): CoreLink {
  const entries = Object.entries(attributes).filter(([, value]) => value !== false);
  return {
    href,
    attributes: Object.fromEntries(entries.map(([name, value]) => [name, value === true || String(value)])),
  };
}

const nothing: RegisterQuery['extra'] = {};
const byNumber = (a: number, b: number) => a - b;
const byId = (a: { id: number }, b: { id: number }) => a.id - b.id;
