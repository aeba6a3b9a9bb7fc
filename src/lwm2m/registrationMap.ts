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
  const map = named as unknown as RegistrationMap;
  // What the schema cannot say: the same object in two entries.
  const ids = map.obj?.map(({ id }) => id) ?? [];
  return new Set(ids).size === ids.length ? map : refusal('bad-map', '/obj has an object twice');
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

/**
 * Whether a field is stored and shown as it is: somebody's own (negative, or `x-…`), or a later version's, which gives
 * its fields even keys where it does no harm not to understand them.
 */
export function isOpenField(name: string): boolean {
  return name.startsWith('x-') || name[0] === '-' || (name[0]! >= '0' && name[0]! <= '9');
}

/** `undefined` if there is a key that may not be there. */
function nameFields(map: ReadonlyMap<unknown, unknown>): Record<string, unknown> | undefined {
  // No name that gets in here means anything to an object.
  const named: Record<string, unknown> = {};
  const known: ReadonlyMap<unknown, string> = map.has(0) ? mapKeys : textKeys;
  for (const [key, value] of map) {
    const name = known.get(key);
    if (name !== undefined) {
      named[name] = (fieldForms.get(name) ?? bytesAsHex)(value);
      continue;
    }
    const open = openName(key);
    if (open === undefined) return undefined;
    named[open] = plain(value);
  }
  return named;
}

function openName(key: unknown): string | undefined {
  if (typeof key === 'string') return privateName.test(key) ? key : undefined;
  // An odd key that we do not know had to be understood.
  return typeof key === 'number' && (key < 0 || (key > lastKey && key % 2 === 0)) ? String(key) : undefined;
}

/** How a field is brought into its normal form. What has another form than expected passes, for the schema to refuse. */
const fieldForms: ReadonlyMap<string, (value: unknown) => unknown> = new Map([
  ['lwm2m', version],
  ['meta', metadata],
  ['obj', objects],
  ['obs', observations],
  ['links', links],
]);

function version(value: unknown): unknown {
  return typeof value === 'string' ? (parseVersion(value) ?? value) : value;
}

function metadata(value: unknown): unknown {
  return renamed(value, key => (typeof key !== 'number' ? key : key < 0 ? String(key) : metadataKeys.get(key)));
}

function links(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return value.map(link => renamed(link, key => (typeof key === 'number' ? linkKeys.get(key) : key)));
}

/** An id alone (its instance 0, in the default version), `[id, version, instances]`, or a map from id to `{ v, i }`. */
function objects(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(entry => {
      if (typeof entry === 'number') return { id: entry, i: [0] };
      if (!Array.isArray(entry) || entry.length !== 3) return entry;
      const [id, v, i] = entry;
      return v === null ? { id, i } : { id, v: version(v), i };
    });
  }
  if (!(value instanceof Map)) return value;
  return [...value].map(([key, entry]) => {
    const fields = renamed(entry, name => name);
    const id = /^(0|[1-9]\d{0,4})$/.test(String(key)) ? Number(key) : key;
    if (typeof fields !== 'object' || fields === null) return fields;
    const { v, i = [], ...others } = fields as Record<string, unknown>;
    return { ...others, id, i, ...(v === undefined ? {} : { v: version(v) }) };
  });
}

/** `[path, pmin, pmax]` each, or maps with these names; a path may be a list of numbers. */
function observations(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return value.map(entry => {
    if (!Array.isArray(entry)) return renamed(entry, key => key);
    const [path, pmin, pmax, more] = entry;
    const isList = Array.isArray(path) && path.every(id => Number.isInteger(id));
    const p = isList ? `/${path.join('/')}` : path;
    const surplus = more === undefined ? {} : { more };
    return { p, ...(pmin === undefined ? {} : { pmin }), ...(pmax === undefined ? {} : { pmax }), ...surplus };
  });
}

/** A map with the names of its keys; `null`, which no schema allows, if one has none or two have the same. */
function renamed(value: unknown, name: (key: unknown) => unknown): unknown {
  if (!(value instanceof Map)) return value;
  // A name that means something to an object must not; the others are found faster in an ordinary one.
  const object: Record<string, unknown> = value.has('__proto__') ? Object.create(null) : {};
  for (const [key, entry] of value) {
    const known = name(key);
    if (typeof known !== 'string' || Object.hasOwn(object, known)) return null;
    object[known] = entry;
  }
  return object;
}

function bytesAsHex(value: unknown): unknown {
  return value instanceof Uint8Array ? toHex(value) : value;
}

/** A private value as JSON can show it; what JSON lacks stands in CBOR's diagnostic notation (RFC 8949 §8). */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `h'${toHex(value)}'`;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, entry]) => [String(key), plain(entry)]));
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

const textKeys = new Map([...mapKeys.values()].map(name => [name, name]));
const lastKey = Math.max(...mapKeys.keys());
const privateName = /^x-./;
const decoder = new Decoder({ mapsAsObjects: false, useRecords: false, int64AsNumber: true } as object);
// A version is a tuple in draft-07, which ajv's strict mode wants to be closed; it is.
const validate = new Ajv({ strict: true, allowUnionTypes: true, allErrors: false }).compile(schema);
