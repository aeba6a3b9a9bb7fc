import { Ajv } from 'ajv';
import { Decoder } from 'cbor-x';
import schema from '../../schemas/registration.schema.json' with { type: 'json' };
import { type Bytes, toHex } from '../base/bytes.ts';
import { scanCbor, withoutSelfDescription } from './cborScan.ts';
import { type Refusal, refusal } from './refusal.ts';
import type { RegistrationMap } from './registrationMap.generated.ts';
import { parseVersion } from './version.ts';

/**
 * Reads the registration map (`schemas/registration.cddl`), in integer or text keys, into its one normal form, and
 * checks it against `schemas/registration.schema.json`. The order matters: size, then a strict scan, then the decoder,
 * then names, then the schema; nothing hostile gets further than it must.
 */
export function readRegistrationMap(payload: Bytes): RegistrationMap | Refusal {
  const bytes = withoutSelfDescription(payload);
  if (bytes.length === 0) return refusal('bad-cbor', 'no payload');
  const fault = scanCbor(bytes);
  if (fault !== undefined) return refusal('bad-cbor', fault);
  const decoded: unknown = decoder.decode(bytes);
  if (!(decoded instanceof Map)) return refusal('bad-map', 'not a map');
  const named = nameFields(decoded);
  if (named === undefined) return refusal('bad-map', 'a key that is not allowed');
  if (!validate(named)) {
    const error = validate.errors?.[0];
    return refusal('bad-map', `${error?.instancePath} ${error?.message}`);
  }
  return named as unknown as RegistrationMap;
}

/** The integer keys of the map, with the text keys that they stand for. */
export const mapKeys: ReadonlyMap<number, string> = new Map([
  [0, 'v'],
  [1, 'ep'],
  [2, 'lt'],
  [3, 'lwm2m'],
  [4, 'b'],
  [5, 'q'],
  [6, 'meta'],
  [7, 'ct'],
  [8, 'obj'],
  [9, 'obs'],
  [10, 'links'],
  [11, 'token'],
  [12, 'd'],
  [13, 'base'],
  [14, 'et'],
  [15, 'sms'],
  [16, 'model'],
  [17, 'awake'],
  [18, 'boot'],
]);

/** Metadata goes by the resource ids of LwM2M object 3 (Device). */
export const metadataKeys: ReadonlyMap<number, string> = new Map([
  [0, 'manufacturer'],
  [1, 'model'],
  [2, 'serial'],
  [3, 'firmware'],
  [17, 'type'],
  [18, 'hardware'],
  [19, 'software'],
]);

export const linkKeys: ReadonlyMap<number, string> = new Map([
  [1, 'href'],
  [2, 'rel'],
  [3, 'anchor'],
  [7, 'title'],
  [9, 'rt'],
  [10, 'if'],
  [11, 'sz'],
  [12, 'ct'],
  [13, 'obs'],
]);

/** Whether a field is somebody's own: stored and shown, not interpreted. */
export function isPrivateField(name: string): boolean {
  return name.startsWith('x-') || /^-?\d+$/.test(name);
}

/** `undefined` if there is a key that may not be there. */
function nameFields(map: ReadonlyMap<unknown, unknown>): Record<string, unknown> | undefined {
  const named: Record<string, unknown> = Object.create(null);
  const compact = map.has(0);
  for (const [key, value] of map) {
    const name = compact ? compactName(key) : verboseName(key);
    if (name === undefined) return undefined;
    named[name] = isPrivateField(name) ? plain(value) : (fieldForms[name]?.(value) ?? bytesAsHex(value));
  }
  return named;
}

function compactName(key: unknown): string | undefined {
  if (typeof key !== 'number') return undefined;
  const name = mapKeys.get(key);
  if (name !== undefined) return name;
  // Private keys are negative; an unknown even key is of a later version and harmless; an odd one had to be understood.
  return key < 0 || key % 2 === 0 ? String(key) : undefined;
}

function verboseName(key: unknown): string | undefined {
  if (typeof key !== 'string') return undefined;
  return textKeys.has(key) || (key.startsWith('x-') && key.length > 2) ? key : undefined;
}

/** How a field is brought into its normal form. What has another form than expected passes, for the schema to refuse. */
const fieldForms: Readonly<Record<string, (value: unknown) => unknown>> = {
  lwm2m: version,
  meta: metadata,
  obj: objects,
  obs: observations,
  links,
};

function version(value: unknown): unknown {
  return typeof value === 'string' ? (parseVersion(value) ?? value) : value;
}

function metadata(value: unknown): unknown {
  return renamed(value, key => (typeof key === 'number' ? (metadataKeys.get(key) ?? String(key)) : key));
}

function links(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return value.map(link => renamed(link, key => (typeof key === 'number' ? linkKeys.get(key) : key)));
}

/** `[id, version, instances]` each, or a map from id to `{ v, i }`. */
function objects(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(entry => {
      if (!Array.isArray(entry) || entry.length !== 3) return entry;
      const [id, v, i] = entry;
      return v === null ? { id, i } : { id, v, i };
    });
  }
  if (!(value instanceof Map)) return value;
  return [...value].map(([key, entry]) => {
    const fields = entry instanceof Map ? entry : new Map();
    const v = version(fields.get('v'));
    const id = /^\d{1,5}$/.test(String(key)) ? Number(key) : key;
    const known = [...fields.keys()].every(name => name === 'v' || name === 'i');
    const object = { id: known ? id : undefined, i: fields.get('i') ?? [] };
    return v === undefined ? object : { ...object, v };
  });
}

/** `[path, pmin, pmax]` each, or maps with these names; a path may be a list of numbers. */
function observations(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return value.map(entry => {
    if (!Array.isArray(entry)) return renamed(entry, key => key);
    const [path, pmin, pmax, more] = entry;
    const p = Array.isArray(path) ? `/${path.join('/')}` : path;
    const surplus = more === undefined ? {} : { more };
    return { p, ...(pmin === undefined ? {} : { pmin }), ...(pmax === undefined ? {} : { pmax }), ...surplus };
  });
}

function renamed(value: unknown, name: (key: unknown) => unknown): unknown {
  if (!(value instanceof Map)) return value;
  const object: Record<string, unknown> = Object.create(null);
  for (const [key, entry] of value) {
    const known = name(key);
    // A key that has no name gets one that no schema allows.
    object[typeof known === 'string' ? known : '?'] = entry;
  }
  return object;
}

function bytesAsHex(value: unknown): unknown {
  return value instanceof Uint8Array ? toHex(value) : value;
}

/** A private value as JSON can show it; byte strings as CBOR's diagnostic notation has them (RFC 8949 §8). */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `h'${toHex(value)}'`;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, entry]) => [String(key), plain(entry)]));
  return value;
}

const textKeys = new Set(mapKeys.values());
const decoder = new Decoder({ mapsAsObjects: false, useRecords: false, int64AsType: 'number' } as object);
// A version is a tuple in draft-07, which ajv's strict mode wants to be closed; it is.
const validate = new Ajv({ strict: true, allowUnionTypes: true, allErrors: false }).compile(schema);
