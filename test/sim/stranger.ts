import type { Bytes } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import type { Instant, Milliseconds, WallTime } from '../../src/base/time.ts';
import { DtlsClient } from '../../src/dtls/client.ts';
import { ContentType } from '../../src/dtls/codec/record.ts';
import { Timer } from './clock.ts';
import { type Address, keyOf } from './network.ts';
import { serverAddress } from './simServer.ts';
import type { World } from './world.ts';

/**
 * Somebody who never proves an address: sends hellos without a cookie, junk, and what was heard of others. Invariant 6:
 * no state for it, and never more bytes back than it sent; three times as many where it repeats a protected record that
 * the server has not seen, since then it may be a device that moved.
 */
export class Stranger {
  readonly #world: World;
  readonly address: Address;
  readonly #random: SeededRandom;
  readonly #timer: Timer;
  readonly #every: Milliseconds;
  #arrived = 0;
  #answered = 0;
  /** What it overheard last. */
  readonly #heard: Bytes[] = [];

  constructor(world: World, address: Address, random: SeededRandom, every: Milliseconds) {
    this.#world = world;
    this.address = address;
    this.#random = random;
    this.#every = every;
    this.#timer = new Timer(world.clock);
    this.#next();
  }

  end(): void {
    this.#timer.disarm();
  }

  #next(): void {
    this.#timer.arm(this.#world.clock.now + this.#every * (0.5 + this.#random.fraction()), () => {
      this.#world.network.send(this.address, serverAddress, this.#draw());
      this.#next();
    });
  }

  #draw(): Bytes {
    const heard = this.#heard[this.#random.below(Math.max(1, this.#heard.length))];
    const kind = this.#random.below(4);
    if (kind === 0 || heard === undefined) return this.#hello();
    if (kind === 1) return this.#random.bytes(this.#random.below(200));
    if (kind === 2) return heard.slice(0, this.#random.below(heard.length + 1));
    return heard;
  }

  /** What came from here to the server. */
  arrived(datagram: Bytes): void {
    this.#arrived += datagram.length * (datagram[0] === ContentType.tls12Cid ? 3 : 1);
  }

  /** What the server sends here. */
  answered(datagram: Bytes): void {
    this.#answered += datagram.length;
    if (this.#answered <= this.#arrived) return;
    this.#world.violated(6, `${keyOf(this.address)} may get ${this.#arrived} bytes, and ${this.#answered} go there`);
  }

  #hello(): Bytes {
    let hello: Bytes = new Uint8Array(0);
    const now = { instant: 0 as Instant, wall: 0 as WallTime };
    const client = new DtlsClient({ identity: new Uint8Array(1), key: new Uint8Array(1), random: this.#random });
    client.connect(now, {
      transmit: datagram => (hello = datagram.slice()),
      connected() {},
      deliver() {},
      closed() {},
    });
    return hello;
  }

  /** What devices say to the server, whether it arrives there or not. */
  overhear(datagram: Bytes): void {
    if (this.#random.fraction() > attention) return;
    this.#heard.push(datagram.slice());
    if (this.#heard.length > remembered) this.#heard.shift();
  }
}

/** How many of the datagrams it hears it keeps, and how many at most. */
const attention = 0.1;
const remembered = 32;
