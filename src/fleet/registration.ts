import type { Peer } from '../base/peer.ts';
import { type Milliseconds, seconds, type WallTime, wallAfter } from '../base/time.ts';
import { type Refusal, refusal } from '../lwm2m/refusal.ts';
import type { Dialect, RegistrationRequest, UpdateRequest } from '../lwm2m/registrationRequest.ts';
import type { Principal } from './credential.ts';
import { encodeDescription, mergeDescription } from './description.ts';
import type { DeviceRecord, LastExchange, Registration } from './device.ts';
import type { EventType, FleetEvent } from './event.ts';
import type { EndpointName, RegistrationId, Row, Sector } from './names.ts';
import { downtimeCredit, type Outage } from './outage.ts';
import type { Commit } from './store.ts';

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
  readonly digest: string;
}

export interface FleetRules {
  /** For how long after its lifetime a registration can still be revived by an update. */
  readonly grace: Milliseconds;
  readonly outages: readonly Outage[];
  registrationId(row: Row, generation: number): RegistrationId;
}

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

/** `before` is the record of the name's row, if it has one; `row` the name's row, old or newly allocated. */
export function register(
  rules: FleetRules,
  contact: Contact,
  request: RegistrationRequest,
  name: EndpointName,
  sector: Sector | undefined,
  row: Row,
  before: DeviceRecord | undefined,
): Decision | Repeated | Refusal {
  const repeated = repeatedExchange(before, contact);
  if (repeated !== undefined) return repeated;
  const late = outOfOrder(before, contact);
  if (late !== undefined) return late;
  const { wall } = contact;
  const current = before?.registration;
  const lifetime = request.lifetime ?? defaultLifetime[request.dialect];
  const registration: Registration = {
    owner: ownerOf(contact.principal),
    dialect: request.dialect,
    version: request.version,
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
    description: encodeDescription(request.description),
  };
  const record: DeviceRecord = {
    row,
    generation: before?.generation ?? 0,
    version: (before?.version ?? 0) + 1,
    name,
    sector,
    registration,
    lastExchange: exchangeOf(contact, 'created'),
  };
  return change(rules, before, record, 'registered', wall, {
    address: contact.address,
    port: contact.port,
    lifetime,
    ...(current === undefined ? {} : { again: true }),
  });
}

export function update(
  rules: FleetRules,
  contact: Contact,
  request: UpdateRequest,
  before: DeviceRecord & { readonly registration: Registration },
): Decision | Refusal {
  const { wall } = contact;
  const current = before.registration;
  const lifetime = request.lifetime ?? current.lifetime;
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
    description:
      request.description === undefined
        ? current.description
        : mergeDescription(current.description, request.description),
  };
  const record: DeviceRecord = {
    ...before,
    version: before.version + 1,
    registration,
    lastExchange: exchangeOf(contact, 'changed'),
  };
  return change(rules, before, record, 'updated', wall, {
    ...(moved ? { address: contact.address, port: contact.port } : {}),
    ...(request.lifetime === undefined ? {} : { lifetime }),
    ...(request.description?.objects === undefined ? {} : { objects: true }),
  });
}

export function deregister(
  rules: FleetRules,
  contact: Contact,
  before: DeviceRecord & { readonly registration: Registration },
): Decision {
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
    last.digest === contact.digest &&
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

/** Who may change a registration: the credential that made it; one that nobody proved, whoever is where it came from. */
export function mayChange(registration: Registration, contact: Contact): boolean {
  return registration.owner === ownerOf(contact.principal);
}

function change(
  rules: FleetRules,
  before: DeviceRecord | undefined,
  record: DeviceRecord,
  type: EventType,
  at: WallTime,
  details: Readonly<Record<string, unknown>>,
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
  return { kind: 'change', commit: { devices: [{ expected, record }], events: [event] }, record };
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
  return principal.kind === 'psk' ? principal.credential : undefined;
}

/** In seconds (LwM2M Core 1.2 §6.2.1; RFC 9176 §5). */
export const defaultLifetime: Readonly<Record<Dialect, number>> = { lwm2m: 86_400, cbor: 86_400, rd: 90_000 };
/** MAX_TRANSMIT_WAIT: an update that was under way when the lifetime ended still arrives. */
export const defaultGrace: Milliseconds = seconds(93);
