import { Decoder, Encoder } from 'cbor-x';
import { type Bytes, concatBytes, noBytes, textOf, utf8 } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import { Reader } from '../base/reader.ts';
import type { WallTime } from '../base/time.ts';
import { Writer } from '../base/writer.ts';
import type { CredentialRole } from '../fleet/credential.ts';
import type { DeviceRecord, LastExchange, Registration } from '../fleet/device.ts';
import { type EventType, eventTypes, type FleetEvent, type StoredEvent } from '../fleet/event.ts';
import type { CredentialId, EndpointName, RegistrationId, Row, Sector } from '../fleet/names.ts';
import type { Dialect } from '../lwm2m/registrationRequest.ts';

/**
 * The keys and values of all sub-databases, in one place:
 *
 * | database | key | value |
 * |---|---|---|
 * | `meta` | text | CBOR, see `Meta` |
 * | `names` | sector, NUL, endpoint name | `encodeName` |
 * | `devices` | row, 32 bits | the record, `encodeRecord` |
 * | `credentials` | PSK identity | CBOR: the credential, its key sealed |
 * | `events` | sequence number | `encodeEvent` |
 * | `terms` | chunk of rows, 24 bits; term | the rows of the chunk that have the term, see `rowSet` |
 * | `terms` | chunk of rows, 24 bits; `#` and a hexadecimal digit | hashes of terms that few share, see `hashBuckets` |
 * | `sessions` | credential id, 32 bits | the DTLS session, see `lmdbSessions` |
 * | `observations` | row, 32 bits; number, 48 bits | CBOR, see `lmdbModelForms` |
 * | `commands` | row, 32 bits; id, 48 bits | CBOR, see `lmdbModelForms` |
 * | `values` | row, 32 bits; path | CBOR, see `lmdbModelForms` |
 * | `desired` | row, 32 bits; path | CBOR, see `lmdbModelForms` |
 * | `profiles` | name | CBOR: its text, and where it came from |
 * | `origins` | association | credential id, 32 bits: whose session can be resumed by it |
 * | `handshakes` | place in a ring | CBOR, see `handshakeLog` |
 */
export const storeForm = 3;

/** Neither part can hold the NUL between them: control characters are no part of a name. */
export function nameKey(name: EndpointName, sector: Sector | undefined): Bytes {
  return utf8(`${sector ?? ''}\0${name}`);
}

export function termKey(chunk: number, term: string): Bytes {
  const text = utf8(term);
  const key = new Uint8Array(3 + text.length);
  key[0] = chunk >>> 16;
  key[1] = chunk >>> 8;
  key[2] = chunk;
  key.set(text, 3);
  return key;
}

/**
 * ```
 *  form 1 | version 4 | generation 4 | flags 1 | name | sector
 *  last exchange, if there is one: association 6 | sequence 6 | message ID 2 | answer 1 | digest 8
 *  registration, if there is one: the fixed part, then texts, the allocation, and the description to the end
 * ```
 * Texts have one byte of length. An absent sequence is all ones.
 */
export function encodeRecord(record: DeviceRecord): Bytes {
  const { registration, lastExchange } = record;
  const writer = new Writer(240 + (registration?.description.length ?? 0));
  writer.u8(recordForm).u32(record.version).u32(record.generation);
  writer.u8(
    (registration === undefined ? 0 : hasRegistration | hasAllocation) | (lastExchange === undefined ? 0 : hasExchange),
  );
  writer.text8(record.name).text8(record.sector ?? '');
  if (lastExchange !== undefined) {
    writer.u48(lastExchange.association ?? absent).u48(lastExchange.sequence ?? absent);
    writer.u16(lastExchange.messageId).u8(exchangeAnswers.indexOf(lastExchange.answer));
    writer.put(lastExchange.digest);
  }
  if (registration !== undefined) writeRegistration(writer, registration);
  return writer.finish();
}

export function decodeRecord(row: Row, bytes: Bytes): DeviceRecord {
  const reader = new Reader(bytes);
  const form = reader.u8();
  if (form !== recordForm) throw new Error(`a record in form ${form}, which this version does not know`);
  const version = reader.u32();
  const generation = reader.u32();
  const flags = reader.u8();
  const name = text(reader.vector8()) as EndpointName;
  const sector = text(reader.vector8()) as Sector;
  const lastExchange = (flags & hasExchange) === 0 ? undefined : readExchange(reader);
  const allocated = (flags & hasAllocation) !== 0;
  const registration = (flags & hasRegistration) === 0 ? undefined : readRegistration(reader, allocated);
  return {
    row,
    version,
    generation,
    name,
    sector: sector === '' ? undefined : sector,
    registration,
    lastExchange,
  };
}

/** Only the version of a record, which a conditional write compares. */
export function versionOf(bytes: Bytes | undefined): number {
  return bytes === undefined ? 0 : new Reader(bytes, 1).u32();
}

/** Only the generation of a record; `undefined` if there is none. */
export function generationOf(bytes: Bytes | undefined): number | undefined {
  return bytes === undefined ? undefined : new Reader(bytes, 5).u32();
}

export interface NameEntry {
  readonly row: Row;
  readonly identities: readonly Bytes[];
}

/** ` form 1 | row 4 | of each of its credentials the identity, behind its length 2 ` */
export function encodeName({ row, identities }: NameEntry): Bytes {
  const writer = new Writer(16).u8(nameForm).u32(row);
  for (const identity of identities) writer.vector16(identity);
  return writer.finish();
}

export function decodeName(bytes: Bytes): NameEntry {
  const reader = new Reader(bytes);
  const form = reader.u8();
  if (form !== nameForm) return decodeFormerName(bytes);
  const row = reader.u32() as Row;
  const identities: Bytes[] = [];
  while (reader.left > 0) identities.push(reader.vector16());
  return { row, identities };
}

/** In stores of form 2 and before it was a CBOR array. */
function decodeFormerName(bytes: Bytes): NameEntry {
  const [row, identities] = decoder.decode(bytes) as [Row, Bytes[]];
  return { row, identities: identities.map(identity => new Uint8Array(identity)) };
}

/** A credential with its key still sealed. */
export interface SealedCredential {
  readonly id: CredentialId;
  readonly sealedKey: Bytes;
  readonly endpoint: EndpointName;
  readonly sector: Sector | undefined;
  readonly row: Row;
  readonly createdAt: WallTime;
  readonly revokedAt: WallTime | undefined;
  readonly role: CredentialRole;
}

export function encodeCredential(c: SealedCredential): Bytes {
  const { id, sealedKey, endpoint, sector, row, createdAt, revokedAt, role } = c;
  const list = [
    id,
    sealedKey,
    endpoint,
    sector ?? null,
    row,
    createdAt,
    revokedAt ?? null,
    credentialRoles.indexOf(role),
  ];
  return encoder.encode(list);
}

export function decodeCredential(bytes: Bytes): SealedCredential {
  const [id, sealedKey, endpoint, sector, row, createdAt, revokedAt, role = 0] = decoder.decode(bytes) as [
    CredentialId,
    Bytes,
    EndpointName,
    Sector | null,
    Row,
    WallTime,
    WallTime | null,
    // Credentials of earlier versions have none: they are devices'.
    number | undefined,
  ];
  return {
    id,
    sealedKey,
    endpoint,
    sector: sector ?? undefined,
    row,
    createdAt,
    revokedAt: revokedAt ?? undefined,
    role: credentialRoles[role]!,
  };
}

/** ` form 1 | type 1 | at 6 | row 4 | name | sector | registration id | details as CBOR, if there are any ` */
export function encodeEvent({ type, at, row, name, sector, registrationId, details }: FleetEvent): Bytes {
  const writer = new Writer(192).u8(eventForm).u8(eventTypes.indexOf(type)).u48(at).u32(row);
  writer
    .text8(name)
    .text8(sector ?? '')
    .text8(registrationId ?? '');
  if (details !== undefined) writer.put(encoder.encode(details));
  return writer.finish();
}

export function decodeEvent(sequence: number, bytes: Bytes): StoredEvent {
  if (bytes[0] !== eventForm) return decodeFormerEvent(sequence, bytes);
  const reader = new Reader(bytes, 1);
  const type = reader.u8();
  const at = reader.u48() as WallTime;
  const row = reader.u32() as Row;
  const name = text(reader.vector8()) as EndpointName;
  const sector = text(reader.vector8()) as Sector;
  const registrationId = text(reader.vector8()) as RegistrationId;
  const details = reader.left === 0 ? undefined : (decoder.decode(reader.rest()) as FleetEvent['details']);
  return {
    sequence,
    type: eventTypes[type] ?? ('unknown' as EventType),
    at,
    row,
    name,
    ...(sector === '' ? {} : { sector }),
    ...(registrationId === '' ? {} : { registrationId }),
    ...(details === undefined ? {} : { details }),
  };
}

/** In stores of form 2 and before it was a CBOR array. */
function decodeFormerEvent(sequence: number, bytes: Bytes): StoredEvent {
  const [type, at, row, name, sector, registrationId, details] = decoder.decode(bytes) as [
    number,
    WallTime,
    Row,
    EndpointName,
    Sector | null,
    RegistrationId | null,
    Record<string, unknown> | null,
  ];
  return {
    sequence,
    type: eventTypes[type] ?? ('unknown' as EventType),
    at,
    row,
    name,
    ...(sector === null ? {} : { sector }),
    ...(registrationId === null ? {} : { registrationId }),
    ...(details === null ? {} : { details }),
  };
}

/** Only whose an event is: a look at three numbers, where `decodeEvent` costs ten times that. */
export function rowOfEvent(bytes: Bytes): Row {
  return bytes[0] === eventForm ? (new Reader(bytes, rowAt).u32() as Row) : decodeFormerEvent(0, bytes).row;
}

function writeRegistration(writer: Writer, r: Registration): void {
  writer
    .u8(dialects.indexOf(r.dialect))
    .u8(transports.indexOf(r.transport))
    .u8(r.queueMode ? 1 : 0);
  writer.u8(r.version?.[0] ?? 0xff).u8(r.version?.[1] ?? 0xff);
  writer.u32(r.lifetime).u16(r.port);
  writer
    .u48(r.owner ?? absent)
    .u48(r.expires ?? absent)
    .u48(r.registeredAt)
    .u48(r.lastContact);
  writer.text8(r.address).text8(r.binding);
  // Absent and empty are different things for a text that the device may or may not send.
  writer.vector8(r.sms === undefined ? noBytes : concatBytes(present, utf8(r.sms).subarray(0, 254)));
  writer.vector16(r.allocation).put(r.description);
}

function readRegistration(reader: Reader, allocated: boolean): Registration {
  const dialect = dialects[reader.u8()]!;
  const transport = transports[reader.u8()]!;
  const queueMode = reader.u8() === 1;
  const major = reader.u8();
  const minor = reader.u8();
  const lifetime = reader.u32();
  const port = reader.u16();
  const owner = optional(reader.u48());
  const expires = optional(reader.u48());
  const registeredAt = reader.u48() as WallTime;
  const lastContact = reader.u48() as WallTime;
  const address = text(reader.vector8());
  const binding = text(reader.vector8());
  const sms = reader.vector8();
  const allocation = allocated ? reader.vector16() : noBytes;
  return {
    owner: owner as CredentialId | undefined,
    dialect,
    version: major === 0xff ? undefined : [major, minor],
    lifetime,
    expires: expires as WallTime | undefined,
    binding,
    queueMode,
    sms: sms.length === 0 ? undefined : text(sms.subarray(1)),
    transport,
    address,
    port,
    registeredAt,
    lastContact,
    allocation,
    description: reader.rest(),
  };
}

function readExchange(reader: Reader): LastExchange {
  const association = optional(reader.u48());
  const sequence = optional(reader.u48());
  return {
    association: association as Peer | undefined,
    sequence,
    messageId: reader.u16(),
    answer: exchangeAnswers[reader.u8()]!,
    digest: reader.take(8),
  };
}

function optional(value: number): number | undefined {
  return value === absent ? undefined : value;
}

function text(bytes: Bytes): string {
  return textOf(bytes) ?? '';
}

const recordForm = 1;
// No CBOR array begins with these.
const nameForm = 1;
const eventForm = 1;
/** Where the row of an event stands: behind form, type and time. */
const rowAt = 8;
const hasRegistration = 0x1;
const hasExchange = 0x2;
/** Records of earlier versions have none. */
const hasAllocation = 0x4;
const absent = 2 ** 48 - 1;
const present = Uint8Array.of(1);
// Stored by position: append, never reorder.
const dialects: readonly Dialect[] = ['lwm2m', 'cbor', 'rd'];
const transports = ['coap', 'coaps'] as const;
const credentialRoles = ['device', 'operator'] as const;
const exchangeAnswers = ['created', 'changed', 'deleted'] as const;
const encoder = new Encoder({ useRecords: false, tagUint8Array: false } as object);
const decoder = new Decoder({ useRecords: false });
