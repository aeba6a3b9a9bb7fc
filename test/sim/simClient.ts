import type { Bytes } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../src/base/time.ts';
import { CoapEndpoint } from '../../src/coap/endpoint.ts';
import type { RequestDraft, RequestHandle } from '../../src/coap/exchange.ts';
import type { CoapOut } from '../../src/coap/out.ts';
import { type ClientOptions, type ClientOut, DtlsClient } from '../../src/dtls/client.ts';
import { Timer } from './clock.ts';
import type { Address } from './network.ts';
import { serverAddress } from './simServer.ts';
import type { World } from './world.ts';

/** CoAP over DTLS from an address of its own, with the timer of both. What is asked, and when, its owner decides. */
export class SimClient {
  readonly #world: World;
  readonly #address: Address;
  readonly #dtls: DtlsClient;
  readonly #coap: CoapEndpoint;
  readonly #expiry: Timer;
  readonly #hears: SimClientHears;
  /** Another one for each server that it forgot. */
  #server = 1 as Peer;
  #isOver = false;

  constructor(world: World, address: Address, options: SimClientOptions, hears: SimClientHears = {}) {
    const { identity, key, random, cid, maxExchanges, maxRequests } = options;
    this.#world = world;
    this.#address = address;
    this.#hears = hears;
    this.#dtls = new DtlsClient({ identity, key, random, ...(cid && { cid }) });
    this.#coap = new CoapEndpoint({ random, limits: { maxExchanges, maxBodies: 1, maxRequests } });
    this.#expiry = new Timer(world.clock);
    world.network.bind(address, (_, datagram) => this.#turn(now => this.#dtls.receive(now, datagram, this.#dtlsOut)));
  }

  get isConnected(): boolean {
    return this.#dtls.isConnected;
  }

  get isConnecting(): boolean {
    return !this.isConnected && this.#dtls.nextExpiry() !== undefined;
  }

  connect(): void {
    this.#turn(now => this.#dtls.connect(now, this.#dtlsOut));
  }

  /** What it asked is asked no more, and what comes for it is not heard. */
  forgetServer(): void {
    this.#turn(() => this.#coap.drop(this.#server, this.#coapOut));
    this.#server = (this.#server + 1) as Peer;
  }

  /** `undefined` if it asks too much already. */
  request(draft: RequestDraft): RequestHandle | undefined {
    let handle: RequestHandle | undefined;
    this.#turn(now => {
      handle = this.#coap.request(now, this.#server, draft, this.#coapOut);
    });
    return handle;
  }

  unobserve(handle: RequestHandle): void {
    this.#turn(now => this.#coap.unobserve(now, handle, this.#coapOut));
  }

  end(): void {
    this.#isOver = true;
    this.#expiry.disarm();
  }

  #turn(run: (now: Now) => void): void {
    if (this.#isOver) return;
    const { now } = this.#world.clock;
    run({ instant: now as Instant, wall: now as WallTime });
    const next = Math.min(this.#dtls.nextExpiry() ?? never, this.#coap.nextExpiry() ?? never);
    this.#expiry.arm(next, () =>
      this.#turn(later => {
        this.#dtls.expire(later, this.#dtlsOut);
        this.#coap.expire(later, this.#coapOut);
      }),
    );
  }

  readonly #dtlsOut: ClientOut = {
    transmit: datagram => this.#world.network.send(this.#address, serverAddress, datagram),
    connected: () => this.#hears.connected?.(),
    deliver: plaintext => this.#turn(now => this.#coap.receive(now, this.#server, plaintext, this.#coapOut)),
    closed: () => this.#hears.closed?.(),
  };

  readonly #coapOut: CoapOut = {
    transmit: (_, message) => this.#dtls.send(message, this.#dtlsOut),
    request() {},
    response: (handle, response, lasts) => this.#hears.response?.(handle, response, lasts),
    failed: (handle, fault) => this.#hears.failed?.(handle, fault),
    unobserved() {},
    notified() {},
    ponged() {},
    refused() {},
  };
}

export interface SimClientOptions extends Pick<ClientOptions, 'identity' | 'key'> {
  readonly random: SeededRandom;
  readonly cid?: Bytes;
  readonly maxExchanges: number;
  readonly maxRequests: number;
}

/** What its owner wants to know. */
export type SimClientHears = Partial<Pick<CoapOut, 'response' | 'failed'> & { connected(): void; closed(): void }>;

const never = Number.POSITIVE_INFINITY;
