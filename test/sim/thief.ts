import { type Bytes, noBytes } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import type { Milliseconds } from '../../src/base/time.ts';
import { Method } from '../../src/coap/codec/code.ts';
import { ContentFormats } from '../../src/coap/codec/contentFormat.ts';
import { ContentFormat, Options, UriPath } from '../../src/coap/codec/option.ts';
import { writeRegistrationMap } from '../../src/lwm2m/writeRegistrationMap.ts';
import { Timer } from './clock.ts';
import type { Address } from './network.ts';
import { SimClient } from './simClient.ts';
import type { SimDevice } from './simDevice.ts';
import type { World } from './world.ts';

/**
 * Somebody with a good key of its own, who uses its session on what belongs to others: updates and removes their
 * registrations, and registers under their names. Invariant 3 is what must hold against it.
 */
export class Thief {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #client: SimClient;
  readonly #next: Timer;

  constructor(world: World, address: Address, random: SeededRandom, identity: Bytes, key: Bytes, every: Milliseconds) {
    this.#world = world;
    this.#random = random;
    this.#client = new SimClient(world, address, { identity, key, random, maxExchanges: 16, maxRequests: 4 });
    this.#next = new Timer(world.clock);
    this.#goOn(every);
  }

  end(): void {
    this.#client.end();
    this.#next.disarm();
  }

  #goOn(every: Milliseconds): void {
    this.#next.arm(this.#world.clock.now + every * (0.5 + this.#random.fraction()), () => {
      if (this.#client.isConnected) this.#steal();
      else if (!this.#client.isConnecting) this.#client.connect();
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
    this.#client.request(draft);
  }
}

function claimOf(victim: SimDevice): Bytes {
  return writeRegistrationMap({ endpoint: victim.name, lifetime: 60, version: [1, 1] }, 'compact');
}
