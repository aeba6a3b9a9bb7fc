import { type Bytes, noBytes, textOf, toHex } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import { type Instant, type Milliseconds, type Now, seconds, type WallTime } from '../../src/base/time.ts';
import { codeText, Method } from '../../src/coap/codec/code.ts';
import { Observe, Options, UriPath } from '../../src/coap/codec/option.ts';
import { CoapEndpoint } from '../../src/coap/endpoint.ts';
import type { RequestHandle } from '../../src/coap/exchange.ts';
import type { CoapOut } from '../../src/coap/out.ts';
import { type ClientOut, DtlsClient } from '../../src/dtls/client.ts';
import { Timer } from './clock.ts';
import type { Address } from './network.ts';
import { serverAddress } from './simServer.ts';
import type { World } from './world.ts';

/**
 * An operator's client: observes lookups and last values over a session of its own, comes back when that ends, and asks
 * anew now and then, since a notification may be lost and a server that was started again knows of no observer.
 */
export class SimOperator {
  readonly name: string;
  /** The newest that it heard of each thing it observes. */
  readonly heard = new Map<string, Heard>();
  readonly #world: World;
  readonly #address: Address;
  readonly #random: SeededRandom;
  readonly #dtls: DtlsClient;
  readonly #coap: CoapEndpoint;
  readonly #expiry: Timer;
  readonly #next: Timer;
  readonly #options: SimOperatorOptions;
  readonly #asked = new Map<RequestHandle, (heard: Heard) => void>();
  readonly #observing = new Map<string, RequestHandle>();
  /** Another one for each session. */
  #server = 1 as Peer;
  #isOver = false;

  constructor(world: World, address: Address, random: SeededRandom, options: SimOperatorOptions) {
    this.#world = world;
    this.name = options.name;
    this.#address = address;
    this.#random = random;
    this.#options = options;
    this.#dtls = new DtlsClient({ identity: options.identity, key: options.key, random, cid: noBytes });
    this.#coap = new CoapEndpoint({ random, limits: { maxExchanges: 64, maxBodies: 1, maxRequests: 64 } });
    this.#expiry = new Timer(world.clock);
    this.#next = new Timer(world.clock);
    world.network.bind(address, (_, datagram) => this.#turn(now => this.#dtls.receive(now, datagram, this.#dtlsOut)));
    this.#later(0, () => this.#connect());
  }

  get isConnected(): boolean {
    return this.#dtls.isConnected;
  }

  /** Asks once, without observing; `undefined` until the answer is there. */
  ask(path: string): { readonly answer: Heard | undefined } {
    const asked: { answer: Heard | undefined } = { answer: undefined };
    this.#get(path, false, heard => {
      asked.answer = heard;
    });
    return asked;
  }

  end(): void {
    this.#isOver = true;
    this.#expiry.disarm();
    this.#next.disarm();
  }

  #connect(): void {
    this.#turn(now => {
      this.#forgetServer(now);
      this.#dtls.connect(now, this.#dtlsOut);
    });
  }

  /** All of it, in a while again. */
  #observe(): void {
    for (const path of this.#options.observes) {
      const before = this.#observing.get(path);
      if (before !== undefined) {
        this.#asked.delete(before);
        this.#turn(now => this.#coap.unobserve(now, before, this.#coapOut));
      }
      const handle = this.#get(path, true, heard => this.#hear(path, heard));
      if (handle !== undefined) this.#observing.set(path, handle);
    }
    this.#later(this.#options.refreshes * (0.75 + 0.5 * this.#random.fraction()), () => this.#observe());
  }

  #hear(path: string, heard: Heard): void {
    this.#world.journal.note(`${this.name}: ${path} ${heard.code} ${heard.text}`);
    this.heard.set(path, heard);
    // Nothing of what it is told may be what nobody has said.
    this.#world.told(path, heard);
  }

  #get(path: string, observe: boolean, hear: (heard: Heard) => void): RequestHandle | undefined {
    const options = path
      .split('/')
      .slice(1)
      .reduce((all, segment) => all.with(UriPath, segment), Options.empty);
    let handle: RequestHandle | undefined;
    this.#turn(now => {
      const draft = { code: Method.GET, options, payload: noBytes, observe };
      handle = this.#coap.request(now, this.#server, draft, this.#coapOut);
    });
    if (handle !== undefined) this.#asked.set(handle, hear);
    return handle;
  }

  #forgetServer(now: Now): void {
    void now;
    this.#coap.drop(this.#server, this.#coapOut);
    this.#server = (this.#server + 1) as Peer;
    this.#asked.clear();
    this.#observing.clear();
  }

  #later(span: Milliseconds, run: () => void): void {
    this.#next.disarm();
    this.#next.arm(this.#world.clock.now + span, run);
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
    connected: () => this.#later(0, () => this.#observe()),
    deliver: plaintext => this.#turn(now => this.#coap.receive(now, this.#server, plaintext, this.#coapOut)),
    closed: () => this.#later(seconds(1) + seconds(30) * this.#random.fraction(), () => this.#connect()),
  };

  readonly #coapOut: CoapOut = {
    transmit: (_, message) => this.#dtls.send(message, this.#dtlsOut),
    request() {},
    response: (handle, { code, options, payload }, lasts) => {
      const hear = this.#asked.get(handle);
      if (!lasts) this.#asked.delete(handle);
      const text = textOf(payload.slice()) ?? toHex(payload);
      hear?.({ code: codeText(code), isObserved: options.has(Observe), text });
    },
    failed: (handle, fault) => {
      const wasAsked = this.#asked.delete(handle);
      // A server that does not answer at all may have lost the session: only a new one tells.
      if (wasAsked && fault === 'timeout') this.#later(seconds(30) * this.#random.fraction(), () => this.#connect());
    },
    unobserved() {},
    notified() {},
    ponged() {},
    refused() {},
  };
}

export interface Heard {
  readonly code: string;
  readonly isObserved: boolean;
  /** Of the payload; what is no text is hexadecimal. */
  readonly text: string;
}

export interface SimOperatorOptions {
  readonly name: string;
  readonly identity: Bytes;
  readonly key: Bytes;
  /** Paths. */
  readonly observes: readonly string[];
  readonly refreshes: Milliseconds;
}

const never = Number.POSITIVE_INFINITY;
