import { type Bytes, noBytes } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import type { Instant, Milliseconds, Now, WallTime } from '../../src/base/time.ts';
import { Method } from '../../src/coap/codec/code.ts';
import { ContentFormats } from '../../src/coap/codec/contentFormat.ts';
import { ContentFormat, Options, UriPath } from '../../src/coap/codec/option.ts';
import { CoapEndpoint } from '../../src/coap/endpoint.ts';
import type { CoapOut } from '../../src/coap/out.ts';
import { type ClientOut, DtlsClient } from '../../src/dtls/client.ts';
import { writeRegistrationMap } from '../../src/lwm2m/writeRegistrationMap.ts';
import { Timer } from './clock.ts';
import type { Address } from './network.ts';
import type { SimDevice } from './simDevice.ts';
import { serverAddress } from './simServer.ts';
import type { World } from './world.ts';

/**
 * Somebody with a good key of its own, who uses its session on what belongs to others: updates and removes their
 * registrations, and registers under their names. Invariant 3 is what must hold against it.
 */
export class Thief {
  readonly #world: World;
  readonly #address: Address;
  readonly #random: SeededRandom;
  readonly #dtls: DtlsClient;
  readonly #coap: CoapEndpoint;
  readonly #expiry: Timer;
  readonly #next: Timer;
  #isOver = false;

  constructor(world: World, address: Address, random: SeededRandom, identity: Bytes, key: Bytes, every: Milliseconds) {
    this.#world = world;
    this.#address = address;
    this.#random = random;
    this.#dtls = new DtlsClient({ identity, key, random });
    this.#coap = new CoapEndpoint({ random, limits: { maxExchanges: 16, maxBodies: 1, maxRequests: 4 } });
    this.#expiry = new Timer(world.clock);
    this.#next = new Timer(world.clock);
    world.network.bind(address, (_, datagram) => this.#turn(now => this.#dtls.receive(now, datagram, this.#dtlsOut)));
    this.#goOn(every);
  }

  end(): void {
    this.#isOver = true;
    this.#expiry.disarm();
    this.#next.disarm();
  }

  #goOn(every: Milliseconds): void {
    this.#next.arm(this.#world.clock.now + every * (0.5 + this.#random.fraction()), () => {
      if (this.#dtls.isConnected) this.#steal();
      else if (this.#dtls.nextExpiry() === undefined) this.#turn(now => this.#dtls.connect(now, this.#dtlsOut));
      this.#goOn(every);
    });
  }

  #steal(): void {
    const { fleet } = this.#world;
    const victim = fleet[this.#random.below(fleet.length)]!;
    const path = this.#random.fraction() < 0.3 ? ['rd'] : victim.promise?.location.split('/').slice(1);
    if (path === undefined) return;
    const options = path.reduce((all, segment) => all.with(UriPath, segment), Options.empty);
    const draft =
      path.length > 1
        ? { code: this.#random.fraction() < 0.5 ? Method.POST : Method.DELETE, options, payload: noBytes }
        : { code: Method.POST, options: options.with(ContentFormat, ContentFormats.cbor), payload: claimOf(victim) };
    this.#turn(now => this.#coap.request(now, server, draft, this.#coapOut));
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
    connected() {},
    deliver: plaintext => this.#turn(now => this.#coap.receive(now, server, plaintext, this.#coapOut)),
    closed() {},
  };

  readonly #coapOut: CoapOut = {
    transmit: (_, message) => this.#dtls.send(message, this.#dtlsOut),
    request() {},
    response() {},
    failed() {},
    unobserved() {},
    notified() {},
    ponged() {},
    refused() {},
  };
}

function claimOf(victim: SimDevice): Bytes {
  return writeRegistrationMap({ endpoint: victim.name, lifetime: 60, version: [1, 1] }, 'compact');
}

const server = 1 as Peer;
const never = Number.POSITIVE_INFINITY;
