import { Encoder } from 'cbor-x';
import { type Bytes, fromHex } from '../base/bytes.ts';
import { asMaps } from './peerNames.ts';
import { linkKeys, mapKeys, metadataKeys } from './registrationMap.ts';
import type { Description, RegistrationRequest } from './registrationRequest.ts';
import { formatVersion } from './version.ts';

/**
 * The registration map that a device sends: the mirror of `registrationMap.ts`. `compact` has integer keys and is what
 * a microcontroller builds; `text` is what a person reads. Private fields keep their names and values.
 */
export function writeRegistrationMap(request: MapContent, form: 'compact' | 'text'): Bytes {
  const { description: d } = request;
  const compact = form === 'compact';
  const map = new Map<number | bigint | string, unknown>();
  const put = (name: string, value: unknown) => {
    if (value !== undefined) map.set(compact ? numberOf(mapKeys, name) : name, value);
  };
  put('v', 1);
  put('ep', request.endpoint);
  put('lt', request.lifetime);
  put('lwm2m', compact || request.version === undefined ? request.version : formatVersion(request.version));
  put('b', request.binding);
  put('q', request.queueMode === true ? true : undefined);
  put('meta', unlessEmpty(keyed(d?.metadata ?? {}, compact ? metadataKeys : undefined)));
  put('ct', unlessEmpty(d?.contentFormats));
  put('obj', unlessEmpty(compact ? compactObjects(d) : textObjects(d)));
  put('obs', unlessEmpty(compact ? compactObservations(d) : textObservations(d)));
  put(
    'links',
    unlessEmpty(
      (d?.links ?? []).map(({ href, attributes }) => keyed({ ...attributes, href }, compact ? linkKeys : undefined)),
    ),
  );
  put('d', request.sector);
  put('base', d?.base);
  put('et', d?.endpointType);
  put('sms', request.sms);
  put('model', d?.model);
  put('awake', d?.awake);
  put('boot', d?.bootId === undefined ? undefined : fromHex(d.bootId));
  for (const [name, value] of Object.entries(d?.extra ?? {}))
    map.set(/^-?\d+$/.test(name) ? integerKey(Number(name)) : name, asMaps(value));
  const encoded = encoder.encode(map);
  return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.length).slice();
}

/** The encoder writes numbers of more than 32 bits as floating point, which no key may be. */
function integerKey(key: number): number | bigint {
  return Math.abs(key) > 0xffff_ffff ? BigInt(key) : key;
}

/** What can stand in the map: of a registration everything, of an update what changed. */
export type MapContent = Partial<Omit<RegistrationRequest, 'description' | 'dialect'>> & {
  readonly description?: Partial<Description> | undefined;
};

function compactObjects(d: Partial<Description> | undefined): unknown[] {
  return (d?.objects ?? []).map(({ id, version, instances }) => {
    const isPlain = version === undefined && instances.length === 1 && instances[0] === 0;
    return isPlain ? id : [id, version ?? null, instances];
  });
}

function textObjects(d: Partial<Description> | undefined): Map<string, unknown> {
  return new Map(
    (d?.objects ?? []).map(({ id, version, instances }) => {
      const v = version === undefined ? [] : [['v', formatVersion(version)] as const];
      return [String(id), new Map<string, unknown>([...v, ['i', instances]])];
    }),
  );
}

function compactObservations(d: Partial<Description> | undefined): unknown[] {
  return (d?.observations ?? []).map(({ path, pmin, pmax }) => {
    const numbers = path.slice(1).split('/').map(Number);
    return pmax !== undefined ? [numbers, pmin ?? 0, pmax] : pmin !== undefined ? [numbers, pmin] : [numbers];
  });
}

function textObservations(d: Partial<Description> | undefined): unknown[] {
  return (d?.observations ?? []).map(({ path, pmin, pmax }) => keyed({ p: path, pmin, pmax }, undefined));
}

function keyed(fields: object, keys: ReadonlyMap<number, string> | undefined): Map<number | string, unknown> {
  const map = new Map<number | string, unknown>();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const number = keys === undefined ? -1 : numberOf(keys, name);
    if (number >= 0) map.set(number, value);
    else map.set(/^-\d+$/.test(name) ? Number(name) : name, value);
  }
  return map;
}

function numberOf(keys: ReadonlyMap<number, string>, name: string): number {
  for (const [number, known] of keys) if (known === name) return number;
  return -1;
}

function unlessEmpty<T extends Map<unknown, unknown> | readonly unknown[]>(value: T | undefined): T | undefined {
  const size = value === undefined ? 0 : value instanceof Map ? value.size : value.length;
  return size === 0 ? undefined : value;
}

const encoder = new Encoder({ mapsAsObjects: false, useRecords: false, tagUint8Array: false } as object);
