import { Decoder, Encoder } from 'cbor-x';
import type { Bytes } from '../base/bytes.ts';
import { scanCbor } from './cborScan.ts';

/**
 * What a device hears that accepts CBOR (`reply` in `schemas/registration.cddl`): what it was granted, and the time,
 * which many a device knows from nowhere else. Keys mean what they mean in the registration map.
 */
export interface RegistrationReply {
  /** In seconds; 0 is infinite. */
  readonly lifetime: number;
  /** When the registration was carried out, in seconds since 1970-01-01T00:00Z. A repeated answer says it again. */
  readonly time: number;
  /** For how long after its last message we take it to listen, in seconds: only with queue mode. */
  readonly awake?: number;
  /** How many observations of the device the server makes. */
  readonly observations: number;
}

export function writeRegistrationReply({ lifetime, time, awake, observations }: RegistrationReply): Bytes {
  const map = new Map<number, unknown>([
    [0, 1],
    [2, lifetime],
    [9, observations],
  ]);
  if (awake !== undefined) map.set(17, awake);
  map.set(20, time);
  const encoded = encoder.encode(map);
  return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.length).slice();
}

/** `undefined` if it is none. Keys of later versions are passed over. */
export function readRegistrationReply(bytes: Bytes): RegistrationReply | undefined {
  if (scanCbor(bytes) !== undefined) return undefined;
  const map: unknown = decoder.decode(bytes);
  if (!(map instanceof Map) || map.get(0) !== 1) return undefined;
  const [lifetime, observations, awake, time] = [map.get(2), map.get(9), map.get(17), map.get(20)];
  if (!isCount(lifetime) || !isCount(observations) || !isCount(time)) return undefined;
  if (awake === undefined) return { lifetime, observations, time };
  return isCount(awake) ? { lifetime, observations, awake, time } : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}

const encoder = new Encoder({ mapsAsObjects: false, useRecords: false });
const decoder = new Decoder({ mapsAsObjects: false, useRecords: false, int64AsNumber: true } as object);
