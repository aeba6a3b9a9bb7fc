import type { Bytes } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import { ResponseCode } from '../coap/codec/code.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { type Request, reply } from '../coap/codec/message.ts';
import { Accept, ContentFormat, LocationPath, Options, UriQuery } from '../coap/codec/option.ts';
import { decodeAllocation } from '../fleet/allocation.ts';
import { decodeDescription } from '../fleet/description.ts';
import type { DeviceRecord, LastExchange, Registration } from '../fleet/device.ts';
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
import type { RegisteredAs } from '../lwm2m/registerRules.ts';
import { writeRegistrationReply } from '../lwm2m/registrationReply.ts';
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
    const parsed = isAcceptable(request)
      ? parseRegister(rawOf(request), this.#options.strictParameters)
      : refusal('not-acceptable');
    if (isRefusal(parsed)) return refused(parsed, dialectOf(request));
    const contact = contactOf(request, context);
    const place = this.#placeOf(parsed, contact, context);
    if (isRefusal(place)) return refused(place, parsed.dialect);
    const { name, sector, row, record } = place;
    // What is not registered has nothing left of an earlier registration.
    const observed = record?.registration === undefined ? [] : context.view.observations(row);
    const decided = register(this.#rules, contact, parsed, name, sector, row, record, observed);
    if (isRefusal(decided)) return this.#refused(decided, parsed.dialect, context, row, name, sector);
    return this.#done(request, 'created', decided);
  }

  update(request: Request, context: RequestContext, id: string): Outcome {
    const found = this.#find(request, context, id);
    if (found.kind !== 'found') return found;
    const { record, contact } = found;
    const { dialect } = record.registration;
    const parsed = isAcceptable(request)
      ? parseUpdate(rawOf(request), registeredOf(record), this.#options.strictParameters)
      : refusal('not-acceptable');
    if (isRefusal(parsed)) return refused(parsed, dialect);
    const observed = parsed.description === undefined ? [] : context.view.observations(record.row);
    const decided = update(this.#rules, contact, parsed, record, observed);
    if (isRefusal(decided)) return this.#refused(decided, dialect, context, record.row, record.name, record.sector);
    return this.#done(request, 'changed', decided);
  }

  deregister(request: Request, context: RequestContext, id: string): Outcome {
    const found = this.#find(request, context, id);
    if (found.kind !== 'found') return found;
    const { record, contact } = found;
    if (request.payload.length > 0) return refused(refusal('payload-not-expected'), record.registration.dialect);
    return this.#done(request, 'deleted', deregister(this.#rules, contact, record));
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
    if (row === undefined) {
      const allocated = context.allocateRow();
      return allocated === undefined ? refusal('names-too-fast') : { name, sector, row: allocated, record: undefined };
    }
    const record = view.device(row);
    // First come, first remembered: without a credential all that can be remembered is where it came from.
    const lives = record?.registration !== undefined && this.#isAlive(record.registration, contact.wall);
    if (lives && record.registration.address !== contact.address) return refusal('name-taken', name);
    return { name, sector, row, record };
  }

  /** The registration at a location, if it is there and this peer may change it; else the answer. */
  #find(request: Request, context: RequestContext, id: string): Found | Outcome {
    const place = this.#options.ids.read(id);
    const record = place === undefined ? undefined : context.view.device(place.row);
    const contact = contactOf(request, context);
    const repeated = repeatedExchange(record, contact);
    if (repeated !== undefined) return this.#done(request, repeated.answer, repeated);
    const registration = record?.registration;
    if (record === undefined || record.generation !== place!.generation || registration === undefined) {
      return refused(refusal('unknown-registration'), undefined);
    }
    const { dialect } = registration;
    if (!this.#isAlive(registration, contact.wall)) {
      return refused(refusal('unknown-registration', 'lifetime and grace are over'), dialect);
    }
    // A name that was given a credential after it had registered on plain CoAP belongs to the credential.
    const isClaimed = registration.owner === undefined && context.view.nameHasCredential(record.name, record.sector);
    if (isClaimed || !mayChange(registration, contact)) return refused(refusal('not-the-owner'), dialect);
    const late = outOfOrder(record, contact);
    if (late !== undefined) return refused(late, dialect);
    return { kind: 'found', record: { ...record, registration }, contact };
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

  /** Made from the record alone, so that a request that comes again hears the same again. */
  #done(request: Request, answer: LastExchange['answer'], decided: Decision | Repeated): Outcome {
    const { row, generation, registration } = decided.record;
    let options = Options.empty;
    if (answer === 'created') {
      options = options.with(LocationPath, 'rd').with(LocationPath, this.#options.ids.of(row, generation));
    }
    const wantsBody = request.options.get(Accept) === ContentFormats.cbor && registration !== undefined;
    const done = wantsBody
      ? reply(codes[answer], options.with(ContentFormat, ContentFormats.cbor), bodyOf(registration))
      : reply(codes[answer], options);
    return decided.kind === 'repeated'
      ? { kind: 'reply', reply: done }
      : { kind: 'commit', commit: decided.commit, reply: done };
  }
}

export interface RdOptions {
  readonly ids: RegistrationIds;
  /** Whether devices may register on plain CoAP. Names with a credential never can. */
  readonly insecureCoap: boolean;
  /** Whether LwM2M requests with parameters that the specification does not know are refused instead of stored. */
  readonly strictParameters: boolean;
}

interface Place {
  readonly name: EndpointName;
  readonly sector: Sector | undefined;
  readonly row: Row;
  readonly record: DeviceRecord | undefined;
}

interface Found {
  readonly kind: 'found';
  readonly record: DeviceRecord & { readonly registration: Registration };
  readonly contact: Contact;
}

/** For a client that accepts CBOR. */
function bodyOf({ lifetime, lastContact, queueMode, allocation }: Registration): Bytes {
  const { queue, observations } = decodeAllocation(allocation);
  const time = Math.floor(lastContact / 1000);
  return writeRegistrationReply({ lifetime, time, observations, ...(queueMode ? { awake: queue.awake } : {}) });
}

function refused(why: Refusal, dialect: Dialect | undefined): Outcome {
  return { kind: 'reply', reply: answerTo(why, dialect), refusal: why };
}

/** An answer is CBOR or has no body (RFC 7252 §5.10.4). */
function isAcceptable(request: Request): boolean {
  const accept = request.options.get(Accept);
  return accept === undefined || accept === ContentFormats.cbor;
}

function registeredOf({ name, sector, registration }: DeviceRecord & { registration: Registration }): RegisteredAs {
  const { dialect, version, description } = registration;
  return { dialect, version, name, sector, root: () => decodeDescription(description).root };
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

export function contactOf(request: Request, context: RequestContext): Contact {
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

const codes = { created: ResponseCode.Created, changed: ResponseCode.Changed, deleted: ResponseCode.Deleted } as const;
