import { type Bytes, sameBytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import { type Milliseconds, seconds, type WallTime, wallAfter } from '../base/time.ts';
import { type Refusal, refusal } from '../lwm2m/refusal.ts';
import type { Dialect, RegistrationRequest, UpdateRequest } from '../lwm2m/registrationRequest.ts';
import { allot, encodeAllocation } from './allocation.ts';
import type { Principal } from './credential.ts';
import { decodeDescription, encodeDescription, mergeDescription } from './description.ts';
import type { DeviceRecord, LastExchange, Registration } from './device.ts';
import type { EventType, FleetEvent } from './event.ts';
import type { EndpointName, RegistrationId, Row, Sector } from './names.ts';
import type { Observation, ObservationChange } from './observation.ts';
import { downtimeCredit, type Outage } from './outage.ts';
import { checkAgainst, clampLifetime, type ProfileSet } from './profile.ts';
import type { Commit, DeviceChange } from './store.ts';

/**
 * What a registration, an update, a removal and the end of a lifetime make of a device's record. Pure: from what the
 * store holds and what was asked, the change, its event, and what to answer; or a refusal, and then nothing changes.
 */

/** How, when and by whom a request came. */
export interface Contact {
  readonly wall: WallTime;
  readonly principal: Principal;
  readonly transport: 'coap' | 'coaps';
  readonly address: string;
  readonly port: number;
  /** The association it came on; `undefined` on plain CoAP. */
  readonly association: Peer | undefined;
  /** The sequence number of its DTLS record. */
  readonly sequence: number | undefined;
  readonly messageId: number;
  /** Of the whole request, so that a message ID used again for another one is told apart. */
  readonly digest: Bytes;
}

export interface FleetRules {
  /** For how long after its lifetime a registration can still be revived by an update. */
  readonly grace: Milliseconds;
  readonly outages: readonly Outage[];
  /** What devices may be, and what is allocated for them. */
  readonly profiles: ProfileSet;
  registrationId(row: Row, generation: number): RegistrationId;
}

/** A record that has a registration. */
export type Registered = DeviceRecord & { readonly registration: Registration };

/** A change to commit. `record` is what it makes of the device. */
export interface Decision {
  readonly kind: 'change';
  readonly commit: Commit;
  readonly record: DeviceRecord;
}

/** This very request was carried out before: answer as then, and change nothing. */
export interface Repeated {
  readonly kind: 'repeated';
  readonly answer: LastExchange['answer'];
  readonly record: DeviceRecord;
}

/**
 * `before` is the record of the name's row, if it has one; `row` the name's row, old or newly allocated; `observed`
 * what is observed on it so far.
 */
export function register(
  rules: FleetRules,
  contact: Contact,
  request: RegistrationRequest,
  name: EndpointName,
  sector: Sector | undefined,
  row: Row,
  before: DeviceRecord | undefined,
  observed: readonly Observation[],
): Decision | Repeated | Refusal {
  const repeated = repeatedExchange(before, contact);
  if (repeated !== undefined) return repeated;
  const late = outOfOrder(before, contact);
  if (late !== undefined) return late;
  const { wall } = contact;
  const current = before?.registration;
  const { description, version } = request;
  const profile = rules.profiles.choose(name, description);
  const unfit = checkAgainst(profile, description);
  if (unfit !== undefined) return unfit;
  const generation = before?.generation ?? 0;
  const lifetime = clampLifetime(profile, request.lifetime ?? defaultLifetime[request.dialect]);
  const allotted = allot(profile, { row, generation, version, description, observations: observed }, wall);
  const registration: Registration = {
    owner: ownerOf(contact.principal),
    dialect: request.dialect,
    version,
    lifetime,
    expires: expiry(wall, lifetime),
    binding: request.binding ?? 'U',
    queueMode: request.queueMode,
    sms: request.sms,
    transport: contact.transport,
    address: contact.address,
    port: contact.port,
    registeredAt: wall,
    lastContact: wall,
    allocation: encodeAllocation(allotted.allocation),
    description: encodeDescription(description),
  };
  const record: DeviceRecord = {
    row,
    generation,
    version: (before?.version ?? 0) + 1,
    name,
    sector,
    registration,
    lastExchange: exchangeOf(contact, 'created'),
  };
  const details = {
    address: contact.address,
    port: contact.port,
    lifetime,
    ...(current === undefined ? {} : { again: true }),
  };
  return change(rules, before, record, 'registered', wall, details, allotted.observations);
}

export function update(
  rules: FleetRules,
  contact: Contact,
  request: UpdateRequest,
  before: Registered,
  observed: readonly Observation[],
): Decision | Refusal {
  const { wall } = contact;
  const current = before.registration;
  const description =
    request.description === undefined
      ? current.description
      : mergeDescription(current.description, request.description);
  const again = describesAnew(request) ? reallot(rules, before, description, observed, wall) : undefined;
  if (again?.kind === 'refusal') return again;
  const lifetime =
    request.lifetime === undefined ? current.lifetime : clampLifetime(profileOf(rules, before), request.lifetime);
  const moved = current.address !== contact.address || current.port !== contact.port;
  const registration: Registration = {
    ...current,
    // The credential stays the owner; whoever updates holds it, or the registration has none.
    lifetime,
    expires: expiry(wall, lifetime),
    binding: request.binding ?? current.binding,
    queueMode: request.queueMode ?? current.queueMode,
    sms: request.sms ?? current.sms,
    transport: contact.transport,
    address: contact.address,
    port: contact.port,
    lastContact: wall,
    allocation: again?.allocation ?? current.allocation,
    description,
  };
  const record: DeviceRecord = {
    ...before,
    version: before.version + 1,
    registration,
    lastExchange: exchangeOf(contact, 'changed'),
  };
  const details = {
    ...(moved ? { address: contact.address, port: contact.port } : {}),
    ...(request.lifetime === undefined ? {} : { lifetime }),
    ...(request.description?.objects === undefined ? {} : { objects: true }),
  };
  return change(rules, before, record, 'updated', wall, details, again?.observations);
}

/** The device reported values: its record keeps the exchange, so that it is done once. */
export function report(contact: Contact, before: Registered): DeviceChange {
  const registration = { ...before.registration, lastContact: contact.wall };
  const lastExchange = exchangeOf(contact, 'changed');
  const record = { ...before, version: before.version + 1, registration, lastExchange };
  return { expected: before.version, record, before };
}

/** The operator changed a profile: what registered devices were given is decided again, without waiting for them. */
export function reapply(
  rules: FleetRules,
  wall: WallTime,
  before: DeviceRecord,
  observed: readonly Observation[],
): Decision | Refusal | undefined {
  const { registration } = before;
  if (registration === undefined) return undefined;
  const again = reallot(rules, { ...before, registration }, registration.description, observed, wall);
  if (again.kind === 'refusal') return again;
  const { allocation, observations } = again;
  const record = { ...before, version: before.version + 1, registration: { ...registration, allocation } };
  const profile = profileOf(rules, { ...before, registration }).file.name;
  return change(rules, before, record, 'allocated', wall, { profile }, observations);
}

function reallot(
  rules: FleetRules,
  { row, generation, name, registration }: Registered,
  encoded: Bytes,
  observations: readonly Observation[],
  wall: WallTime,
) {
  const description = decodeDescription(encoded);
  const profile = rules.profiles.choose(name, description);
  const unfit = checkAgainst(profile, description);
  if (unfit !== undefined) return unfit;
  const allottee = { row, generation, version: registration.version, description, observations };
  const allotted = allot(profile, allottee, wall);
  return {
    kind: 'allotted' as const,
    allocation: encodeAllocation(allotted.allocation),
    observations: allotted.observations,
  };
}

function profileOf(rules: FleetRules, { name, registration }: Registered) {
  return rules.profiles.choose(name, decodeDescription(registration.description));
}

/** Whether an update changes what a profile looks at. */
function describesAnew({ description }: UpdateRequest): boolean {
  return (
    description?.objects !== undefined ||
    description?.metadata !== undefined ||
    description?.model !== undefined ||
    description?.observations !== undefined
  );
}

export function deregister(rules: FleetRules, contact: Contact, before: Registered): Decision {
  const lastExchange = exchangeOf(contact, 'deleted');
  return change(rules, before, { ...removed(before), lastExchange }, 'deregistered', contact.wall, {});
}

/** `undefined` if the lifetime and its grace are not over: the device was heard since the index was made. */
export function expire(rules: FleetRules, wall: WallTime, before: DeviceRecord): Decision | undefined {
  const ends = removalTime(rules, before.registration);
  if (ends === undefined || ends > wall) return undefined;
  return change(rules, before, removed(before), 'expired', wall, {});
}

/** The operator removes a registration. */
export function forget(rules: FleetRules, wall: WallTime, before: DeviceRecord): Decision | undefined {
  if (before.registration === undefined) return undefined;
  return change(rules, before, removed(before), 'forgotten', wall, {});
}

/** When the lifetime is over, outages added; `undefined` for one that does not end. */
export function effectiveExpiry(rules: FleetRules, registration: Registration | undefined): WallTime | undefined {
  if (registration?.expires === undefined) return undefined;
  return wallAfter(registration.expires, downtimeCredit(rules.outages, registration.lastContact));
}

/** When the registration is removed: grace after its lifetime. */
export function removalTime(rules: FleetRules, registration: Registration | undefined): WallTime | undefined {
  const expires = effectiveExpiry(rules, registration);
  return expires === undefined ? undefined : wallAfter(expires, rules.grace);
}

/** The newest change of this record came with this very request: a retransmission, perhaps across a crash. */
export function repeatedExchange(record: DeviceRecord | undefined, contact: Contact): Repeated | undefined {
  const last = record?.lastExchange;
  if (record === undefined || last === undefined) return undefined;
  const same =
    last.association === contact.association &&
    last.messageId === contact.messageId &&
    sameBytes(last.digest, contact.digest) &&
    (contact.association !== undefined || comesFromRecordedAddress(record, contact));
  return same ? { kind: 'repeated', answer: last.answer, record } : undefined;
}

/**
 * A replay window lets records overtake each other: a removal that was delayed must not end the registration that came
 * after it. What changes a record therefore has to be newer than what changed it last.
 */
export function outOfOrder(record: DeviceRecord | undefined, contact: Contact): Refusal | undefined {
  const last = record?.lastExchange;
  if (last?.sequence === undefined || contact.sequence === undefined) return undefined;
  if (last.association !== contact.association || contact.sequence > last.sequence) return undefined;
  return refusal('out-of-order');
}

/**
 * Who may change a registration: the credential that made it; one that nobody proved, whoever is at the address it came
 * from. The port may be another: network address translation changes it while a device sleeps.
 */
export function mayChange(registration: Registration, contact: Contact): boolean {
  if (registration.owner !== ownerOf(contact.principal)) return false;
  return registration.owner !== undefined || registration.address === contact.address;
}

function change(
  rules: FleetRules,
  before: DeviceRecord | undefined,
  record: DeviceRecord,
  type: EventType,
  at: WallTime,
  details: Readonly<Record<string, unknown>>,
  observations: readonly ObservationChange[] = [],
): Decision {
  const event: FleetEvent = {
    type,
    at,
    row: record.row,
    name: record.name,
    ...(record.sector === undefined ? {} : { sector: record.sector }),
    registrationId: rules.registrationId(record.row, before?.generation ?? record.generation),
    ...(Object.keys(details).length === 0 ? {} : { details }),
  };
  const expected = before?.version ?? 0;
  const commit: Commit = {
    devices: [{ expected, record, before }],
    events: [event],
    ...(observations.length === 0 ? {} : { observations }),
  };
  return { kind: 'change', commit, record };
}

/** With the next generation, so that the old location meets nothing from now on. */
function removed(before: DeviceRecord): DeviceRecord {
  return { ...before, version: before.version + 1, generation: before.generation + 1, registration: undefined };
}

function expiry(wall: WallTime, lifetime: number): WallTime | undefined {
  return lifetime === 0 ? undefined : wallAfter(wall, seconds(lifetime));
}

function exchangeOf(
  { association, sequence, messageId, digest }: Contact,
  answer: LastExchange['answer'],
): LastExchange {
  return { association, sequence, messageId, digest, answer };
}

function comesFromRecordedAddress({ registration }: DeviceRecord, contact: Contact): boolean {
  return registration?.address === contact.address && registration.port === contact.port;
}

function ownerOf(principal: Principal) {
  return principal.kind === 'anonymous' ? undefined : principal.credential;
}

/** In seconds (LwM2M Core 1.2 §6.2.1; RFC 9176 §5). */
export const defaultLifetime: Readonly<Record<Dialect, number>> = { lwm2m: 86_400, cbor: 86_400, rd: 90_000 };
/** MAX_TRANSMIT_WAIT: an update that was under way when the lifetime ended still arrives. */
export const defaultGrace: Milliseconds = seconds(93);
