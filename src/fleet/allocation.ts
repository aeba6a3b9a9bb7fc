import { Decoder, Encoder } from 'cbor-x';
import { type Bytes, noBytes } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import type { Description, EnablerVersion } from '../lwm2m/registrationRequest.ts';
import type { Row } from './names.ts';
import { type Observation, type ObservationChange, replaceObservations } from './observation.ts';
import { type Profile, wishesFor } from './profile.ts';

/** What a device was given when it registered, in the registration's own transaction; it goes with the registration. */
export interface Allocation {
  /** The name of its profile. */
  readonly profile: string;
  readonly tags: readonly string[];
  readonly queue: {
    /** How many commands may wait. */
    readonly limit: number;
    /** For how many seconds a device in queue mode listens after its last message. */
    readonly awake: number;
  };
  readonly events: EventRetention;
  readonly values: { readonly limit: number };
  /** How many observations were allocated. */
  readonly observations: number;
}

/** How much of a device's history is kept: whichever bound comes first. */
export interface EventRetention {
  readonly count: number;
  /** In seconds. */
  readonly age: number;
  readonly bytes: number;
}

export interface Allotment {
  readonly allocation: Allocation;
  readonly observations: readonly ObservationChange[];
}

/** Who is given something, and what was given before. */
export interface Allottee {
  readonly row: Row;
  readonly generation: number;
  readonly version: EnablerVersion | undefined;
  readonly description: Description;
  readonly observations: readonly Observation[];
}

export function allot(profile: Profile, allottee: Allottee, wall: WallTime): Allotment {
  const { row, generation, version, description } = allottee;
  const { name, tags, queue, events, values } = profile.file;
  const wishes = wishesFor(profile, description, version);
  const observations = replaceObservations(row, generation, allottee.observations, wishes, wall);
  const allocation: Allocation = {
    profile: name,
    tags: tags ?? noTags,
    queue: {
      limit: queue?.limit ?? defaults.queue.limit,
      awake: description.awake ?? queue?.awake ?? defaults.queue.awake,
    },
    events: { ...defaults.events, ...events },
    values: { ...defaults.values, ...values },
    observations: observations.filter(({ observation }) => observation !== undefined).length,
  };
  return { allocation, observations };
}

/** As the record keeps it: encoded once, and copied by every update. */
export function encodeAllocation(allocation: Allocation): Bytes {
  // One profile gives the same to one device after the other.
  if (last.bytes !== noBytes && isSame(allocation, last.allocation)) return last.bytes;
  const { profile, tags, queue, events, values, observations } = allocation;
  const encoded = encoder.encode([
    profile,
    tags,
    queue.limit,
    queue.awake,
    events.count,
    events.age,
    events.bytes,
    values.limit,
    observations,
  ]);
  last = { allocation, bytes: new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.length).slice() };
  return last.bytes;
}

/** Of a record that was stored before there were allocations: what the default profile gives. */
export function decodeAllocation(bytes: Bytes): Allocation {
  if (bytes.length === 0) return defaults;
  if (bytes === last.bytes) return last.allocation;
  const [profile, tags, limit, awake, count, age, size, values, observations] = decoder.decode(
    bytes,
  ) as StoredAllocation;
  return {
    profile,
    tags,
    queue: { limit, awake },
    events: { count, age, bytes: size },
    values: { limit: values },
    observations,
  };
}

function isSame(a: Allocation, b: Allocation): boolean {
  return (
    a.profile === b.profile &&
    a.tags === b.tags &&
    a.queue.limit === b.queue.limit &&
    a.queue.awake === b.queue.awake &&
    a.events.count === b.events.count &&
    a.events.age === b.events.age &&
    a.events.bytes === b.events.bytes &&
    a.values.limit === b.values.limit &&
    a.observations === b.observations
  );
}

type StoredAllocation = [
  profile: string,
  tags: string[],
  queueLimit: number,
  awake: number,
  eventCount: number,
  eventAge: number,
  eventBytes: number,
  valueLimit: number,
  observations: number,
];

const noTags: readonly string[] = [];
const defaults: Allocation = {
  profile: 'default',
  tags: noTags,
  // MAX_TRANSMIT_WAIT (LwM2M Core 1.2 §6.4, queue mode; RFC 7252 §4.8.2).
  queue: { limit: 64, awake: 93 },
  events: { count: 1000, age: 30 * 86_400, bytes: 256 * 1024 },
  values: { limit: 256 },
  observations: 0,
};
const encoder = new Encoder({ useRecords: false });
const decoder = new Decoder({ useRecords: false });
let last: { readonly allocation: Allocation; readonly bytes: Bytes } = { allocation: defaults, bytes: noBytes };
