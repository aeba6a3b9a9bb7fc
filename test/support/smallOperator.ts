import { type Bytes, noBytes, textOf, toHex, utf8 } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { codeText, Method } from '../../src/coap/codec/code.ts';
import { Accept, ContentFormat, Observe, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import { CoapEndpoint } from '../../src/coap/endpoint.ts';
import type { RequestHandle } from '../../src/coap/exchange.ts';
import type { CoapOut } from '../../src/coap/out.ts';
import { type ClientOptions, type ClientOut, DtlsClient } from '../../src/dtls/client.ts';
import type { EndpointName } from '../../src/fleet/names.ts';
import type { Node, SmallWorld } from './smallWorld.ts';

/** A CoAP client with an operator's credential, in a small world: asks, and keeps what it hears. */
export class SmallOperator implements Node {
  readonly port: number;
  readonly #world: SmallWorld;
  readonly #dtls: DtlsClient;
  readonly #coap: CoapEndpoint;
  readonly #heard = new Map<RequestHandle, Heard[]>();
  /** Another one for each session, as with devices. */
  #server = 1 as Peer;
  /** Why its session ended. */
  closed: string | undefined;

  constructor(world: SmallWorld, name: string, port: number, dtls: Partial<ClientOptions> = {}) {
    this.#world = world;
    this.port = port;
    const random = new SeededRandom(port);
    const key = utf8(`the key of ${name}`);
    world.admin.addCredential(world.now.wall, name as EndpointName, utf8(name), key, 'operator');
    this.#dtls = new DtlsClient({ random, identity: utf8(name), key, cid: noBytes, ...dtls });
    this.#coap = new CoapEndpoint({ random, maxMessageOf: () => dtls.maxFragmentLength });
  }

  connect(): this {
    this.#server = (this.#server + 1) as Peer;
    this.#dtls.connect(this.#world.now, this.#dtlsOut);
    this.#world.run(1000);
    return this;
  }

  /** What comes back at once and, if it observes, later. */
  get(path: string, { accept, observe = false }: { accept?: number; observe?: boolean } = {}): readonly Heard[] {
    const [bare = '', query] = path.split('?');
    let options = Options.empty;
    for (const segment of bare.split('/').slice(1)) options = options.with(UriPath, decodeURIComponent(segment));
    for (const parameter of query?.split('&') ?? []) options = options.with(UriQuery, decodeURIComponent(parameter));
    if (accept !== undefined) options = options.with(Accept, accept);
    const draft = { code: Method.GET, options, payload: noBytes, observe };
    const handle = this.#coap.request(this.#world.now, this.#server, draft, this.#coapOut)!;
    const heard: Heard[] = [];
    this.#heard.set(handle, heard);
    this.#world.run(1000);
    return heard;
  }

  get due(): number {
    return Math.min(this.#dtls.nextExpiry() ?? never, this.#coap.nextExpiry() ?? never);
  }

  receive(datagram: Bytes): void {
    this.#dtls.receive(this.#world.now, datagram, this.#dtlsOut);
  }

  expire(): void {
    this.#dtls.expire(this.#world.now, this.#dtlsOut);
    this.#coap.expire(this.#world.now, this.#coapOut);
  }

  readonly #dtlsOut: ClientOut = {
    transmit: datagram => this.#world.toServer(this, datagram.slice()),
    connected: () => undefined,
    deliver: plaintext => this.#coap.receive(this.#world.now, this.#server, plaintext, this.#coapOut),
    closed: reason => {
      this.closed = reason;
    },
  };

  readonly #coapOut: CoapOut = {
    transmit: (_, bytes) => this.#dtls.send(bytes, this.#dtlsOut),
    request: () => undefined,
    response: (handle, { code, options, payload }) =>
      this.#heard.get(handle)?.push({
        code: codeText(code),
        format: options.get(ContentFormat),
        observe: options.get(Observe),
        text: textOf(payload.slice()) ?? toHex(payload),
      }),
    failed: (handle, fault) =>
      this.#heard.get(handle)?.push({ code: fault, format: undefined, observe: undefined, text: '' }),
    notified: () => undefined,
    unobserved: () => undefined,
    ponged: () => undefined,
    refused: () => undefined,
  };
}

/** `2.05`, or the fault that came instead of an answer. */
export interface Heard {
  readonly code: string;
  readonly format: number | undefined;
  readonly observe: number | undefined;
  /** Of the payload; what is no text is hexadecimal. */
  readonly text: string;
}

const never = Number.POSITIVE_INFINITY;
