import { type Refusal, refusal } from './refusal.ts';
import { parseBinding, type RegisterQuery } from './registerQuery.ts';
import type { Description, Dialect, EnablerVersion } from './registrationRequest.ts';
import { isAtLeast, isSameVersion } from './version.ts';

/** What an update has to know of the registration that it changes. */
export interface RegisteredAs {
  readonly dialect: Dialect;
  readonly version: EnablerVersion | undefined;
  readonly name: string;
  readonly sector: string | undefined;
  /** The path its objects stand under. Read only where it matters. */
  readonly root: () => string;
}

/** What dialect and version allow for lifetime and binding. */
export function checkRules(
  dialect: Dialect,
  version: EnablerVersion | undefined,
  { lifetime, binding, queueMode }: Pick<RegisterQuery, 'lifetime' | 'binding' | 'queueMode'>,
): { binding: string | undefined; queueMode: boolean | undefined } | Refusal {
  // 0 is infinite from LwM2M 1.1 on, and nothing before or elsewhere (RFC 9176 §5: 1 to 4294967295).
  const mayBeInfinite = dialect !== 'rd' && version !== undefined && isAtLeast(version, [1, 1]);
  if (lifetime === 0 && !mayBeInfinite) return refusal('bad-lifetime', '0');
  if (binding === undefined) return { binding: undefined, queueMode };
  // Our map need not say a version: then it may use every letter.
  const letters = parseBinding(binding, version ?? [1, 2]);
  if (letters === undefined) return refusal('bad-binding', binding);
  if (dialect === 'cbor') return { binding: letters.binding, queueMode };
  // `Q` has no value that would say no: a binding without it does (LwM2M Core 1.2 §6.2.1.2).
  return { binding: letters.binding, queueMode: letters.queueMode || queueMode === true };
}

/** Name, sector and version change by registering again; an update may say them, if they are the same. */
export function namesAnother(
  { endpoint, sector, version }: Pick<RegisterQuery, 'endpoint' | 'sector' | 'version'>,
  registered: RegisteredAs,
): Refusal | undefined {
  if (endpoint !== undefined && endpoint !== registered.name) return refusal('update-of-identity', 'ep');
  if (sector !== undefined && sector !== registered.sector) return refusal('update-of-identity', 'd');
  if (version !== undefined && !isSameVersion(version, registered.version)) {
    return refusal('update-of-identity', 'lwm2m');
  }
  return undefined;
}

export function queryDescription(
  query: Pick<RegisterQuery, 'base' | 'endpointType'> & Pick<Description, 'extra'>,
): Partial<Description> {
  return {
    ...(query.base === undefined ? {} : { base: query.base }),
    ...(query.endpointType === undefined ? {} : { endpointType: query.endpointType }),
    ...(Object.keys(query.extra).length === 0 ? {} : { extra: query.extra }),
  };
}

export function unlessEmpty<T extends object>(value: T): T | undefined {
  return Object.keys(value).length === 0 ? undefined : value;
}
