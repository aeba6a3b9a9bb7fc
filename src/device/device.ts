import { type Bytes, noBytes, textOf } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import type { Instant, Now } from '../base/time.ts';
import { Method, ResponseCode } from '../coap/codec/code.ts';
import { ContentFormats } from '../coap/codec/contentFormat.ts';
import { type Response, reply } from '../coap/codec/message.ts';
import { ContentFormat, LocationPath, Options, UriPath } from '../coap/codec/option.ts';
import { CoapEndpoint, type CoapOut } from '../coap/endpoint.ts';
import type { Exchange, RequestFault, RequestHandle } from '../coap/exchange.ts';
import type { TransmissionParameters } from '../coap/transmission.ts';
import { type ClientOptions, type ClientOut, DtlsClient } from '../dtls/client.ts';
import { type MapContent, writeRegistrationMap } from '../lwm2m/writeRegistrationMap.ts';

/**
 * A device that registers itself: the other end of the road, over DTLS or over plain CoAP, for tests, the simulator and
 * benchmarks. It has no objects: whatever the server asks for is answered 4.04.
 *
 * `connect` first, and once `out.connected` has come `register`, then `update` and `deregister`, one at a time; each
 * ends with `out.answered` or `out.failed`. Call `receive` for each datagram and `expire` when `nextExpiry` has come.
 */
export class Device {
  readonly #dtls: DtlsClient | undefined;
  readonly #coap: CoapEndpoint;
  /** What the server called the registration, as the segments of its path (RFC 9176 §5). */
  #location: readonly string[] | undefined;
  #asked: { handle: RequestHandle | undefined; what: Asked } | undefined;

  constructor({ random, dtls, transmission }: DeviceOptions) {
    this.#dtls = dtls && new DtlsClient({ random, ...dtls });
    this.#coap = new CoapEndpoint({
      random,
      ...(transmission && { transmission }),
      limits: { maxExchanges: 16, maxBodies: 1, maxRequests: 4 },
    });
  }

  /** `/rd/…`, once registered. */
  get location(): string | undefined {
    return this.#location && `/${this.#location.join('/')}`;
  }

  /** Begins a session, a new one if there was one before; on plain CoAP there is nothing to wait for. */
  connect(now: Now, out: DeviceOut): void {
    if (this.#dtls === undefined) return out.connected();
    this.#coap.drop(server, this.#coapOut(now, out));
    this.#dtls.connect(now, this.#dtlsOut(now, out));
  }

  register(now: Now, registration: MapContent, out: DeviceOut): void {
    this.#post(now, 'register', ['rd'], writeRegistrationMap(registration, 'compact'), out);
  }

  /** Extends the lifetime, and says what changed. */
  update(now: Now, changes: MapContent | undefined, out: DeviceOut): void {
    const payload = changes === undefined ? noBytes : writeRegistrationMap(changes, 'compact');
    this.#post(now, 'update', this.#registered(), payload, out);
  }

  deregister(now: Now, out: DeviceOut): void {
    this.#ask(now, 'deregister', Method.DELETE, pathOptions(this.#registered()), noBytes, out);
  }

  /** Says goodbye to the server's DTLS; the registration stays. */
  close(now: Now, out: DeviceOut): void {
    this.#coap.drop(server, this.#coapOut(now, out));
    this.#dtls?.close(this.#dtlsOut(now, out));
  }

  receive(now: Now, datagram: Bytes, out: DeviceOut): void {
    if (this.#dtls === undefined) this.#coap.receive(now, server, datagram, this.#coapOut(now, out));
    else this.#dtls.receive(now, datagram, this.#dtlsOut(now, out));
  }

  expire(now: Now, out: DeviceOut): void {
    this.#dtls?.expire(now, this.#dtlsOut(now, out));
    this.#coap.expire(now, this.#coapOut(now, out));
  }

  nextExpiry(): Instant | undefined {
    const dtls = this.#dtls?.nextExpiry();
    const coap = this.#coap.nextExpiry();
    if (dtls === undefined || coap === undefined) return dtls ?? coap;
    return Math.min(dtls, coap) as Instant;
  }

  #registered(): readonly string[] {
    if (this.#location === undefined) throw new Error('the device is not registered');
    return this.#location;
  }

  #post(now: Now, what: Asked, path: readonly string[], payload: Bytes, out: DeviceOut): void {
    const options = pathOptions(path);
    const typed = payload.length === 0 ? options : options.with(ContentFormat, ContentFormats.cbor);
    this.#ask(now, what, Method.POST, typed, payload, out);
  }

  #ask(now: Now, what: Asked, code: number, options: Options, payload: Bytes, out: DeviceOut): void {
    if (this.#asked !== undefined) throw new Error(`${this.#asked.what} is still under way`);
    this.#asked = { handle: undefined, what };
    this.#asked.handle = this.#coap.request(now, server, { code, options, payload }, this.#coapOut(now, out));
  }

  #answered(what: Asked, response: Response, out: DeviceOut): void {
    if (what === 'register' && response.code === ResponseCode.Created) {
      this.#location = response.options.all(LocationPath);
    }
    if (what === 'deregister' && response.code === ResponseCode.Deleted) this.#location = undefined;
    out.answered(what, response.code, textOf(response.payload) ?? '');
  }

  /** Ends what is asked at the moment; `undefined` if this is about something else. */
  #take(handle: RequestHandle): Asked | undefined {
    const asked = this.#asked;
    // A request may end before `request` has returned its handle: then it is the one that is asked.
    if (asked === undefined || (asked.handle !== undefined && asked.handle !== handle)) return undefined;
    this.#asked = undefined;
    return asked.what;
  }

  #coapOut(now: Now, out: DeviceOut): CoapOut {
    const coapOut: CoapOut = {
      transmit: (_, message) => {
        if (this.#dtls === undefined) out.transmit(message);
        else this.#dtls.send(message, this.#dtlsOut(now, out));
      },
      request: (exchange: Exchange) => this.#coap.respond(now, exchange, reply(ResponseCode.NotFound), coapOut),
      response: (handle, response) => {
        const what = this.#take(handle);
        if (what !== undefined) this.#answered(what, response, out);
      },
      failed: (handle, fault) => {
        const what = this.#take(handle);
        if (what !== undefined) out.failed(what, fault);
      },
      unobserved() {},
      ponged() {},
      refused() {},
    };
    return coapOut;
  }

  #dtlsOut(now: Now, out: DeviceOut): ClientOut {
    return {
      transmit: datagram => out.transmit(datagram),
      connected: () => out.connected(),
      deliver: plaintext => this.#coap.receive(now, server, plaintext, this.#coapOut(now, out)),
      closed: reason => {
        this.#coap.drop(server, this.#coapOut(now, out));
        out.closed(reason);
      },
    };
  }
}

export type Asked = 'register' | 'update' | 'deregister';

/** Where the device writes what has to happen next. */
export interface DeviceOut {
  transmit(datagram: Bytes): void;
  /** Requests may be made. */
  connected(): void;
  /** The server's answer, whatever it says: `code` as on the wire, `diagnostic` its payload if that is text. */
  answered(what: Asked, code: number, diagnostic: string): void;
  failed(what: Asked, fault: RequestFault): void;
  /** The handshake failed, or the server ended the session. */
  closed(reason: string): void;
}

export interface DeviceOptions {
  readonly random: RandomSource;
  /** Identity and key; without it the device speaks plain CoAP. */
  readonly dtls?: Omit<ClientOptions, 'random'>;
  readonly transmission?: TransmissionParameters;
}

function pathOptions(path: readonly string[]): Options {
  return path.reduce((options, segment) => options.with(UriPath, segment), Options.empty);
}

/** The device knows one peer only. */
const server = 1 as Peer;
