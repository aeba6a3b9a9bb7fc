import type { Bytes } from '../../src/base/bytes.ts';
import type { RandomSource, SeededRandom } from '../../src/base/random.ts';
import { type Instant, type Milliseconds, type Now, seconds, type WallTime } from '../../src/base/time.ts';
import { codeText, ResponseCode } from '../../src/coap/codec/code.ts';
import { ContentFormats } from '../../src/coap/codec/contentFormat.ts';
import { type Asked, Device, type DeviceOut } from '../../src/device/device.ts';
import type { ClientSession } from '../../src/dtls/clientStep.ts';
import type { MapContent } from '../../src/lwm2m/writeRegistrationMap.ts';
import { type Clock, Timer } from './clock.ts';
import type { Journal } from './journal.ts';
import type { Address, Network } from './network.ts';
import { measured, type SimResources } from './simResources.ts';
import { serverAddress } from './simServer.ts';

/**
 * A device of a world: the real machine, and somebody who behaves like firmware around it. It wants to be registered;
 * what fails it tries again, after a while, from one step further back.
 */
export class SimDevice {
  readonly name: string;
  readonly options: SimDeviceOptions;
  /** Where the network sees it; a NAT may change it. */
  address: Address;
  /** What it was told and may rely on. */
  promise: Promised | undefined;
  /** How often it asked for each, retransmissions not counted. */
  readonly asked: Record<Asked, number> = { register: 0, update: 0, deregister: 0, send: 0 };
  readonly answers: Record<string, number> = {};
  handshakes = 0;
  /** How many of them went on with an earlier session. */
  resumed = 0;
  /** When the server last said that it is registered. */
  registeredAt: Milliseconds | undefined;

  /** What the server may read, write, execute and observe; `undefined` if it has nothing of that. */
  readonly resources: SimResources | undefined;

  readonly #parts: SimDeviceParts;
  readonly #random: SeededRandom;
  readonly #expiry: Timer;
  readonly #next: Timer;
  readonly #measuring: Timer;
  #identity: Bytes;
  #key: Bytes;
  #machine: Device;
  #isOn = false;
  #isConnected = false;
  #isSettled = false;
  #underWay: { readonly what: Asked; readonly lifetime: number; wall: WallTime; isVoid: boolean } | undefined;
  #failures = 0;
  #lifetime: number;

  constructor(parts: SimDeviceParts, options: SimDeviceOptions, address: Address, random: SeededRandom) {
    this.#parts = parts;
    this.options = options;
    this.name = options.name;
    this.address = address;
    this.#random = random;
    this.#expiry = new Timer(parts.clock);
    this.#next = new Timer(parts.clock);
    this.#measuring = new Timer(parts.clock);
    this.resources = options.manages === undefined ? undefined : parts.resources(options.name);
    this.#identity = options.identity;
    this.#key = options.key;
    this.#lifetime = options.lifetime;
    this.#machine = this.#newMachine();
    parts.network.bind(address, (_, datagram) => this.#receive(datagram));
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Whether its machine waits for nothing. */
  get isIdle(): boolean {
    return this.#machine.nextExpiry() === undefined;
  }

  /** Whether it can be asked at any time, and has been, for it has not only just come back. */
  get listens(): boolean {
    const hasJustCome = this.#parts.clock.now < (this.registeredAt ?? 0) + seconds(5);
    return this.#isConnected && this.options.manages?.awake === undefined && !hasJustCome;
  }

  get identity(): Bytes {
    return this.#identity;
  }

  /** In seconds, as it asked for it last. */
  get lifetime(): number {
    return this.#lifetime;
  }

  /** Power is there, with no memory of what was before, but for its DTLS session if it keeps that. */
  switchOn(): void {
    if (this.#isOn) return;
    this.#isOn = true;
    this.#failures = 0;
    if (this.options.manages?.forgetful === true) this.resources?.forget();
    this.#machine = this.#newMachine(this.options.keepsSession === true ? this.#machine.session : undefined);
    this.#isConnected = false;
    this.#connect();
    this.#measure();
  }

  /** Without a word to anybody. */
  switchOff(): void {
    this.#isOn = false;
    this.#isConnected = false;
    this.#underWay = undefined;
    this.#expiry.disarm();
    this.#next.disarm();
    this.#measuring.disarm();
  }

  /** Operators gave it another identity and key. */
  rekey(identity: Bytes, key: Bytes): void {
    this.#identity = identity;
    this.#key = key;
    if (!this.#isOn) return;
    this.switchOff();
    this.switchOn();
  }

  /** From now on the network sees it there. */
  moveTo(address: Address): void {
    const { network } = this.#parts;
    network.release(this.address);
    this.address = address;
    network.bind(address, (_, datagram) => this.#receive(datagram));
  }

  /** The server's wall clock was set: what is under way may be decided with the earlier of both times. */
  wallStepped(): void {
    if (this.#underWay === undefined) return;
    const wall = this.#parts.wall();
    this.#underWay.wall = Math.min(this.#underWay.wall, wall) as WallTime;
    this.#promiseAtMost(this.#underWay.wall, this.#underWay.lifetime);
  }

  /** An operator removed its registration: what it was told is void, and so is what it is about to be told. */
  forgotten(): void {
    this.promise = undefined;
    if (this.#underWay !== undefined) this.#underWay.isVoid = true;
  }

  /** Leaves the registry properly, once it can. */
  leave(): void {
    if (!this.#isOn || !this.#isConnected || this.#underWay !== undefined || this.#machine.location === undefined)
      return;
    this.#next.disarm();
    this.#ask('deregister');
  }

  /** From now on it does nothing of itself but to update, so that what it is asked has the time to be done. */
  settle(): void {
    this.#isSettled = true;
  }

  /** What it measures stays as it is from now on. */
  hold(): void {
    this.#measuring.disarm();
  }

  #measure(): void {
    const every = this.options.manages?.measures;
    if (this.resources === undefined || every === undefined) return;
    this.#measuring.arm(this.#parts.clock.now + every * (0.5 + this.#random.fraction()), () => {
      const { resources } = this;
      this.#turn(() => this.#machine.set(this.#now(), measured, resources!.measure(), this.#out));
      resources!.changed(measured);
      this.#measure();
    });
  }

  #newMachine(session?: ClientSession): Device {
    const { cid, firstTimeout, manages } = this.options;
    return new Device({
      random: this.#machineRandom(),
      dtls: {
        identity: this.#identity,
        key: this.#key,
        session,
        ...(cid === undefined ? {} : { cid }),
        ...(firstTimeout === undefined ? {} : { firstTimeout }),
      },
      ...(this.resources === undefined ? {} : { objects: this.resources.objects }),
      behaviour: {
        ...(manages?.awake === undefined ? {} : { awake: seconds(manages.awake) }),
        confirmable: manages?.confirmable === true,
      },
    });
  }

  /** CoAP draws its first message ID as a fraction; other fractions only spread its timers. */
  #machineRandom(): RandomSource {
    const random = this.#random.fork();
    const { firstMessageId } = this.options;
    if (firstMessageId === undefined) return random;
    return { bytes: length => random.bytes(length), fraction: () => (firstMessageId + 0.5) / 0x1_0000 };
  }

  #connect(): void {
    this.#isConnected = false;
    this.#underWay = undefined;
    this.handshakes++;
    this.#turn(() => this.#machine.connect(this.#now(), this.#out));
  }

  #receive(datagram: Bytes): void {
    if (this.#isOn) this.#turn(() => this.#machine.receive(this.#now(), datagram, this.#out));
  }

  #turn(run: () => void): void {
    run();
    const next = this.#isOn ? (this.#machine.nextExpiry() ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
    this.#expiry.arm(next, () => this.#turn(() => this.#machine.expire(this.#now(), this.#out)));
  }

  readonly #out: DeviceOut = {
    transmit: datagram => this.#parts.network.send(this.address, serverAddress, datagram),
    connected: resumed => {
      this.#isConnected = true;
      if (resumed) this.resumed++;
      // In a turn of its own: the machine is in the midst of one.
      this.#later(0, () => this.#ask(this.#machine.location === undefined ? 'register' : 'update'));
    },
    answered: (what, code) => this.#answered(what, code),
    failed: (what, fault) => {
      this.#parts.journal.note(`${this.name}: ${what} failed, ${fault}`);
      this.#underWay = undefined;
      if (this.#isOn) this.#tryAgain(() => this.#connect());
    },
    closed: reason => {
      this.#parts.journal.note(`${this.name}: closed, ${reason}`);
      this.#isConnected = false;
      if (this.#isOn) this.#tryAgain(() => this.#connect());
    },
    executed: (_, args) => this.resources?.executed(args),
    written: paths => this.resources?.written(paths),
  };

  #ask(what: Asked): void {
    const wall = this.#parts.wall();
    this.#parts.journal.note(`${this.name}: asks ${what}`);
    if (what === 'register') this.#lifetime = this.#drawLifetime();
    this.asked[what]++;
    this.#underWay = { what, lifetime: this.#lifetime, wall, isVoid: false };
    if (what === 'deregister') this.promise = undefined;
    else if (what !== 'send') this.#promiseAtMost(wall, this.#lifetime);
    this.#turn(() => {
      const now = this.#now();
      if (what === 'register') this.#machine.register(now, this.#registration(), this.#out);
      else if (what === 'update') this.#machine.update(now, undefined, this.#out);
      else if (what === 'send') this.#machine.send(now, [measured], ContentFormats.senmlCbor, this.#out);
      else this.#machine.deregister(now, this.#out);
    });
  }

  #answered(what: Asked, code: number): void {
    const text = codeText(code);
    this.#parts.journal.note(`${this.name}: ${what} answered ${text}`);
    this.answers[text] = (this.answers[text] ?? 0) + 1;
    const underWay = this.#underWay;
    this.#underWay = undefined;
    if (underWay === undefined) return;
    if (what === 'send' && code === ResponseCode.Changed) this.#rest();
    else if (code === ResponseCode.Created || code === ResponseCode.Changed) {
      this.#failures = 0;
      this.registeredAt = this.#parts.clock.now;
      const until = (underWay.wall + seconds(underWay.lifetime)) as WallTime;
      if (!underWay.isVoid) this.promise = { location: this.#machine.location!, until };
      this.#rest();
    } else if (code === ResponseCode.Deleted) {
      this.#later(this.#random.fraction() * seconds(60), () => this.#ask('register'));
    } else if (what === 'update' && code === ResponseCode.NotFound) {
      // In the session that it has: in a while somebody else may have its place.
      this.#later(0, () => this.#ask('register'));
    } else if (code === ResponseCode.ServiceUnavailable) this.#tryAgain(() => this.#ask(what));
    else this.#tryAgain(() => this.#ask('register'));
  }

  /** Registered: until the next update it sleeps, with or without its session, or does what devices do now and then. */
  #rest(): void {
    const { sleepy = 0, manages } = this.options;
    const restless = this.#isSettled ? 0 : (this.options.restless ?? 0);
    if (manages !== undefined && !this.#isSettled && this.#random.fraction() < manages.sends) {
      return this.#later(this.#random.fraction() * seconds(60), () => this.#ask('send'));
    }
    if (restless > 0 && this.#random.fraction() < restless) {
      const pause = this.#random.fraction() * seconds(60);
      return this.#later(pause, () => {
        if (this.#random.fraction() < 0.5) this.#ask('deregister');
        else {
          this.switchOff();
          this.switchOn();
        }
      });
    }
    const sleeps = (0.5 + 0.4 * this.#random.fraction()) * seconds(this.#lifetime);
    if (sleepy > 0 && this.#random.fraction() < sleepy) {
      // Whoever can be told something listens for a while before it sleeps.
      this.#later(manages === undefined ? 0 : manages.lingers, () => {
        this.#isConnected = false;
        this.#turn(() => this.#machine.close(this.#now(), this.#out));
        this.#later(sleeps, () => this.#connect());
      });
    } else this.#later(sleeps, () => this.#ask('update'));
  }

  /** After a while that grows, so that a server that comes back is not run over. */
  #tryAgain(what: () => void): void {
    const pause = Math.min(this.options.longestPause ?? seconds(60), seconds(1) * 2 ** this.#failures++);
    this.#later(pause * (0.5 + this.#random.fraction()), what);
  }

  #later(span: Milliseconds, what: () => void): void {
    this.#next.disarm();
    this.#next.arm(this.#parts.clock.now + span, () => {
      if (this.#isOn) what();
    });
  }

  /** While this is under way the server may have decided on it already, or will later: no more than that is sure. */
  #promiseAtMost(wall: WallTime, lifetime: number): void {
    if (this.promise === undefined) return;
    const until = Math.min(this.promise.until, wall + seconds(lifetime)) as WallTime;
    this.promise = { ...this.promise, until };
  }

  #registration(): MapContent {
    const awake = this.options.manages?.awake;
    return {
      endpoint: this.name,
      lifetime: this.#lifetime,
      version: [1, 1],
      queueMode: awake !== undefined,
      description: {
        // What it has to be managed, the machine says itself.
        ...(this.resources === undefined ? { objects: [{ id: 3, version: undefined, instances: [0] }] } : {}),
        ...(awake === undefined ? {} : { awake }),
        metadata: { serial: this.name },
        links: Array.from({ length: this.options.links ?? 0 }, (_, n) => ({ href: `/sensor/${n}`, attributes: {} })),
      },
    };
  }

  #drawLifetime(): number {
    return Math.max(1, Math.round(this.options.lifetime * (0.75 + this.#random.fraction() / 2)));
  }

  #now(): Now {
    const { now } = this.#parts.clock;
    return { instant: now as Instant, wall: now as WallTime };
  }
}

export interface Promised {
  readonly location: string;
  /** In the server's wall time: so long it is registered at least. */
  readonly until: WallTime;
}

export interface SimDeviceOptions {
  readonly name: string;
  readonly identity: Bytes;
  readonly key: Bytes;
  /** In seconds; each registration draws one around it. */
  readonly lifetime: number;
  readonly cid?: Bytes;
  /** How likely it closes its session between updates, and deregisters or restarts after one. */
  readonly sleepy?: number;
  readonly restless?: number;
  /** Whether its DTLS session outlasts its power. */
  readonly keepsSession?: boolean;
  readonly firstTimeout?: Milliseconds;
  readonly firstMessageId?: number;
  /** How long it waits at most before it tries again. */
  readonly longestPause?: Milliseconds;
  /** How many links its registration has, each some twenty bytes. */
  readonly links?: number;
  /** It has objects, and is managed. */
  readonly manages?: Management;
}

export interface Management {
  /** For how many seconds it listens after its last message, in queue mode; absent if always. */
  readonly awake?: number;
  /** How often it measures something. */
  readonly measures?: Milliseconds;
  /** Whether its values are lost with its power. */
  readonly forgetful: boolean;
  /** Whether its notifications are Confirmable. */
  readonly confirmable: boolean;
  /** How likely it sends after an update what it has measured. */
  readonly sends: number;
  /** How long it stays before it closes its session to sleep. */
  readonly lingers: Milliseconds;
}

export interface SimDeviceParts {
  readonly clock: Clock;
  readonly network: Network;
  readonly journal: Journal;
  /** The server's clock, to know what the device may rely on. */
  wall(): WallTime;
  resources(name: string): SimResources;
}
