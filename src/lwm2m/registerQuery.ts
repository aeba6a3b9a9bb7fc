import { type Refusal, refusal } from './refusal.ts';
import type { Dialect, EnablerVersion } from './registrationRequest.ts';
import { isAtLeast, parseVersion } from './version.ts';

/** The query of a registration or an update, parameter by parameter; what does not stand there is `undefined`. */
export interface RegisterQuery {
  readonly endpoint: string | undefined;
  readonly sector: string | undefined;
  /** In seconds; 0 to 4294967295. */
  readonly lifetime: number | undefined;
  readonly version: EnablerVersion | undefined;
  /** As it was sent, Q included. */
  readonly binding: string | undefined;
  readonly queueMode: boolean | undefined;
  readonly sms: string | undefined;
  readonly profileId: string | undefined;
  readonly base: string | undefined;
  /** Several are separated by spaces. */
  readonly endpointType: string | undefined;
  /** Parameters that the dialect does not know: stored and shown, all values of one that stands there several times. */
  readonly extra: Readonly<Record<string, string | readonly string[]>>;
}

/** Of each parameter its values, in the order in which they stand there; one without `=` is `undefined`. */
export type QueryParameters = ReadonlyMap<string, readonly (string | undefined)[]>;

/** Parameters come in any order. */
export function splitQuery(query: readonly string[]): QueryParameters | Refusal {
  const values = new Map<string, (string | undefined)[]>();
  for (const parameter of query) {
    const equals = parameter.indexOf('=');
    const name = equals < 0 ? parameter : parameter.slice(0, equals);
    if (name === '') return refusal('bad-query', `a parameter without a name: ${parameter}`);
    const value = equals < 0 ? undefined : parameter.slice(equals + 1);
    const before = values.get(name);
    if (before === undefined) values.set(name, [value]);
    else before.push(value);
  }
  return values;
}

/** `lwm2m`: what decides how everything else is to be read. */
export function queriedVersion(parameters: QueryParameters): EnablerVersion | undefined | Refusal {
  const values = parameters.get('lwm2m');
  if (values === undefined) return undefined;
  if (values.length > 1) return refusal('bad-query', 'lwm2m twice');
  return parseVersion(values[0] ?? '') ?? refusal('bad-version', values[0] ?? '');
}

/**
 * `version` is that of the request, or of the registration it updates. What means something may stand there once (LwM2M
 * Core 1.2 §6.2.1, RFC 9176 §5), but for endpoint types (RFC 9176 §9.3.1).
 */
export function readQuery(
  parameters: QueryParameters,
  dialect: Dialect,
  version: EnablerVersion | undefined,
): RegisterQuery | Refusal {
  if (parameters.size === 0) return emptyQuery;
  const known = parametersOf(dialect, version);
  const extra: [string, string | string[]][] = [];
  for (const [name, values] of parameters) {
    if (!known.has(name)) extra.push([name, values.length === 1 ? (values[0] ?? '') : values.map(one => one ?? '')]);
    else if (values.length > 1 && name !== 'et') return refusal('bad-query', `${name} twice`);
    else if (values.includes(undefined) && name !== 'Q') return refusal('bad-query', `${name} without a value`);
  }
  const get = (name: string) => (known.has(name) ? parameters.get(name)?.[0] : undefined);

  const lt = get('lt');
  const lifetime = lt === undefined ? undefined : parseLifetime(lt);
  if (lt !== undefined && lifetime === undefined) return refusal('bad-lifetime', lt);
  const queried = queriedVersion(parameters);
  if (queried !== undefined && 'kind' in queried) return queried;
  // `Q` is a flag; some clients write `Q=`.
  if (get('Q')) return refusal('bad-query', `Q=${get('Q')}`);

  return {
    endpoint: get('ep'),
    sector: get('d'),
    lifetime,
    version: queried,
    binding: get('b'),
    queueMode: known.has('Q') && parameters.has('Q') ? true : undefined,
    sms: get('sms'),
    profileId: get('pid'),
    base: get('base'),
    endpointType: parameters.get('et')?.join(' '),
    extra: Object.fromEntries(extra),
  };
}

/** Of a request without a query, as most of our own are. */
export const emptyQuery: RegisterQuery = {
  endpoint: undefined,
  sector: undefined,
  lifetime: undefined,
  version: undefined,
  binding: undefined,
  queueMode: undefined,
  sms: undefined,
  profileId: undefined,
  base: undefined,
  endpointType: undefined,
  extra: {},
};

/** Decimal digits only: no sign, no fraction, no exponent; at most 32 bits. */
export function parseLifetime(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const lifetime = Number(text);
  return lifetime <= maxLifetime ? lifetime : undefined;
}

/**
 * The letters of a binding and whether they ask for queue mode: U T S N, from 1.2 on M H too; in 1.0 the Q of queue
 * mode stands among them (LwM2M Core 1.0 §5.3.1.1, 1.2 §6.2.1.2). `undefined` if a letter is unknown or there twice.
 */
export function parseBinding(
  text: string,
  version: EnablerVersion,
): { binding: string; queueMode: boolean } | undefined {
  const queueMode = !isAtLeast(version, [1, 1]) && text.includes('Q');
  const binding = queueMode ? text.replace('Q', '') : text;
  const letters = isAtLeast(version, [1, 2]) ? 'UTSNMH' : 'UTSN';
  if (binding === '') return undefined;
  for (let i = 0; i < binding.length; i++) {
    if (!letters.includes(binding[i]!) || binding.indexOf(binding[i]!) !== i) return undefined;
  }
  return { binding, queueMode };
}

/**
 * Which names mean something. To a Resource Directory `b` or `Q` is an attribute like any other, stored as it is
 * (RFC 9176 §5); `pid` came with LwM2M 1.2. `Q` came with 1.1, but a device of 1.0 that sends it sleeps all the same.
 */
function parametersOf(dialect: Dialect, version: EnablerVersion | undefined): ReadonlySet<string> {
  if (dialect === 'rd') return rdParameters;
  const hasProfiles = dialect === 'lwm2m' && version !== undefined && isAtLeast(version, [1, 2]);
  return hasProfiles ? profileParameters : deviceParameters;
}

export const maxLifetime = 2 ** 32 - 1;
const rdParameters: ReadonlySet<string> = new Set(['ep', 'd', 'lt', 'base', 'et']);
const deviceParameters: ReadonlySet<string> = new Set([...rdParameters, 'lwm2m', 'b', 'Q', 'sms']);
const profileParameters: ReadonlySet<string> = new Set([...deviceParameters, 'pid']);
