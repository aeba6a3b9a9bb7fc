import { type Bytes, noBytes, textOf, toHex } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import { type Milliseconds, seconds } from '../../src/base/time.ts';
import { codeText, Method } from '../../src/coap/codec/code.ts';
import { Observe, Options, UriPath } from '../../src/coap/codec/option.ts';
import type { RequestHandle } from '../../src/coap/exchange.ts';
import { Timer } from './clock.ts';
import type { Address } from './network.ts';
import { SimClient, type SimClientHears } from './simClient.ts';
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
  readonly #random: SeededRandom;
  readonly #client: SimClient;
  readonly #next: Timer;
  readonly #options: SimOperatorOptions;
  readonly #asked = new Map<RequestHandle, (heard: Heard) => void>();
  readonly #observing = new Map<string, RequestHandle>();

  constructor(world: World, address: Address, random: SeededRandom, options: SimOperatorOptions) {
    this.#world = world;
    this.name = options.name;
    this.#random = random;
    this.#options = options;
    const { identity, key } = options;
    const limits = { maxExchanges: 64, maxRequests: 64 };
    this.#client = new SimClient(world, address, { identity, key, random, cid: noBytes, ...limits }, this.#hears);
    this.#next = new Timer(world.clock);
    this.#later(0, () => this.#connect());
  }

  get isConnected(): boolean {
    return this.#client.isConnected;
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
    this.#client.end();
    this.#next.disarm();
  }

  #connect(): void {
    this.#client.forgetServer();
    this.#asked.clear();
    this.#observing.clear();
    this.#client.connect();
  }

  /** All of it, in a while again. */
  #observe(): void {
    for (const path of this.#options.observes) {
      const before = this.#observing.get(path);
      if (before !== undefined) {
        this.#asked.delete(before);
        this.#client.unobserve(before);
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
    const handle = this.#client.request({ code: Method.GET, options, payload: noBytes, observe });
    if (handle !== undefined) this.#asked.set(handle, hear);
    return handle;
  }

  #later(span: Milliseconds, run: () => void): void {
    this.#next.disarm();
    this.#next.arm(this.#world.clock.now + span, run);
  }

  readonly #hears: SimClientHears = {
    connected: () => this.#later(0, () => this.#observe()),
    closed: () => this.#later(seconds(1) + seconds(30) * this.#random.fraction(), () => this.#connect()),
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
