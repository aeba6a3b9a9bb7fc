import { type Refusal, refusal } from './refusal.ts';
import type { EnablerVersion } from './registrationRequest.ts';
import { parseVersion } from './version.ts';

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
  readonly endpointType: string | undefined;
  /** Parameters that nobody here knows: stored and shown. */
  readonly extra: Readonly<Record<string, string>>;
}

/** Parameters come in any order; one twice is malformed (LwM2M Core 1.2 §6.2.1, RFC 9176 §5). */
export function parseRegisterQuery(query: readonly string[]): RegisterQuery | Refusal {
  const values = new Map<string, string | undefined>();
  for (const parameter of query) {
    const equals = parameter.indexOf('=');
    const name = equals < 0 ? parameter : parameter.slice(0, equals);
    if (name === '') return refusal('bad-query', `a parameter without a name: ${parameter}`);
    if (values.has(name)) return refusal('bad-query', `${name} twice`);
    values.set(name, equals < 0 ? undefined : parameter.slice(equals + 1));
  }
  for (const name of needValue) {
    if (values.has(name) && values.get(name) === undefined) return refusal('bad-query', `${name} without a value`);
  }

  const lt = values.get('lt');
  const lifetime = lt === undefined ? undefined : parseLifetime(lt);
  if (lt !== undefined && lifetime === undefined) return refusal('bad-lifetime', lt);
  const lwm2m = values.get('lwm2m');
  const version = lwm2m === undefined ? undefined : parseVersion(lwm2m);
  if (lwm2m !== undefined && version === undefined) return refusal('bad-version', lwm2m);
  // `Q` is a flag; some clients write `Q=`.
  if (values.get('Q')) return refusal('bad-query', `Q=${values.get('Q')}`);

  const extra: Record<string, string> = {};
  for (const [name, value] of values) if (!known.has(name)) extra[name] = value ?? '';
  return {
    endpoint: values.get('ep'),
    sector: values.get('d'),
    lifetime,
    version,
    binding: values.get('b'),
    queueMode: values.has('Q') ? true : undefined,
    sms: values.get('sms'),
    profileId: values.get('pid'),
    base: values.get('base'),
    endpointType: values.get('et'),
    extra,
  };
}

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
  version: EnablerVersion | undefined,
): { binding: string; queueMode: boolean } | undefined {
  const old = version === undefined || (version[0] === 1 && version[1] === 0);
  const queueMode = old && text.includes('Q');
  const binding = queueMode ? text.replace('Q', '') : text;
  const letters = version !== undefined && version[1] >= 2 ? 'UTSNMH' : 'UTSN';
  if (binding === '') return undefined;
  for (let i = 0; i < binding.length; i++) {
    if (!letters.includes(binding[i]!) || binding.indexOf(binding[i]!) !== i) return undefined;
  }
  return { binding, queueMode };
}

export const maxLifetime = 2 ** 32 - 1;
const known = new Set(['ep', 'd', 'lt', 'lwm2m', 'b', 'Q', 'sms', 'pid', 'base', 'et']);
const needValue = ['ep', 'd', 'lt', 'lwm2m', 'b', 'sms', 'pid', 'base', 'et'];
