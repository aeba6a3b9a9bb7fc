import type { Peer } from '../base/peer.ts';
import { type Instant, type Milliseconds, type Now, seconds, type WallTime } from '../base/time.ts';
import { Method, ResponseCode } from '../coap/codec/code.ts';
import { type Request, reply } from '../coap/codec/message.ts';
import { UriPath } from '../coap/codec/option.ts';
import type { Exchange } from '../coap/exchange.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import { ExpiryIndex } from '../fleet/expiryIndex.ts';
import type { Row } from '../fleet/names.ts';
import type { Outage } from '../fleet/outage.ts';
import { noProfiles, type ProfileSet } from '../fleet/profile.ts';
import { defaultGrace, expire, type FleetRules, removalTime } from '../fleet/registration.ts';
import type { RegistrationIds } from '../fleet/registrationId.ts';
import type { Commit, View } from '../fleet/store.ts';
import { refusal } from '../lwm2m/refusal.ts';
import { answerTo } from './answer.ts';
import { DeviceManagement, type DeviceManagementOptions } from './deviceManagement.ts';
import { KeptAnswers } from './keptAnswers.ts';
import { LookupInterface } from './lookup.ts';
import { type Notification, Observers, type ObserverTurn } from './observers.ts';
import type { Outcome, RequestContext } from './outcome.ts';
import { contactOf, RegistrationInterface } from './rd.ts';
import { SimpleRegistration } from './simpleRegistration.ts';
import { ValuesInterface } from './valuesInterface.ts';
import { wellKnownCore } from './wellKnown.ts';

/**
 * Where CoAP meets the fleet: requests in, outcomes out. It decides and changes nothing: what an outcome asks to be
 * committed is committed by the loop, which then says so with `committed`.
 */
export class Service {
  readonly rules: FleetRules;
  /** Commands, observations and reports. */
  readonly devices: DeviceManagement;
  readonly #rd: RegistrationInterface;
  readonly #simple: SimpleRegistration;
  readonly #lookup: LookupInterface;
  readonly #values: ValuesInterface;
  readonly #observers = new Observers();
  readonly #answers = new KeptAnswers();
  readonly #expiry = new ExpiryIndex();
  #profiles: ProfileSet;

  constructor(options: ServiceOptions) {
    const { ids, grace = defaultGrace, outages = [] } = options;
    this.#profiles = options.profiles ?? noProfiles;
    const profiles = () => this.#profiles;
    this.rules = {
      grace,
      outages,
      get profiles() {
        return profiles();
      },
      registrationId: (row, generation) => ids.of(row, generation),
    };
    this.devices = new DeviceManagement(this.rules, options);
    const { insecureCoap, openLookup = false, strictParameters = false } = options;
    this.#rd = new RegistrationInterface({ ids, insecureCoap, strictParameters }, this.rules);
    this.#simple = new SimpleRegistration(this.#rd);
    this.#lookup = new LookupInterface({ insecureCoap, openLookup }, this.rules, this.#observers, this.#answers);
    this.#values = new ValuesInterface(record => this.devices.dossierOf(record), this.#observers, this.#answers);
  }

  /** The operator changed the profiles: they count from the next registration on. */
  useProfiles(profiles: ProfileSet): void {
    this.#profiles = profiles;
  }

  /** Who found no room to observe. */
  get counters(): Observers['counters'] {
    return this.#observers.counters;
  }

  route(request: Request, context: RequestContext): Outcome {
    const path = request.options.all(UriPath);
    const [first, second] = path;
    const speaksForDevice = first === 'rd' || first === 'dp' || (first === '.well-known' && second === 'rd');
    if (speaksForDevice && context.principal.kind === 'operator') return notADevice;
    if (path.length === 1 && first === 'rd') {
      return request.code === Method.POST ? this.#rd.register(request, context) : methodNotAllowed;
    }
    if (path.length === 2 && first === 'rd' && second !== undefined) {
      if (request.code === Method.POST) return this.#rd.update(request, context, second);
      if (request.code === Method.DELETE) return this.#rd.deregister(request, context, second);
      return methodNotAllowed;
    }
    if (path.length === 1 && first === 'dp') {
      if (request.code !== Method.POST) return methodNotAllowed;
      return this.devices.send(request, context, contactOf(request, context));
    }
    if (path.length === 2 && first === '.well-known' && second === 'core') {
      return request.code === Method.GET
        ? { kind: 'reply', reply: wellKnownCore(request, context.principal) }
        : methodNotAllowed;
    }
    if (path.length === 2 && first === '.well-known' && second === 'rd') {
      return request.code === Method.POST ? this.#simple.register(request, context) : methodNotAllowed;
    }
    if (path.length === 2 && first === 'rd-lookup' && (second === 'ep' || second === 'res')) {
      return request.code === Method.GET ? this.#lookup.get(second, request, context) : methodNotAllowed;
    }
    if (first === 'device') {
      if (request.code !== Method.GET) return methodNotAllowed;
      if (path.length > 1) return this.#values.get(request, context);
      return this.#lookup.get('device', request, context);
    }
    return notFound;
  }

  /** A commit is durable: what was there to be decided on it, and who observes it, learn of it. */
  committed(commit: Commit, now: Now): void {
    for (const { record } of commit.devices) this.stored(record);
    this.#observers.committed(commit, now);
  }

  /** Another process changed a device. */
  touched(row: Row, now: Now): void {
    this.#observers.touched(row, now);
  }

  /** A peer is gone, or does not want to be told any more. */
  forget(peer: Peer): void {
    this.#observers.drop(peer);
  }

  /** A notification was rejected or never acknowledged, or what was to be observed is not answered. */
  unobserved(exchange: Exchange): void {
    this.#observers.unobserved(exchange);
  }

  nextNotification(): Instant | undefined {
    return this.#observers.nextDue();
  }

  /** Whom to tell of a changed result. Answers of several blocks are kept until they are fetched. */
  notifications(turn: ObserverTurn): Notification[] {
    const due = this.#observers.due(turn);
    for (const { exchange, key, reply } of due) this.#answers.keep(exchange, key, reply, turn.now.instant);
    return due;
  }

  /** A record is stored, or was found at the start: the index of lifetimes learns of it. */
  stored(record: DeviceRecord): void {
    const ends = removalTime(this.rules, record.registration);
    if (ends !== undefined) this.#expiry.note(record.row, ends);
  }

  /**
   * Removes registrations whose lifetime is over, a bounded number at a time; `undefined` if there are none. Commit
   * it, and if that fails call `stored` for each record again.
   */
  expire(wall: WallTime, view: View): Commit | undefined {
    const commit: { devices: Commit['devices'][number][]; events: Commit['events'][number][] } = {
      devices: [],
      events: [],
    };
    for (const row of this.#expiry.takeDue(wall, expiryBatch)) {
      const record = view.device(row);
      if (record === undefined) continue;
      const decision = expire(this.rules, wall, record);
      if (decision === undefined) {
        this.stored(record);
        continue;
      }
      commit.devices.push(...decision.commit.devices);
      commit.events.push(...decision.commit.events);
    }
    return commit.devices.length === 0 ? undefined : commit;
  }

  nextExpiry(): WallTime | undefined {
    return this.#expiry.next();
  }
}

export interface ServiceOptions extends DeviceManagementOptions {
  readonly ids: RegistrationIds;
  readonly insecureCoap: boolean;
  /** Whether a device's credential may look up the whole fleet, and not only itself. */
  readonly openLookup?: boolean;
  /** Refuses LwM2M requests with parameters that the specification does not know; by default they are stored. */
  readonly strictParameters?: boolean;
  /** For how long after its lifetime an update revives a registration; 93 s by default. */
  readonly grace?: Milliseconds;
  readonly outages?: readonly Outage[];
  readonly profiles?: ProfileSet;
}

const methodNotAllowed: Outcome = { kind: 'reply', reply: reply(ResponseCode.MethodNotAllowed) };
const notADevice: Outcome = {
  kind: 'reply',
  reply: answerTo(refusal('not-a-device'), undefined),
  refusal: refusal('not-a-device'),
};
const notFound: Outcome = { kind: 'reply', reply: reply(ResponseCode.NotFound) };
/** Small enough that registrations which arrive meanwhile wait for milliseconds only. */
const expiryBatch = 64;
/** How long the loop waits at most before it looks at lifetimes again, since the wall clock may be set. */
export const expiryCheckInterval = seconds(60);
