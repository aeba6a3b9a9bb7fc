import { type Bytes, noBytes, textOf, utf8 } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import { after, type Instant, type Now } from '../base/time.ts';
import { Method, ResponseCode } from '../coap/codec/code.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { formatLinks } from '../coap/codec/linkFormat.ts';
import { type Request, type Response, reply } from '../coap/codec/message.ts';
import { ContentFormat, Echo, LocationPath, Options, UriPath, UriQuery } from '../coap/codec/option.ts';
import { CoapEndpoint } from '../coap/endpoint.ts';
import type { Exchange, RequestDraft, RequestFault, RequestHandle } from '../coap/exchange.ts';
import type { CoapOut } from '../coap/out.ts';
import type { TransmissionParameters } from '../coap/transmission.ts';
import { type ClientOptions, type ClientOut, DtlsClient } from '../dtls/client.ts';
import type { ClientSession } from '../dtls/clientStep.ts';
import { writeObjectLinks } from '../lwm2m/objectLinks.ts';
import type { Path, ValuePath } from '../lwm2m/path.ts';
import { emptyDescription } from '../lwm2m/registrationRequest.ts';
import type { ResourceValue } from '../lwm2m/value.ts';
import { writeRegisterQuery } from '../lwm2m/writeRegisterQuery.ts';
import { type MapContent, writeRegistrationMap } from '../lwm2m/writeRegistrationMap.ts';
import { Application, type ApplicationOut } from './application.ts';
import type { Behaviour } from './behaviour.ts';
import type { DeviceObjects } from './objects.ts';
import { present } from './operations.ts';

/**
 * A device that registers itself: the other end of the road, over DTLS or over plain CoAP, for tests, the simulator and
 * benchmarks. If it has objects, the server reads, writes, executes and observes them; whatever else it asks for is
 * answered 4.04.
 *
 * `connect` first, and once `out.connected` has come `register`, then `update`, `send` and `deregister`, one at a time;
 * each ends with `out.answered` or `out.failed`. Call `receive` for each datagram and `expire` when `nextExpiry` has
 * come; `set` when it measured something.
 */
export class Device {
  readonly #dtls: DtlsClient | undefined;
  readonly #coap: CoapEndpoint;
  readonly #application: Application | undefined;
  readonly #behaviour: Behaviour;
  /** Another one for each session: what came on an earlier one is no duplicate on this one (RFC 7252 §9.1). */
  #server = 1 as Peer;
  readonly #dialect: 'cbor' | 'lwm2m';
  /** What the server called the registration, as the segments of its path (RFC 9176 §5). */
  #location: readonly string[] | undefined;
  #asked: Asking | undefined;
  /** When it falls asleep, in queue mode. */
  #awakeUntil: Instant | undefined;
  /** When to update because the server wants it: it executed the Registration Update Trigger. */
  #updateAt: Instant | undefined;

  constructor({ random, dtls, transmission, objects, formats, behaviour = {}, dialect = 'cbor' }: DeviceOptions) {
    this.#dtls = dtls && new DtlsClient({ random, ...dtls });
    this.#application = objects && new Application(objects, formats ?? defaultFormats, behaviour);
    this.#behaviour = behaviour;
    this.#dialect = dialect;
    this.#coap = new CoapEndpoint({
      random,
      ...(transmission && { transmission }),
      maxMessageOf: () => dtls?.maxFragmentLength,
      limits: { maxExchanges: 16, maxBodies: 1, maxRequests: 4 },
    });
  }

  /** `/rd/…`, once registered. */
  get location(): string | undefined {
    return this.#location && `/${this.#location.join('/')}`;
  }

  /** What the next `connect` will try to resume: worth keeping over a restart of the device, and secret. */
  get session(): ClientSession | undefined {
    return this.#dtls?.session;
  }

  get objects(): DeviceObjects | undefined {
    return this.#application?.objects;
  }

  /** How many observations the server has. */
  get observations(): number {
    return this.#application?.observations ?? 0;
  }

  /** Whether it hears nothing at the moment. It is awake as long as it waits for an answer. */
  isAsleep(now: Now): boolean {
    return this.#awakeUntil !== undefined && this.#asked === undefined && now.instant >= this.#awakeUntil;
  }

  /** Begins a session, a new one if there was one before; on plain CoAP there is nothing to wait for. */
  connect(now: Now, out: DeviceOut): void {
    this.#application?.start(now);
    if (this.#dtls === undefined) return out.connected(false);
    this.#forgetServer(now, out);
    this.#dtls.connect(now, this.#dtlsOut(now, out));
  }

  /**
   * What the registration does not say itself of objects and Content-Formats, it says as they are. Until it is answered
   * nobody knows which registration is there, the one before or this one, so it has none: it registers again.
   */
  register(now: Now, registration: MapContent, out: DeviceOut): void {
    this.#updateAt = undefined;
    this.#location = undefined;
    // The server makes its observations anew (LwM2M Core 1.2 §6.2.1).
    this.#application?.forgetObservations();
    this.#postRegistration(now, 'register', ['rd'], this.#describe(registration), out);
  }

  /** Extends the lifetime, and says what changed. */
  update(now: Now, changes: MapContent | undefined, out: DeviceOut): void {
    this.#updateAt = undefined;
    this.#postRegistration(now, 'update', this.#registered(), changes ?? {}, out);
  }

  /** Reports values without being asked (LwM2M Core 1.2 §6.4.6, Send). */
  send(now: Now, paths: readonly Path[], format: number, out: DeviceOut): void {
    if (this.#application === undefined) throw new Error('the device has no objects');
    const { code, payload } = present(this.#application, { paths, format, composite: true });
    if (code !== ResponseCode.Content) throw new Error(`${format} cannot say ${paths.join(', ')}`);
    const options = pathOptions(['dp']).with(ContentFormat, format);
    this.#ask(now, 'send', { code: Method.POST, options, payload }, out);
  }

  /** A value is another now: whoever observes it hears of it, as the attributes say. */
  set(now: Now, path: ValuePath, value: ResourceValue, out: DeviceOut): void {
    if (this.#application === undefined) throw new Error('the device has no objects');
    this.#application.set(now, path, value, this.#applicationOut(now, out));
  }

  deregister(now: Now, out: DeviceOut): void {
    const draft = { code: Method.DELETE, options: pathOptions(this.#registered()), payload: noBytes };
    this.#ask(now, 'deregister', draft, out);
  }

  /** Says goodbye to the server's DTLS; the registration stays. */
  close(now: Now, out: DeviceOut): void {
    this.#forgetServer(now, out);
    this.#dtls?.close(this.#dtlsOut(now, out));
  }

  /** What comes while it is asleep is lost, as with the radio off. */
  receive(now: Now, datagram: Bytes, out: DeviceOut): void {
    if (this.isAsleep(now)) return;
    this.#stayAwake(now);
    if (this.#dtls === undefined) this.#coap.receive(now, this.#server, datagram, this.#coapOut(now, out));
    else this.#dtls.receive(now, datagram, this.#dtlsOut(now, out));
  }

  expire(now: Now, out: DeviceOut): void {
    this.#dtls?.expire(now, this.#dtlsOut(now, out));
    this.#coap.expire(now, this.#coapOut(now, out));
    this.#application?.expire(now, this.#applicationOut(now, out));
    const updateAt = this.#nextUpdate();
    if (updateAt !== undefined && updateAt <= now.instant) this.update(now, undefined, out);
  }

  nextExpiry(): Instant | undefined {
    let next: Instant | undefined;
    for (const at of [
      this.#dtls?.nextExpiry(),
      this.#coap.nextExpiry(),
      this.#application?.nextExpiry(),
      this.#nextUpdate(),
    ]) {
      if (at !== undefined && (next === undefined || at < next)) next = at;
    }
    return next;
  }

  /** Not while something else is under way. */
  #nextUpdate(): Instant | undefined {
    return this.#asked === undefined && this.#location !== undefined ? this.#updateAt : undefined;
  }

  #describe(registration: MapContent): MapContent {
    if (this.#application === undefined) return registration;
    const { objects, formats } = this.#application;
    const own = { objects: objects.entries(), contentFormats: formats };
    return { ...registration, description: { ...own, ...registration.description } };
  }

  #forgetServer(now: Now, out: DeviceOut): void {
    this.#coap.drop(this.#server, this.#coapOut(now, out));
    this.#server = (this.#server + 1) as Peer;
    this.#application?.forgetObservations();
  }

  #stayAwake({ instant }: Now): void {
    const { awake } = this.#behaviour;
    if (awake !== undefined) this.#awakeUntil = after(instant, awake);
  }

  #registered(): readonly string[] {
    if (this.#location === undefined) throw new Error('the device is not registered');
    return this.#location;
  }

  #postRegistration(now: Now, what: Asked, path: readonly string[], content: MapContent, out: DeviceOut): void {
    const post = (options: Options, payload: Bytes): void =>
      this.#ask(now, what, { code: Method.POST, options, payload }, out);
    const options = pathOptions(path);
    // An Update may say nothing but that the device is there; a registration says at least that it is one.
    if (what === 'update' && Object.keys(content).length === 0) return post(options, noBytes);
    if (this.#dialect === 'cbor') {
      return post(options.with(ContentFormat, ContentFormats.cbor), writeRegistrationMap(content, 'compact'));
    }
    const queried = writeRegisterQuery(content).reduce((all, parameter) => all.with(UriQuery, parameter), options);
    const links = writeObjectLinks({ ...emptyDescription, ...content.description });
    if (links.length === 0) return post(queried, noBytes);
    post(queried.with(ContentFormat, ContentFormats.linkFormat), utf8(formatLinks(links)));
  }

  #ask(now: Now, what: Asked, draft: RequestDraft, out: DeviceOut): void {
    if (this.#asked !== undefined) throw new Error(`${this.#asked.what} is still under way`);
    const asked: Asking = { handle: undefined, what, draft };
    this.#asked = asked;
    asked.handle = this.#coap.request(now, this.#server, draft, this.#coapOut(now, out));
  }

  #answered(now: Now, { what, draft }: Asking, response: Response, out: DeviceOut): void {
    const echo = response.code === ResponseCode.Unauthorized ? response.options.get(Echo) : undefined;
    // The server wants to know that we are here, or that the request is no old one: once more with Echo (RFC 9175 §2.3).
    if (echo !== undefined && !draft.options.has(Echo)) {
      return this.#ask(now, what, { ...draft, options: draft.options.with(Echo, echo.slice()) }, out);
    }
    if (what === 'register' && response.code === ResponseCode.Created) {
      this.#location = response.options.all(LocationPath);
    }
    const isGone = response.code === ResponseCode.Deleted || response.code === ResponseCode.NotFound;
    if (what === 'deregister' && isGone) this.#location = undefined;
    out.answered(what, response.code, textOf(response.payload) ?? '');
  }

  /** Ends what is asked at the moment; `undefined` if this is about something else. */
  #take(handle: RequestHandle): Asking | undefined {
    const asked = this.#asked;
    // A request may end before `request` has returned its handle: then it is the one that is asked.
    if (asked === undefined || (asked.handle !== undefined && asked.handle !== handle)) return undefined;
    this.#asked = undefined;
    return asked;
  }

  #requested(now: Now, exchange: Exchange, request: Request, out: DeviceOut): void {
    if (this.#behaviour.mute === true) return;
    if (this.#application === undefined) {
      this.#coap.respond(now, exchange, reply(ResponseCode.NotFound), this.#coapOut(now, out));
    } else {
      this.#application.receive(now, exchange, request, this.#applicationOut(now, out));
    }
  }

  #applicationOut(now: Now, out: DeviceOut): ApplicationOut {
    const coapOut = this.#coapOut(now, out);
    return {
      respond: (exchange, answer) => this.#coap.respond(now, exchange, answer, coapOut),
      notify: (exchange, notification, confirmable) =>
        this.#coap.notify(now, exchange, notification, confirmable, coapOut),
      executed: (path, args) => {
        if (updateTrigger.test(path)) this.#updateAt = now.instant;
        out.executed?.(path, args);
      },
      written: paths => out.written?.(paths),
    };
  }

  #coapOut(now: Now, out: DeviceOut): CoapOut {
    const coapOut: CoapOut = {
      transmit: (_, message) => {
        if (this.#dtls !== undefined) return this.#dtls.send(message, this.#dtlsOut(now, out));
        this.#stayAwake(now);
        out.transmit(message);
      },
      request: (exchange, request) => this.#requested(now, exchange, request, out),
      response: (handle, response) => {
        const asked = this.#take(handle);
        if (asked !== undefined) this.#answered(now, asked, response, out);
      },
      failed: (handle, fault) => {
        const asked = this.#take(handle);
        if (asked !== undefined) out.failed(asked.what, fault);
      },
      unobserved: exchange => this.#application?.unobserved(exchange),
      // It observes nothing.
      notified() {},
      ponged() {},
      refused() {},
    };
    return coapOut;
  }

  #dtlsOut(now: Now, out: DeviceOut): ClientOut {
    return {
      transmit: datagram => {
        this.#stayAwake(now);
        out.transmit(datagram);
      },
      connected: (_, resumed) => out.connected(resumed),
      deliver: plaintext => this.#coap.receive(now, this.#server, plaintext, this.#coapOut(now, out)),
      closed: reason => {
        this.#forgetServer(now, out);
        out.closed(reason);
      },
    };
  }
}

export type Asked = 'register' | 'update' | 'deregister' | 'send';

interface Asking {
  /** `undefined` until it is sent. */
  handle: RequestHandle | undefined;
  readonly what: Asked;
  readonly draft: RequestDraft;
}

/** Where the device writes what has to happen next. */
export interface DeviceOut {
  transmit(datagram: Bytes): void;
  /** Requests may be made. `resumed`: in a DTLS session that goes on from the one before. */
  connected(resumed: boolean): void;
  /** The server's answer, whatever it says: `code` as on the wire, `diagnostic` its payload if that is text. */
  answered(what: Asked, code: number, diagnostic: string): void;
  failed(what: Asked, fault: RequestFault): void;
  /** The handshake failed, or the server ended the session. */
  closed(reason: string): void;
  /** The server executed a resource, with these arguments. */
  executed?(path: Path, args: string): void;
  /** The server wrote, created or deleted something. */
  written?(paths: readonly Path[]): void;
}

export interface DeviceOptions {
  readonly random: RandomSource;
  /** Identity and key; without it the device speaks plain CoAP. */
  readonly dtls?: Omit<ClientOptions, 'random'>;
  readonly transmission?: TransmissionParameters;
  readonly objects?: DeviceObjects;
  /** The Content-Formats it speaks, the one it prefers first. */
  readonly formats?: readonly number[];
  readonly behaviour?: Behaviour;
  /** How it registers: with our CBOR map, or with LwM2M's query and link-format. */
  readonly dialect?: 'cbor' | 'lwm2m';
}

function pathOptions(path: readonly string[]): Options {
  return path.reduce((options, segment) => options.with(UriPath, segment), Options.empty);
}

/** Execute there asks for a Registration Update (object LwM2M Server, resource 8). */
const updateTrigger = /^\/1\/\d+\/8$/;

const defaultFormats: readonly number[] = [
  ContentFormats.senmlCbor,
  ContentFormats.lwm2mCbor,
  ContentFormats.senmlJson,
  ContentFormats.lwm2mTlv,
  ContentFormats.cbor,
  ContentFormats.text,
  ContentFormats.octetStream,
];
