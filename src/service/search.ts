import type { WallTime } from '../base/time.ts';
import type { Link, WrittenLink } from '../coap/codec/linkFormat.ts';
import { DeviceAttributes, linkAttributes, ownAttributes, relationTypes } from '../fleet/attributes.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import { deviceState } from '../fleet/deviceView.ts';
import type { Row } from '../fleet/names.ts';
import { compile, isQueryFault, matchesValue, parseQuery, type Test } from '../fleet/query.ts';
import { effectiveExpiry, type FleetRules } from '../fleet/registration.ts';
import type { Selection } from '../fleet/store.ts';
import { stateTerm, type TermTest, testFor } from '../fleet/terms.ts';
import { type Refusal, refusal } from '../lwm2m/refusal.ts';
import { parseLifetime } from '../lwm2m/registerQuery.ts';
import type { CoreLink } from '../lwm2m/registrationRequest.ts';
import { baseOf, isOnLink, pathOf, resolve } from './base.ts';

/** `device`: those whose last values can be read, by the same criteria as `ep`. */
export type LookupKind = 'ep' | 'res' | 'device';

/** The query of a lookup (RFC 9176 §6.2). */
export interface Search {
  readonly kind: LookupKind;
  readonly criteria: readonly Criterion[];
  /** In the language of `fleet/query`; an addition of ours. */
  readonly where: string | undefined;
  readonly page: number;
  readonly count: number;
}

export interface Criterion {
  readonly name: string;
  readonly value: string;
  /** The value ended in `*`; or there was none, and any will do. */
  readonly prefix: boolean;
}

export function parseSearch(kind: LookupKind, query: readonly string[]): Search | Refusal {
  const criteria: Criterion[] = [];
  const own = new Map<string, string>();
  for (const parameter of query) {
    const equals = parameter.indexOf('=');
    const name = equals < 0 ? parameter : parameter.slice(0, equals);
    const value = equals < 0 ? '*' : parameter.slice(equals + 1);
    if (name === '') return refusal('bad-search', 'a criterion without a name');
    if (name === 'page' || name === 'count' || name === 'where') {
      if (own.has(name)) return refusal('bad-search', `${name} twice`);
      own.set(name, value);
    } else {
      const prefix = value.endsWith('*');
      criteria.push({ name, value: prefix ? value.slice(0, -1) : value, prefix });
    }
  }
  if (criteria.length > maxCriteria) return refusal('bad-search', `more than ${maxCriteria} criteria`);
  const page = own.has('page') ? parseLifetime(own.get('page')!) : 0;
  const count = own.has('count') ? parseLifetime(own.get('count')!) : defaultCount;
  if (page === undefined || count === undefined) return refusal('bad-search', 'page or count is no number');
  if (own.has('page') && !own.has('count')) return refusal('bad-search', 'page without count');
  if (count === 0 || count > maxCount) return refusal('bad-search', `count is from 1 to ${maxCount}`);
  const where = own.get('where');
  const parsed = where === undefined ? [] : parseQuery(where);
  if (isQueryFault(parsed)) return refusal('bad-search', `where, at ${parsed.position}: ${parsed.message}`);
  return { kind, criteria, where, page, count };
}

/** What a search finds at one moment, as one client may see it. */
export class SearchView implements Selection {
  readonly terms: readonly TermTest[];
  readonly questions: number;
  readonly #search: Search;
  readonly #asked: Asked;
  readonly #tests: readonly Test[];
  readonly #criteria: readonly Criterion[];

  constructor(search: Search, asked: Asked) {
    this.#search = search;
    this.#asked = asked;
    this.#criteria = search.criteria;
    const where = search.where === undefined ? [] : parseQuery(search.where);
    this.#tests = isQueryFault(where) ? [] : compile(where, asked);
    this.questions = this.#tests.length + search.criteria.length;
    const known = [...this.#tests.map(test => test.terms), ...search.criteria.map(termsOfCriterion)];
    this.terms = [{ any: [stateTerm(true)] }, ...known.filter(test => test !== undefined)];
  }

  accepts(record: DeviceRecord): boolean {
    return this.linksOf(record).length > 0;
  }

  /** When what it shows of a device ends by itself. */
  endOf({ registration }: DeviceRecord): WallTime | undefined {
    return effectiveExpiry(this.#asked.rules, registration);
  }

  /** The links that match: at most one for an endpoint lookup. */
  linksOf(record: DeviceRecord): WrittenLink[] {
    const { registration } = record;
    const { rules, now, address, only } = this.#asked;
    if (only !== undefined && record.row !== only) return [];
    if (registration === undefined || deviceState(record, rules, now) !== 'registered') return [];
    const device = new DeviceAttributes(record);
    if (!this.#tests.every(test => test.passes(device))) return [];
    const base = baseOf(registration, device.description?.base);
    if (!isOnLink(base, registration.address, address)) return [];
    const endpoint: Shown = { device, base, location: `/rd/${rules.registrationId(record.row, record.generation)}` };
    const left = this.#criteria.filter(criterion => !endpointMatches(criterion, endpoint));
    const { kind } = this.#search;
    if (kind !== 'res') {
      const matches = left.every(criterion => device.links.some(link => linkMatches(criterion, link, base)));
      return matches ? [kind === 'ep' ? endpointLink(endpoint) : valuesLink(record)] : [];
    }
    return device.links
      .filter(link => left.every(criterion => linkMatches(criterion, link, base)))
      .map(link => resolvedLink(link, base));
  }
}

export interface Asked {
  readonly now: WallTime;
  readonly rules: FleetRules;
  /** From where it is asked: link-local registrations are shown on their own link only. */
  readonly address: string;
  /** The one device that whoever asks may see; `undefined` for all. */
  readonly only: Row | undefined;
}

interface Shown {
  readonly device: DeviceAttributes;
  readonly base: string;
  readonly location: string;
}

function endpointMatches({ name, value, prefix }: Criterion, { device, base, location }: Shown): boolean {
  switch (name) {
    case 'href':
      return matchesValue(location, pathOf(value) ?? value, prefix);
    case 'base':
      return matchesValue(base, value, prefix);
    case 'rt':
      if (matchesValue(endpointType, value, prefix)) return true;
  }
  return device.endpoint.some(([candidate, found]) => candidate === name && matchesValue(found, value, prefix));
}

function linkMatches({ name, value, prefix }: Criterion, link: CoreLink, base: string): boolean {
  if (name === 'href') return matchesValue(resolve(link.href, base), value, prefix);
  if (name === 'anchor') {
    const { anchor } = link.attributes;
    return typeof anchor === 'string' && matchesValue(resolve(anchor, base), value, prefix);
  }
  return linkAttributes(link).some(([candidate, found]) => candidate === name && matchesValue(found, value, prefix));
}

/** The index has references as they were registered: of a URI also what it was relative to its base. */
function termsOfCriterion({ name, value, prefix }: Criterion): TermTest | undefined {
  if (name === 'base' || (name === 'rt' && matchesValue(endpointType, value, prefix))) return undefined;
  if (name !== 'href' && name !== 'anchor') return testFor(name, value, prefix);
  const path = pathOf(value);
  if (prefix || path === undefined || path.startsWith('/rd/')) return undefined;
  const tests = [testFor(name, value, false), testFor(name, path, false)];
  return { any: tests.flatMap(test => (test !== undefined && 'any' in test ? test.any : [])) };
}

/**
 * RFC 9176 §6.3: names, base, and what else the endpoint said of itself; not its lifetime. What it said several times
 * stands there as often, endpoint types too (§9.3.1); the values of a relation type stand in one (RFC 6690 §3.1).
 */
function endpointLink({ device, base, location }: Shown): WrittenLink {
  const { name, sector } = device.record;
  const attributes: Record<string, string | string[]> = Object.create(null);
  for (const [attribute, value] of device.description === undefined ? [] : ownAttributes(device.description)) {
    const before = attributes[attribute];
    const joined = relationTypes.has(attribute) && attribute !== 'et';
    if (before === undefined) attributes[attribute] = value;
    else if (typeof before === 'object') before.push(value);
    else attributes[attribute] = joined ? `${before} ${value}` : [before, value];
  }
  delete attributes.d;
  return {
    href: location,
    attributes: { ...attributes, base, ep: name, ...(sector === undefined ? {} : { d: sector }), rt: endpointType },
  };
}

/** Where the last values of a device are. */
function valuesLink({ name, sector }: DeviceRecord): Link {
  const query = sector === undefined ? '' : `?d=${encodeURIComponent(sector)}`;
  return {
    href: `/device/${encodeURIComponent(name)}${query}`,
    attributes: { ep: name, ...(sector === undefined ? {} : { d: sector }), rt: valuesType, obs: true },
  };
}

/** As it was registered, with target and anchor resolved (RFC 9176 §6.1). */
function resolvedLink({ href, attributes }: CoreLink, base: string): Link {
  const { anchor } = attributes;
  return {
    href: resolve(href, base),
    attributes: typeof anchor === 'string' ? { ...attributes, anchor: resolve(anchor, base) } : attributes,
  };
}

const endpointType = 'core.rd-ep';
export const valuesType = 'rollcall.values';
const maxCriteria = 16;
/** Of a lookup that names no count: a directory of a million devices has no one answer. */
export const defaultCount = 50;
export const maxCount = 500;
