import { type Bytes, textOf, toHex, utf8 } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../src/base/time.ts';
import { codeText, Method } from '../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage, type Message, type Reply, type Request } from '../../src/coap/codec/message.ts';
import { Options, UriPath } from '../../src/coap/codec/option.ts';
import { CoapEndpoint } from '../../src/coap/endpoint.ts';
import type { Exchange, Notification, RequestDraft, RequestFault, RequestHandle } from '../../src/coap/exchange.ts';
import type { CoapFault } from '../../src/coap/fault.ts';
import type { CoapOut } from '../../src/coap/out.ts';
import type { CoapOptions } from '../../src/coap/settings.ts';

/**
 * Two CoAP endpoints on a virtual network with a virtual clock. What the network does to a message is `intercept`'s to
 * say; what was said is in `ladder`, one line a message, lost ones too.
 */
export class CoapPair {
  readonly client: CoapSide;
  readonly server: CoapSide;
  readonly ladder: string[] = [];
  /** In milliseconds. */
  time = 1000;
  /** In how many milliseconds each copy of a message arrives; none is a loss. */
  intercept: (from: CoapSide, message: Message) => readonly number[] = () => [latency];
  readonly #events: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(options: { client?: Partial<CoapOptions>; server?: Partial<CoapOptions>; seed?: number } = {}) {
    const random = new SeededRandom(options.seed ?? 1);
    this.client = new CoapSide('client', { random: random.fork(), ...options.client }, this);
    this.server = new CoapSide('server', { random: random.fork(), ...options.server }, this);
  }

  get now(): Now {
    return { instant: this.time as Instant, wall: (1_700_000_000_000 + this.time) as WallTime };
  }

  carry(from: CoapSide, bytes: Bytes): void {
    const message = decodeMessage(bytes) as Message;
    this.ladder.push(`${from.name === 'client' ? '→' : '←'} ${textOfMessage(message)}`);
    for (const delay of this.intercept(from, message)) {
      const copy = bytes.slice();
      this.at(this.time + delay, () => (from === this.client ? this.server : this.client).receive(copy));
    }
  }

  at(time: number, run: () => void): void {
    this.#events.push({ at: time, order: this.#order++, run });
  }

  /** Lets so many milliseconds pass. */
  run(milliseconds = 1000): void {
    const end = this.time + milliseconds;
    for (;;) {
      this.#events.sort((a, b) => a.at - b.at || a.order - b.order);
      const event = this.#events[0]?.at ?? Number.POSITIVE_INFINITY;
      const client = this.client.endpoint.nextExpiry() ?? Number.POSITIVE_INFINITY;
      const server = this.server.endpoint.nextExpiry() ?? Number.POSITIVE_INFINITY;
      const next = Math.min(event, client, server);
      if (next > end) break;
      this.time = Math.max(this.time, next);
      if (event === next) this.#events.shift()!.run();
      else (client === next ? this.client : this.server).expire();
    }
    this.time = end;
  }
}

/** One end: what it was handed, and how it answers. */
export class CoapSide implements CoapOut {
  readonly name: 'client' | 'server';
  readonly endpoint: CoapEndpoint;
  readonly requests: { exchange: Exchange; code: number; path: string; options: Options; payload: string }[] = [];
  readonly responses: { handle: RequestHandle; code: string; options: Options; payload: string; lasts: boolean }[] = [];
  readonly failures: { handle: RequestHandle; fault: RequestFault }[] = [];
  readonly gone: Exchange[] = [];
  readonly faults: CoapFault[] = [];
  readonly pongs: Peer[] = [];
  readonly sent: Message[] = [];
  /** What to answer at once; `undefined` leaves the request open, for `respond` later. */
  answer: (request: Request, exchange: Exchange) => Reply | undefined = () => undefined;
  readonly #pair: CoapPair;

  constructor(name: 'client' | 'server', options: CoapOptions, pair: CoapPair) {
    this.name = name;
    this.endpoint = new CoapEndpoint(options);
    this.#pair = pair;
  }

  ask(draft: Partial<RequestDraft>, peer = onePeer): RequestHandle | undefined {
    const whole = { code: Method.GET, options: Options.empty, payload: new Uint8Array(), ...draft };
    return this.endpoint.request(this.#pair.now, peer, whole, this);
  }

  respond(exchange: Exchange, reply: Reply, recognised = false): void {
    this.endpoint.respond(this.#pair.now, exchange, reply, this, recognised);
  }

  notify(exchange: Exchange, reply: Reply, confirmable: boolean): void {
    this.endpoint.notify(this.#pair.now, exchange, reply, confirmable, this);
  }

  receive(bytes: Bytes, peer = onePeer): void {
    this.endpoint.receive(this.#pair.now, peer, bytes, this);
  }

  /** A message as if it came from the network. */
  hear(message: Message, peer = onePeer): void {
    this.receive(encodeMessage(message), peer);
  }

  expire(): void {
    this.endpoint.expire(this.#pair.now, this);
  }

  transmit(_peer: Peer, bytes: Bytes): void {
    this.sent.push(decodeMessage(bytes) as Message);
    this.#pair.carry(this, bytes);
  }

  request(exchange: Exchange, request: Request): void {
    const path = `/${request.options.all(UriPath).join('/')}`;
    const payload = textOf(request.payload.slice()) ?? toHex(request.payload);
    this.requests.push({ exchange, code: request.code, path, options: request.options, payload });
    const reply = this.answer(request, exchange);
    if (reply !== undefined) this.respond(exchange, reply);
  }

  response(handle: RequestHandle, response: { code: number; options: Options; payload: Bytes }, lasts: boolean): void {
    const payload = textOf(response.payload.slice()) ?? toHex(response.payload);
    this.responses.push({ handle, code: codeText(response.code), options: response.options, payload, lasts });
  }

  failed(handle: RequestHandle, fault: RequestFault): void {
    this.failures.push({ handle, fault });
  }

  notified(notification: Notification): void {
    this.endpoint.confirm(notification, this);
  }

  unobserved(exchange: Exchange): void {
    this.gone.push(exchange);
  }

  ponged(peer: Peer): void {
    this.pongs.push(peer);
  }

  refused(_peer: Peer, fault: CoapFault): void {
    this.faults.push(fault);
  }
}

export function path(...segments: readonly string[]): Options {
  return segments.reduce((options, segment) => options.with(UriPath, segment), Options.empty);
}

export function post(payload: string, options: Options = path('rd')): Partial<RequestDraft> {
  return { code: Method.POST, options, payload: utf8(payload) };
}

export const onePeer = 1 as Peer;
/** In milliseconds, one way. */
export const latency = 10;

/** `CON 0.02 #17 rd 12 B`, in the manner of the RFC's figures. */
function textOfMessage(message: Message): string {
  if (message.kind === 'empty') return `${message.type} empty`;
  const body = message.payload.length === 0 ? '' : ` ${message.payload.length} B`;
  return `${message.type} ${codeText(message.code)}${body}`;
}
