import { Encoder } from 'cbor-x';
import type { WallTime } from '../base/time.ts';
import { Method, ResponseCode } from '../coap/codec/code.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { type Reply, type Request, reply } from '../coap/codec/message.ts';
import { Accept, ContentFormat, LocationPath, Options, UriQuery } from '../coap/codec/option.ts';
import type { DeviceRecord, Registration } from '../fleet/device.ts';
import { type EndpointName, parseEndpointName, parseSector, type Row, type Sector } from '../fleet/names.ts';
import {
  type Contact,
  type Decision,
  deregister,
  type FleetRules,
  mayChange,
  outOfOrder,
  type Repeated,
  register,
  removalTime,
  repeatedExchange,
  update,
} from '../fleet/registration.ts';
import type { RegistrationIds } from '../fleet/registrationId.ts';
import { emptyCommit } from '../fleet/store.ts';
import { parseRegister, parseUpdate, type RawRegistration } from '../lwm2m/parse.ts';
import { isRefusal, type Refusal, refusal } from '../lwm2m/refusal.ts';
import type { Dialect, RegistrationRequest } from '../lwm2m/registrationRequest.ts';
import { answerTo } from './answer.ts';
import type { Outcome, RequestContext } from './outcome.ts';
import { RefusalEvents } from './refusals.ts';
import { requestDigest } from './requestDigest.ts';

/** The registration interface: `POST /rd`, `POST /rd/{id}`, `DELETE /rd/{id}` (LwM2M Core 1.2 §6.2, RFC 9176 §5). */
export class RegistrationInterface {
  readonly #options: RdOptions;
  readonly #rules: FleetRules;
  readonly #refusals = new RefusalEvents();

  constructor(options: RdOptions, rules: FleetRules) {
    this.#options = options;
    this.#rules = rules;
  }

  register(request: Request, context: RequestContext): Outcome {
    if (!this.#mayRegister(context)) return refused(refusal('registration-needs-dtls'), undefined);
    const accept = request.options.get(Accept);
    if (accept !== undefined && accept !== ContentFormats.cbor) return plainReply(ResponseCode.NotAcceptable);
    const parsed = parseRegister(rawOf(request));
    if (isRefusal(parsed)) return refused(parsed, dialectOf(request));
    const contact = contactOf(request, context);
    const place = this.#placeOf(parsed, contact, context);
    if (isRefusal(place)) return refused(place, parsed.dialect);
    const { name, sector, row, record } = place;
    // What is not registered has nothing left of an earlier registration.
    const observed = record?.registration === undefined ? [] : context.view.observations(row);
    const decided = register(this.#rules, contact, parsed, name, sector, row, record, observed);
    if (isRefusal(decided)) return this.#refused(decided, parsed.dialect, context, row, name, sector);
    return this.#created(decided, accept === ContentFormats.cbor, context.now.wall);
  }

  update(request: Request, context: RequestContext, id: string): Outcome {
    const found = this.#find(request, context, id, Method.POST);
    if ('kind' in found) return found;
    const { record, contact } = found;
    const { dialect, version } = record.registration;
    const parsed = parseUpdate(rawOf(request), dialect, version);
    if (isRefusal(parsed)) return refused(parsed, dialect);
    const observed = parsed.description === undefined ? [] : context.view.observations(record.row);
    const decided = update(this.#rules, contact, parsed, record, observed);
    if (isRefusal(decided)) return this.#refused(decided, dialect, context, record.row, record.name, record.sector);
    return { kind: 'commit', commit: decided.commit, reply: reply(ResponseCode.Changed) };
  }

  deregister(request: Request, context: RequestContext, id: string): Outcome {
    const found = this.#find(request, context, id, Method.DELETE);
    if ('kind' in found) return found;
    const { commit } = deregister(this.#rules, found.contact, found.record);
    return { kind: 'commit', commit, reply: reply(ResponseCode.Deleted) };
  }

  #mayRegister({ principal }: RequestContext): boolean {
    return principal.kind === 'psk' || this.#options.insecureCoap;
  }

  /** Which name this is about, and its row: the credential's, or on plain CoAP the one that the name has or gets. */
  #placeOf(request: RegistrationRequest, contact: Contact, context: RequestContext): Place | Refusal {
    const name = request.endpoint === undefined ? undefined : parseEndpointName(request.endpoint);
    if (request.endpoint !== undefined && name === undefined) return refusal('bad-endpoint-name', 'ep');
    const sector = request.sector === undefined ? undefined : parseSector(request.sector);
    if (request.sector !== undefined && sector === undefined) return refusal('bad-endpoint-name', 'd');

    const { principal, view } = context;
    if (principal.kind === 'psk') {
      const record = view.device(principal.row);
      if (record === undefined) return refusal('credential-revoked');
      if (name !== undefined && name !== record.name) return refusal('foreign-endpoint-name', request.endpoint);
      if (sector !== undefined && sector !== record.sector) return refusal('foreign-sector', request.sector);
      return { name: record.name, sector: record.sector, row: principal.row, record };
    }
    if (name === undefined) return refusal('missing-endpoint-name');
    if (view.nameHasCredential(name, sector)) return refusal('name-needs-credential', name);
    const row = view.row(name, sector);
    if (row === undefined) return { name, sector, row: context.allocateRow(), record: undefined };
    const record = view.device(row);
    // First come, first remembered: without a credential all that can be remembered is where it came from.
    const lives = record?.registration !== undefined && this.#isAlive(record.registration, contact.wall);
    if (lives && record.registration.address !== contact.address) return refusal('name-taken', name);
    return { name, sector, row, record };
  }

  /** The registration at a location, if it is there and this peer may change it; else the answer. */
  #find(request: Request, context: RequestContext, id: string, method: number): Found | Outcome {
    const place = this.#options.ids.read(id);
    const record = place === undefined ? undefined : context.view.device(place.row);
    const contact = contactOf(request, context);
    const repeated = repeatedExchange(record, contact);
    if (repeated !== undefined) return this.#repeated(repeated);
    const registration = record?.registration;
    if (record === undefined || record.generation !== place!.generation || registration === undefined) {
      return refused(refusal('unknown-registration'), undefined);
    }
    if (!this.#isAlive(registration, contact.wall)) {
      return refused(refusal('unknown-registration', 'lifetime and grace are over'), registration.dialect);
    }
    if (!mayChange(registration, contact)) return refused(refusal('not-the-owner'), registration.dialect);
    const late = outOfOrder(record, contact);
    if (late !== undefined) return refused(late, registration.dialect);
    if (method === Method.DELETE && request.payload.length > 0) return plainReply(ResponseCode.BadRequest);
    return { record: { ...record, registration }, contact };
  }

  /** What a profile refuses stands in the device's history; the peer hears of it when it does. */
  #refused(
    why: Refusal,
    dialect: Dialect,
    { now, principal }: RequestContext,
    row: Row,
    name: EndpointName,
    sector: Sector | undefined,
  ): Outcome {
    // A stranger on plain CoAP writes nothing.
    const told = principal.kind === 'psk' ? this.#refusals.eventOf(now.wall, row, name, sector, why) : undefined;
    if (told === undefined) return refused(why, dialect);
    return { kind: 'commit', commit: { ...emptyCommit, events: [told] }, reply: answerTo(why, dialect), refusal: why };
  }

  #isAlive(registration: Registration, wall: WallTime): boolean {
    const ends = removalTime(this.#rules, registration);
    return ends === undefined || wall < ends;
  }

  #created(decided: Decision | Repeated, wantsBody: boolean, wall: WallTime): Outcome {
    const { row, generation, registration } = decided.record;
    let created: Reply = reply(
      ResponseCode.Created,
      Options.empty.with(LocationPath, 'rd').with(LocationPath, this.#options.ids.of(row, generation)),
    );
    if (wantsBody && registration !== undefined) created = withBody(created, registration, wall);
    if (decided.kind === 'repeated') return { kind: 'reply', reply: created };
    return { kind: 'commit', commit: decided.commit, reply: created };
  }

  #repeated(repeated: Repeated): Outcome {
    if (repeated.answer === 'created') return this.#created(repeated, false, 0 as WallTime);
    return plainReply(repeated.answer === 'changed' ? ResponseCode.Changed : ResponseCode.Deleted);
  }
}

export interface RdOptions {
  readonly ids: RegistrationIds;
  /** Whether devices may register on plain CoAP. Names with a credential never can. */
  readonly insecureCoap: boolean;
}

interface Place {
  readonly name: EndpointName;
  readonly sector: Sector | undefined;
  readonly row: Row;
  readonly record: DeviceRecord | undefined;
}

interface Found {
  readonly record: DeviceRecord & { readonly registration: Registration };
  readonly contact: Contact;
}

/** For a client that accepts CBOR: the granted lifetime (2) and our time in seconds since 1970 (3). */
function withBody(created: Reply, registration: Registration, wall: WallTime): Reply {
  const body = encoder.encode(
    new Map([
      [0, 1],
      [2, registration.lifetime],
      [3, Math.floor(wall / 1000)],
    ]),
  );
  const options = created.options.with(ContentFormat, ContentFormats.cbor);
  return { ...created, options, payload: new Uint8Array(body.buffer, body.byteOffset, body.length).slice() };
}

function refused(why: Refusal, dialect: Dialect | undefined): Outcome {
  return { kind: 'reply', reply: answerTo(why, dialect), refusal: why };
}

function plainReply(code: number): Outcome {
  return { kind: 'reply', reply: reply(code) };
}

/** The dialect of a registration that could not be read, as far as its answer depends on it. */
function dialectOf(request: Request): Dialect {
  if (request.options.get(ContentFormat) === ContentFormats.cbor) return 'cbor';
  return request.options.all(UriQuery).some(parameter => parameter.startsWith('lwm2m=')) ? 'lwm2m' : 'rd';
}

function rawOf(request: Request): RawRegistration {
  return {
    query: request.options.all(UriQuery),
    contentFormat: request.options.get(ContentFormat),
    payload: request.payload,
  };
}

function contactOf(request: Request, context: RequestContext): Contact {
  return {
    wall: context.now.wall,
    principal: context.principal,
    transport: context.transport,
    address: context.address,
    port: context.port,
    association: context.transport === 'coaps' ? context.peer : undefined,
    sequence: context.sequence,
    messageId: context.messageId,
    digest: requestDigest(request),
  };
}

const encoder = new Encoder({ mapsAsObjects: false, useRecords: false });
