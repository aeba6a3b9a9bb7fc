import { utf8 } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import { type Milliseconds, seconds } from '../../src/base/time.ts';
import type { StoredEvent } from '../../src/fleet/event.ts';
import type { EndpointName } from '../../src/fleet/names.ts';
import { MemoryAdmin } from '../support/memoryAdmin.ts';
import { MemoryDisk } from '../support/memoryDisk.ts';
import { Clock } from './clock.ts';
import { DiskFaults, type DiskOptions, promptDisk } from './disk.ts';
import { endOf } from './ending.ts';
import { Invariants } from './invariants.ts';
import { Journal } from './journal.ts';
import { type Address, calmNetwork, keyOf, Network, type NetworkFaults } from './network.ts';
import { NonceWatch } from './nonces.ts';
import { randomFor } from './randomFor.ts';
import { SimDevice, type SimDeviceOptions, type SimDeviceParts } from './simDevice.ts';
import { type Heard, SimOperator } from './simOperator.ts';
import { desirable, measured, SimResources } from './simResources.ts';
import { isServer, type ServerLimits, SimServer } from './simServer.ts';
import { Stranger } from './stranger.ts';
import { Thief } from './thief.ts';
import { type CommandKind, Wishes } from './wishes.ts';

/**
 * A server, its devices and whoever else is about, on a virtual clock, network and disk: the whole run is a function of
 * the options, and after each thing that happens the invariants are checked. A story is told with `at` and `runUntil`,
 * and ends with `check`.
 */
export class World {
  readonly clock = new Clock();
  readonly journal = new Journal(this.clock);
  readonly disk = new MemoryDisk();
  readonly admin = new MemoryAdmin(this.disk);
  readonly network: Network;
  readonly diskFaults: DiskFaults;
  /** Those with a good key. */
  readonly fleet: SimDevice[] = [];
  /** Those with a wrong key, or none that anybody knows. */
  readonly impostors: SimDevice[] = [];
  readonly strangers: Stranger[] = [];
  readonly thieves: Thief[] = [];
  readonly operators: SimOperator[] = [];
  readonly wishes: Wishes;
  readonly simServer: SimServer;
  readonly options: WorldOptions;
  /** Simulated hours of all devices together. */
  deviceHours = 0;
  events = 0;

  readonly #invariants: Invariants;
  readonly #random: SeededRandom;
  #checked = 0;
  #nextAddress = 1;
  #failed = false;

  constructor(options: WorldOptions) {
    this.options = options;
    const disk = { ...promptDisk, ...options.disk };
    const limits = { ...defaultServerLimits, ...options.limits };
    this.diskFaults = new DiskFaults(disk);
    this.#random = this.randomFor('world');
    this.network = new Network(this.clock, this.journal, { ...calmNetwork, ...options.network }, part =>
      this.randomFor(part),
    );
    this.network.replayWithin = to => (isServer(to) ? undefined : patienceOfDevices);
    const parts = {
      clock: this.clock,
      network: this.network,
      disk: this.disk,
      faults: this.diskFaults,
      randomFor: (part: string) => this.randomFor(part),
      written: (commit: Parameters<Invariants['written']>[0]) => this.#invariants.written(commit),
    };
    this.simServer = new SimServer(parts, limits, options.profile);
    const violated = (n: number, what: string) => this.violated(n, what);
    this.#invariants = new Invariants(this.disk, this.simServer, this.fleet, violated);
    this.wishes = new Wishes(
      this.disk,
      this.admin,
      this.fleet,
      peer => this.simServer.process?.dtls.knows(peer) === true,
      violated,
    );
    NonceWatch.begin(what => this.violated(5, what));
  }

  /** A source that only this part of the world draws from. */
  randomFor(part: string): SeededRandom {
    return randomFor(this.options.seed, part);
  }

  // Who is there.

  server(): this {
    this.simServer.start();
    return this;
  }

  /** They come one after the other within `options.within` milliseconds. */
  devices(count: number, options: DeviceOptions = {}): this {
    const { within = 0, ...rest } = options;
    for (let n = 0; n < count; n++) {
      const name = `device-${this.fleet.length + 1}`;
      const key = this.#random.bytes(16);
      this.admin.addCredential(this.simServer.wall, name as EndpointName, utf8(name), key);
      const device = this.#device({ lifetime: 300, ...rest, name, identity: utf8(name), key });
      this.fleet.push(device);
      this.clock.after(this.#random.fraction() * within, () => device.switchOn());
    }
    return this;
  }

  /** Devices that say they are one of the fleet, without its key; or somebody whom nobody knows. */
  addImpostors(count: number, options: DeviceOptions = {}): this {
    for (let n = 0; n < count; n++) {
      const name = n % 2 === 0 ? `device-${1 + this.#random.below(this.fleet.length)}` : `nobody-${n}`;
      const device = this.#device({
        lifetime: 300,
        ...options,
        name,
        identity: utf8(name),
        key: this.#random.bytes(16),
      });
      this.impostors.push(device);
      this.clock.after(this.#random.fraction() * seconds(60), () => device.switchOn());
    }
    return this;
  }

  /** Each sends something every so many milliseconds. */
  addStrangers(count: number, every: Milliseconds): this {
    for (let n = 0; n < count; n++) {
      const address = this.newAddress(strangeNet);
      this.strangers.push(new Stranger(this, address, this.randomFor(`stranger ${n}`), every));
    }
    const strangerAt = new Map(this.strangers.map(stranger => [keyOf(stranger.address), stranger]));
    this.network.sending = (from, to, datagram) => {
      if (isServer(from)) strangerAt.get(keyOf(to))?.answered(datagram);
      else if (!strangerAt.has(keyOf(from))) for (const stranger of this.strangers) stranger.overhear(datagram);
    };
    this.network.arriving = (from, datagram, arrive) => {
      const stranger = strangerAt.get(keyOf(from));
      if (stranger === undefined) return arrive();
      stranger.arrived(datagram);
      const before = this.simServer.process?.kept();
      arrive();
      const after = this.simServer.process?.kept();
      if (before === undefined || after === undefined) return;
      if (after > before) this.violated(6, `${keyOf(from)} has proved nothing, and something is kept for it`);
    };
    return this;
  }

  /** Each has a good key, and turns it on somebody else's registration every so many milliseconds. */
  addThieves(count: number, every: Milliseconds): this {
    for (let n = 0; n < count; n++) {
      const name = `thief-${this.thieves.length + 1}`;
      const key = this.#random.bytes(16);
      this.admin.addCredential(this.simServer.wall, name as EndpointName, utf8(name), key);
      const address = this.newAddress('192.0.2');
      this.thieves.push(new Thief(this, address, this.randomFor(name), utf8(name), key, every));
    }
    return this;
  }

  /** Each observes the lookup and last values of some devices, and asks anew every so many milliseconds. */
  addOperators(count: number, refreshes: Milliseconds): this {
    for (let n = 0; n < count; n++) {
      const name = `operator-${this.operators.length + 1}`;
      const key = this.#random.bytes(16);
      this.admin.addCredential(this.simServer.wall, name as EndpointName, utf8(name), key, 'operator');
      const random = this.randomFor(name);
      const device = this.fleet[random.below(this.fleet.length)]!;
      const observes = ['/rd-lookup/ep', `/device/${device.name}`, pathOf(device)];
      const address = this.newAddress('192.0.2');
      const operator = { name, identity: utf8(name), key, observes, refreshes };
      this.operators.push(new SimOperator(this, address, random, operator));
    }
    return this;
  }

  #device(options: SimDeviceOptions): SimDevice {
    const parts: SimDeviceParts = {
      resources: name => new SimResources(this.clock, this.wishes.witnessOf(name)),
      clock: this.clock,
      network: this.network,
      journal: this.journal,
      wall: () => this.simServer.wall,
    };
    return new SimDevice(parts, options, this.newAddress('192.0.2'), this.randomFor(`device ${this.#nextAddress}`));
  }

  newAddress(net: string): Address {
    const n = this.#nextAddress++;
    return { address: `${net}.${1 + (n % 250)}`, port: 1024 + (n % 64_000) };
  }

  // What happens.

  at<Name extends Happening>(time: Milliseconds, what: Name, ...args: Parameters<World[Name]>): this {
    this.clock.at(time, () => {
      this.journal.note(`${what} ${args.map(arg => JSON.stringify(arg)).join(' ')}`);
      (this[what] as (...args: Parameters<World[Name]>) => void)(...args);
    });
    return this;
  }

  /** Power fails at the server; it is back after `downtime`. */
  crash(downtime: Milliseconds = seconds(1), survivors?: number): void {
    this.#crash(true, downtime, survivors);
  }

  /** The server's process is killed, and its machine goes on. */
  kill(downtime: Milliseconds = seconds(1)): void {
    this.#crash(false, downtime);
  }

  /** The server dies right before one of its next outputs, in the midst of a turn. */
  dieWithin(outputs: number, downtime: Milliseconds = seconds(1), survivors?: number): void {
    this.simServer.dieWithin(outputs, () => this.#crash(true, downtime, survivors));
  }

  #crash(power: boolean, downtime: Milliseconds, survivors?: number): void {
    this.journal.note(power ? 'the server loses power' : 'the server is killed');
    this.simServer.kill(power, survivors);
    // What is left has to keep every promise already now.
    this.#invariants.everySecond(this.clock.now);
    this.clock.after(downtime, () => this.simServer.start());
  }

  /** Power fails at all devices; it is back at the same moment for all of them. */
  powerCut(downtime: Milliseconds): void {
    for (const device of this.fleet) device.switchOff();
    this.clock.after(downtime, () => {
      for (const device of this.fleet) device.switchOn();
    });
  }

  /** A share of the devices, or all, are seen from other addresses from now on. */
  rebind(share = 1): void {
    for (const device of this.fleet) {
      if (share === 1 || this.#random.fraction() < share) device.moveTo(this.newAddress('192.0.2'));
    }
  }

  /** A share of the devices cannot reach the server, nor it them. */
  partition(share: number): void {
    const cut = new Set(this.fleet.filter(() => this.#random.fraction() < share).map(({ address }) => keyOf(address)));
    this.network.isCutOff = address => !isServer(address) && cut.has(keyOf(address));
  }

  heal(): void {
    this.network.isCutOff = () => false;
  }

  setNetwork(faults: Partial<NetworkFaults>): void {
    this.network.faults = { ...this.network.faults, ...faults };
  }

  setDisk(faults: Partial<DiskOptions>): void {
    this.diskFaults.options = { ...this.diskFaults.options, ...faults };
  }

  fillDisk(): void {
    this.diskFaults.isFull = true;
  }

  freeDisk(): void {
    this.diskFaults.isFull = false;
  }

  stepWall(by: Milliseconds): void {
    this.#invariants.everySecond(this.clock.now);
    this.simServer.wallOffset += by;
    for (const device of this.fleet) device.wallStepped();
    this.#invariants.everySecond(this.clock.now);
  }

  /** A device gets another identity and key; what it had is revoked. */
  rotate(index: number): void {
    const device = this.fleet[index % this.fleet.length]!;
    const identity = utf8(`${device.name}/${this.journal.digest}`);
    const key = this.#random.bytes(16);
    const before = device.identity;
    this.admin.addCredential(this.simServer.wall, device.name as EndpointName, identity, key);
    device.rekey(identity, key);
    const revoked = this.admin.revoke(this.simServer.wall, before);
    if (revoked === undefined) return;
    this.simServer.foreign(revoked);
    this.#invariants.revoked(before, this.clock.now);
  }

  /** The operator removes a device's registration. */
  forget(index: number): void {
    const device = this.fleet[index % this.fleet.length]!;
    const { process } = this.simServer;
    const row = this.disk.names.get(`\0${device.name}`)?.row;
    if (process === undefined || row === undefined) return;
    device.forgotten();
    this.#tell(this.admin.forget(this.simServer.wall, process.service.rules, row));
  }

  // What operators want of devices that can be managed.

  command(index: number, kind: CommandKind, patience: Milliseconds): void {
    this.#tell(this.wishes.command(this.simServer.wall, this.#managed(index), kind, patience));
  }

  cancelCommand(index: number): void {
    this.#tell(this.wishes.cancel(this.simServer.wall, this.#managed(index)));
  }

  desire(index: number, isSet: boolean): void {
    const path = desirable[index % desirable.length]!;
    this.#tell(this.wishes.desire(this.simServer.wall, this.#managed(index >> 1), path, isSet));
  }

  observe(index: number, isSet: boolean): void {
    this.#tell(this.wishes.observe(this.simServer.wall, this.#managed(index), isSet));
  }

  /** An operator was told something: of what a device measures, never what it did not. */
  told(path: string, { code, text }: Heard): void {
    const device = this.fleet.find(one => pathOf(one) === path);
    if (device === undefined || code !== '2.05') return;
    if (device.resources?.heldUntil(measured, Number(text)) === undefined) {
      this.violated(14, `an operator is told that ${device.name} measures ${text}`);
    }
  }

  #managed(index: number): SimDevice {
    return this.fleet[index % this.fleet.length]!;
  }

  #tell(event: StoredEvent | undefined): void {
    if (event !== undefined) this.simServer.foreign(event);
  }

  // How time passes.

  /** Lets the next thing happen. */
  step(): void {
    const second = Math.floor(this.clock.next() / 1000);
    if (second > this.#checked) {
      this.#checked = second;
      this.lookAround();
    }
    this.guarded(() => this.clock.step());
    this.events++;
    this.#invariants.capacities();
  }

  runUntil(time: Milliseconds): this {
    const from = this.clock.now;
    while (this.clock.next() <= time) this.step();
    this.clock.now = Math.max(this.clock.now, time);
    this.deviceHours += (this.fleet.length * (time - from)) / 3_600_000;
    return this;
  }

  /** How a story ends, see `endOf`; `bound` is the time that everybody has to be registered again. */
  check(bound?: Milliseconds): this {
    endOf(this, bound);
    return this;
  }

  /** What is looked at each second. */
  lookAround(): void {
    this.guarded(() => {
      this.#invariants.everySecond(this.clock.now);
      this.wishes.everySecond();
    });
  }

  /** Whatever throws here breaks the world. */
  guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (error instanceof Violation) throw error;
      this.violated(0, error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }

  violated(invariant: number, what: string): never {
    if (this.#failed) throw new Violation(invariant, what, []);
    this.#failed = true;
    throw new Violation(invariant, what, this.journal.last(60), this.options.replay);
  }
}

/** What an invariant has to say, and the conversation that led to it. `0`: something threw. */
export class Violation extends Error {
  readonly invariant: number;

  constructor(invariant: number, what: string, conversation: readonly string[], replay?: string) {
    const how = replay === undefined ? '' : `\nreplay: ${replay}`;
    super(`invariant ${invariant}: ${what}\n${conversation.join('\n')}${how}`);
    this.name = 'Violation';
    this.invariant = invariant;
  }
}

export interface WorldOptions {
  readonly seed: number;
  readonly network?: Partial<NetworkFaults>;
  readonly disk?: Partial<DiskOptions>;
  readonly limits?: Partial<ServerLimits>;
  /** What devices are given when they register, as a file says it. */
  readonly profile?: string | undefined;
  /** The command that runs it again. */
  readonly replay?: string;
}

export type DeviceOptions = Partial<Omit<SimDeviceOptions, 'name' | 'identity' | 'key'>> & {
  readonly within?: Milliseconds;
};

function pathOf({ name }: SimDevice): string {
  return `/device/${name}${measured}`;
}

/**
 * How long a datagram to a device may be held back. A device takes a request for new that comes for the first time, or
 * again after EXCHANGE_LIFETIME, however late it is: against whoever holds it back for longer than the server waits for the
 * answer only the device can do something, with Echo (RFC 9175 §2).
 */
const patienceOfDevices = seconds(30);
const strangeNet = '203.0.113';

type Happening =
  | 'crash'
  | 'kill'
  | 'dieWithin'
  | 'powerCut'
  | 'rebind'
  | 'partition'
  | 'heal'
  | 'setNetwork'
  | 'setDisk'
  | 'fillDisk'
  | 'freeDisk'
  | 'stepWall'
  | 'rotate'
  | 'forget'
  | 'addStrangers'
  | 'addImpostors'
  | 'addThieves'
  | 'addOperators'
  | 'command'
  | 'cancelCommand'
  | 'desire'
  | 'observe';

const defaultServerLimits: ServerLimits = {
  dtls: { maxAssociations: 256, maxHandshakes: 256, maxHandshakesPerNetwork: 256 },
  coap: { maxExchanges: 4096 },
  plainPeers: 256,
  insecureCoap: false,
  resumption: true,
};
