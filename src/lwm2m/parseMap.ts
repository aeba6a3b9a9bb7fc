import type { Bytes } from '../base/bytes.ts';
import { ignoredObjects } from './objectLinks.ts';
import { isRefusal, type Refusal, refusal } from './refusal.ts';
import { type QueryParameters, type RegisterQuery, readQuery } from './registerQuery.ts';
import { checkRules, namesAnother, queryDescription, type RegisteredAs, unlessEmpty } from './registerRules.ts';
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
    description: { ...emptyDescription, ...describe(merged, map) },
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
    description: unlessEmpty(describe(merged, map)),
  };
}

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
  const extra = Object.entries(query.extra);
  if (extra.length > 0) {
    const fields = new Map<string, unknown>(Object.entries(map));
    for (const [name, value] of extra) {
      if (fields.has(name) && String(fields.get(name)) !== value) return refusal('query-contradicts-map', name);
    }
    merged.extra = Object.fromEntries(extra.filter(([name]) => !fields.has(name)));
  }
  return merged as unknown as RegisterQuery;
}

function describe(merged: RegisterQuery, map: RegistrationMap): Partial<Description> {
  const open = Object.entries(map).filter(([name]) => isOpenField(name));
  const extra = Object.fromEntries([...Object.entries(merged.extra), ...open]);
  return {
    ...queryDescription({ base: merged.base, endpointType: merged.endpointType, extra }),
    ...(map.meta === undefined ? {} : { metadata: map.meta as Record<string, string> }),
    ...(map.ct === undefined ? {} : { contentFormats: map.ct }),
    ...(map.obj === undefined ? {} : { objects: mapObjects(map.obj) }),
    ...(map.obs === undefined ? {} : { observations: map.obs.map(({ p, pmin, pmax }) => ({ path: p, pmin, pmax })) }),
    ...(map.links === undefined ? {} : { links: map.links.map(mapLink) }),
    ...(map.model === undefined ? {} : { model: map.model }),
    ...(map.awake === undefined ? {} : { awake: map.awake }),
    ...(map.boot === undefined ? {} : { bootId: map.boot }),
  };
}

/** In the order in which link-format is read too, so that a device looks the same in either dialect. */
function mapObjects(objects: NonNullable<RegistrationMap['obj']>): Description['objects'] {
  return objects
    .filter(({ id }) => !ignoredObjects.has(id))
    .map(({ id, v, i }) => ({ id, version: v, instances: [...(i as number[])].sort((a, b) => a - b) }))
    .sort((a, b) => a.id - b.id);
}

function mapLink({ href, ...attributes }: { href: string; [name: string]: string | number | boolean }): CoreLink {
  const entries = Object.entries(attributes).filter(([, value]) => value !== false);
  return {
    href,
    attributes: Object.fromEntries(entries.map(([name, value]) => [name, value === true || String(value)])),
  };
}
