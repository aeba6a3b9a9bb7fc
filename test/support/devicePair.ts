import type { Bytes } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { Instant, Milliseconds, Now, WallTime } from '../../src/base/time.ts';
import { codeText, Method, ResponseCode } from '../../src/coap/codec/code.ts';
import { type Request, type Response, reply } from '../../src/coap/codec/message.ts';
import { Accept, ContentFormat, LocationPath, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import { CoapEndpoint } from '../../src/coap/endpoint.ts';
import type { RequestHandle } from '../../src/coap/exchange.ts';
import type { CoapOut } from '../../src/coap/out.ts';
import type { AddressCheck } from '../../src/coap/settings.ts';
import { Device, type DeviceOptions, type DeviceOut } from '../../src/device/device.ts';

/**
 * A device and a bare CoAP endpoint in the server's place, on plain CoAP and a virtual clock. `run` lets time pass; what
 * is sent arrives at once, unless `loses` says otherwise.
 */
export class DevicePair {
  readonly device: Device;
  readonly requests: Request[] = [];
  readonly events: string[] = [];
  /** Datagrams from the server that are lost. */
  loses = false;
  #now = 1_000_000;
  readonly #server: CoapEndpoint;
  readonly #wire: { readonly to: 'device' | 'server'; readonly datagram: Bytes }[] = [];
  readonly #answers = new Map<RequestHandle, Answer[]>();
  #isRegistered = false;

  /** `addresses`: whether the server takes bodies in blocks from an address that nobody proved. */
  constructor(options: Omit<DeviceOptions, 'random'>, addresses?: AddressCheck) {
    this.device = new Device({ random: new SeededRandom(7), ...options });
    this.#server = new CoapEndpoint({ random: new SeededRandom(8), ...(addresses && { addresses }) });
  }

  get now(): Now {
    return { instant: this.#now as Instant, wall: (1_700_000_000_000 + this.#now) as WallTime };
  }

  /** Asks the device, and returns what comes back, at once or later. */
  ask(code: number, path: string, options: Ask = {}): Asked {
    const { accept, format, payload = new Uint8Array(0), query = [], observe = false } = options;
    let all = path.split('/').reduce((list, part) => (part === '' ? list : list.with(UriPath, part)), Options.empty);
    for (const parameter of query) all = all.with(UriQuery, parameter);
    if (accept !== undefined) all = all.with(Accept, accept);
    if (format !== undefined) all = all.with(ContentFormat, format);
    const draft = { code, options: all, payload, observe };
    const handle = this.#server.request(this.now, device, draft, this.#serverOut)!;
    const answers: Answer[] = [];
    this.#answers.set(handle, answers);
    this.#settle();
    return { answers, handle };
  }

  get(path: string, options: Ask = {}): Asked {
    return this.ask(Method.GET, path, options);
  }

  cancel(asked: Asked): void {
    this.#server.cancel(this.now, asked.handle, this.#serverOut);
    this.#settle();
  }

  unobserve(asked: Asked): void {
    this.#server.unobserve(this.now, asked.handle, this.#serverOut);
    this.#settle();
  }

  /** The device does something of its own accord. */
  does(what: (device: Device, now: Now, out: DeviceOut) => void): void {
    what(this.device, this.now, this.deviceOut);
    this.#settle();
  }

  /** Lets time pass, and everything happen that is due in it. */
  run(span: Milliseconds): void {
    const until = this.#now + span;
    for (;;) {
      const next = Math.min(this.device.nextExpiry() ?? Infinity, this.#server.nextExpiry() ?? Infinity);
      if (next > until) break;
      this.#now = Math.max(this.#now, next);
      this.device.expire(this.now, this.deviceOut);
      this.#server.expire(this.now, this.#serverOut);
      this.#settle();
    }
    this.#now = until;
  }

  #forget(): number {
    const code = this.#isRegistered ? ResponseCode.Deleted : ResponseCode.NotFound;
    this.#isRegistered = false;
    return code;
  }

  readonly deviceOut: DeviceOut = {
    transmit: datagram => this.#wire.push({ to: 'server', datagram: datagram.slice() }),
    connected: () => this.events.push('connected'),
    answered: (what, code) => this.events.push(`${what} ${codeText(code)}`),
    failed: (what, fault) => this.events.push(`${what} ${fault}`),
    closed: reason => this.events.push(`closed ${reason}`),
    executed: (path, args) => this.events.push(`executed ${path} ${args}`.trim()),
    written: paths => this.events.push(`written ${paths.join(' ')}`),
  };

  readonly #serverOut: CoapOut = {
    transmit: (_, datagram) => {
      if (!this.loses) this.#wire.push({ to: 'device', datagram: datagram.slice() });
    },
    request: (exchange, request) => {
      this.requests.push({ ...request, payload: request.payload.slice() });
      const isRegistration = request.options.all(UriPath).join('/') === 'rd';
      if (isRegistration) this.#isRegistered = true;
      const answer = isRegistration
        ? reply(ResponseCode.Created, Options.empty.with(LocationPath, 'rd').with(LocationPath, 'x1'))
        : reply(request.code === Method.DELETE ? this.#forget() : ResponseCode.Changed);
      this.#server.respond(this.now, exchange, answer, this.#serverOut);
    },
    response: (handle, response) => this.#answers.get(handle)!.push(answerOf(response, this.#now)),
    failed: (handle, fault) =>
      this.#answers.get(handle)!.push({ code: fault, payload: new Uint8Array(0), at: this.#now }),
    unobserved() {},
    notified() {},
    ponged() {},
    refused() {},
  };

  #settle(): void {
    for (let next = this.#wire.shift(); next !== undefined; next = this.#wire.shift()) {
      if (next.to === 'device') this.device.receive(this.now, next.datagram, this.deviceOut);
      else this.#server.receive(this.now, device, next.datagram, this.#serverOut);
    }
  }
}

export interface Ask {
  readonly accept?: number;
  readonly format?: number;
  readonly payload?: Bytes;
  readonly query?: readonly string[];
  readonly observe?: boolean;
}

export interface Asked {
  readonly answers: readonly Answer[];
  readonly handle: RequestHandle;
}

export interface Answer {
  /** `2.05`, or the fault that came instead of an answer. */
  readonly code: string;
  readonly format?: number;
  readonly location?: string;
  readonly payload: Bytes;
  /** When it came, in milliseconds of the virtual clock. */
  readonly at: number;
}

function answerOf({ code, options, payload }: Response, at: number): Answer {
  const format = options.get(ContentFormat);
  const location = options.all(LocationPath);
  return {
    code: codeText(code),
    ...(format !== undefined && { format }),
    ...(location.length > 0 && { location: `/${location.join('/')}` }),
    payload: payload.slice(),
    at,
  };
}

const device = 1 as Peer;
