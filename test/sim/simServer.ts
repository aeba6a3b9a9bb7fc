import { pino } from 'pino';
import { PermutedConnectionIds } from '../../src/adapters/connectionIds.ts';
import { parseProfile } from '../../src/adapters/profiles.ts';
import { BlockPermutation } from '../../src/adapters/registrationIds.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Remote } from '../../src/base/peer.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import { after, type Instant, type Milliseconds, type Now, seconds, type WallTime } from '../../src/base/time.ts';
import type { CoapEndpoint } from '../../src/coap/endpoint.ts';
import type { CoapLimits } from '../../src/coap/settings.ts';
import { cipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { DtlsEndpoint } from '../../src/dtls/endpoint.ts';
import { type DtlsLimits, defaultLimits } from '../../src/dtls/settings.ts';
import type { StoredEvent } from '../../src/fleet/event.ts';
import { noProfiles, ProfileSet } from '../../src/fleet/profile.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import type { Commit, CommitResult } from '../../src/fleet/store.ts';
import { coapOver } from '../../src/server/coapOver.ts';
import { Datapath } from '../../src/server/datapath.ts';
import { PlainPeers } from '../../src/server/plainPeers.ts';
import { pskLookup } from '../../src/server/pskLookup.ts';
import { recoverLifetimes } from '../../src/server/recovery.ts';
import { createReport, type ServerCounters } from '../../src/server/report.ts';
import { resumptionLookup } from '../../src/server/resumptionLookup.ts';
import { StoredSessions } from '../../src/server/storedSessions.ts';
import { Service } from '../../src/service/service.ts';
import type { MemoryDisk } from '../support/memoryDisk.ts';
import { MemoryStore, type StoreBehaviour } from '../support/memoryStore.ts';
import { type Clock, onGrain, Timer } from './clock.ts';
import type { DiskFaults } from './disk.ts';
import { type Address, keyOf, type Network } from './network.ts';

/**
 * The server's machines, as `server/server.ts` puts them together, on a virtual clock, network and disk. It dies at any
 * point, in the midst of a turn too, and another process goes on with what the disk kept.
 */
export class SimServer {
  /** Steps of the wall clock, added up. */
  wallOffset: Milliseconds = 0;
  starts = 0;
  readonly parts: SimServerParts;
  #process: Process | undefined;
  #reports: ServerCounters[] = [];
  readonly profiles: ProfileSet;
  #limits: ServerLimits;

  constructor(parts: SimServerParts, limits: ServerLimits, profile?: string) {
    this.parts = parts;
    this.#limits = limits;
    this.profiles = profile === undefined ? noProfiles : new ProfileSet([parseProfile(profile, 'default')]);
  }

  get isRunning(): boolean {
    return this.#process !== undefined;
  }

  get process(): Process | undefined {
    return this.#process;
  }

  get limits(): ServerLimits {
    return this.#limits;
  }

  get wall(): WallTime {
    return (epoch + this.parts.clock.now + this.wallOffset) as WallTime;
  }

  /** What all processes did so far, added up. */
  count(kind: keyof ServerCounters, what: string): number {
    return this.#reports.reduce((sum, report) => sum + ((report[kind] as Record<string, number>)[what] ?? 0), 0);
  }

  start(): void {
    if (this.#process !== undefined) return;
    this.starts++;
    this.#process = new Process(this, this.parts.randomFor(`server ${this.starts}`));
    this.#reports.push(this.#process.counters);
  }

  /**
   * The process is gone. With `power` gone too, what was written and not flushed survives up to a point that chance
   * decides; else the operating system still writes it.
   */
  kill(power: boolean, survivors?: number): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#process = undefined;
    process.end();
    const { journal } = this.parts.disk;
    const written = journal.committed - journal.durable;
    const kept = survivors ?? (power ? this.parts.randomFor(`crash ${this.starts}`).below(written + 1) : written);
    journal.crash(Math.min(kept, written));
  }

  /** Dies in the midst of a turn, right before it would hand out its `outputs`th output from now on. */
  dieWithin(outputs: number, died: () => void): void {
    const process = this.#process;
    if (process !== undefined) process.dying = { outputs, died };
  }

  /** Another process wrote into the store; a server that runs finds out soon. */
  foreign(event: StoredEvent): void {
    const process = this.#process;
    if (process === undefined) return;
    this.parts.clock.after(100, () => {
      if (this.#process === process) process.turn(() => process.datapath.foreign(event));
    });
  }
}

/** One run of it, from start to death. */
export class Process {
  readonly dtls: DtlsEndpoint;
  readonly coap: CoapEndpoint;
  readonly service: Service;
  readonly datapath: Datapath;
  readonly store: MemoryStore;
  readonly counters: ServerCounters;
  /** How many sessions it went on with. */
  readonly sessions: number;
  dying: { outputs: number; died: () => void } | undefined;

  readonly #server: SimServer;
  readonly #stored: StoredSessions;
  readonly #timer: Timer;
  readonly #startedAt: Milliseconds;
  #ended = false;

  constructor(server: SimServer, random: SeededRandom) {
    const { clock, disk, faults } = server.parts;
    this.#server = server;
    this.#timer = new Timer(clock);
    // Instants of one process mean nothing to another.
    this.#startedAt = clock.now - random.below(1_000_000);
    const diskRandom = random.fork();
    this.store = new MortalStore(this, disk, {
      later: (span, run) => clock.after(span, () => this.turn(run)),
      writeTakes: () => faults.writeTakes(diskRandom),
      flushTakes: () => faults.flushTakes(diskRandom),
      fault: () => faults.fault(diskRandom),
      conflicts: () => faults.conflicts(diskRandom),
      written: commit => server.parts.written(commit),
    });
    const { outages, firstPeer } = this.store.started(server.wall);
    const ids = new RegistrationIds(new BlockPermutation(secret));
    const report = createReport(silent);
    this.counters = report.counters;
    this.service = new Service({ ids, insecureCoap: server.limits.insecureCoap, outages, profiles: server.profiles });
    const coapRandom = random.fork();
    const { idleTimeout = defaultLimits.idleTimeout } = server.limits.dtls;
    const idleAt = after(this.now().instant, idleTimeout);
    this.#stored = new StoredSessions(
      this.store,
      random.below(2 ** 32),
      idleAt,
      session => this.datapath.ended(session),
      peer => this.datapath.overslept(peer),
    );
    this.sessions = this.#stored.size;
    this.dtls = new DtlsEndpoint({
      random: random.fork(),
      firstPeer: Math.max(firstPeer, this.#stored.highestPeer + 1),
      sleepers: this.#stored,
      resumption: server.limits.resumption
        ? resumptionLookup(this.store, new PermutedConnectionIds(sessionIdSecret))
        : undefined,
      fakeKeySecret: secret,
      cids: new PermutedConnectionIds(secret),
      psk: pskLookup(this.store, error => {
        throw error;
      }),
      suites: cipherSuites,
      limits: server.limits.dtls,
    });
    this.coap = coapOver(this.dtls, { random: coapRandom, limits: server.limits.coap });
    this.datapath = new Datapath({
      coap: this.coap,
      dtls: this.dtls,
      service: this.service,
      store: this.store,
      report,
      plain: new PlainPeers(server.limits.plainPeers, 1),
      now: () => this.now(),
      sendDtls: (remote, datagram) => this.#send(serverAddress, remote, datagram),
      sendPlain: (remote, datagram) => this.#send(plainAddress, remote, datagram),
      // Added up first, it could come a rounding too early, and be armed for the same moment for ever.
      arm: at => this.#timer.arm(this.#startedAt + onGrain(at), () => this.turn(() => this.datapath.expire())),
    });
    this.datapath.restoreDevices(this.store.rowsWithWork());
    const { network } = server.parts;
    network.bind(serverAddress, (from, datagram) =>
      this.turn(() => this.datapath.receiveDtls({ socket: 1, ...from }, datagram)),
    );
    network.bind(plainAddress, (from, datagram) =>
      this.turn(() => this.datapath.receivePlain({ socket: 0, ...from }, datagram)),
    );
    // A page of them at a time, while devices are served already.
    const nextPage = (run: () => void) => clock.after(1, () => this.turn(run));
    recoverLifetimes(this.service, this.store, nextPage, () => this.datapath.expire());
    this.#noteAlive();
    this.#sleep();
  }

  /** How many sessions of an earlier process were not heard of yet. */
  get sleepers(): number {
    return this.#stored.size;
  }

  /** How much is kept for peers: whoever wakes a session that sleeps adds nothing. */
  kept(): number {
    const { associations, handshakes } = this.dtls.sizes();
    return associations + handshakes + this.sleepers;
  }

  now(): Now {
    const { clock } = this.#server.parts;
    return { instant: (clock.now - this.#startedAt) as Instant, wall: this.#server.wall };
  }

  /** One input of the loop. If it was to die within it, it is dead afterwards. */
  turn(run: () => void): void {
    if (this.#ended) return;
    run();
    if (this.dying?.outputs === 0) {
      const { died } = this.dying;
      this.dying = undefined;
      died();
    }
  }

  end(): void {
    this.#ended = true;
    this.#timer.disarm();
    this.store.abandon();
    this.#server.parts.network.release(serverAddress);
    this.#server.parts.network.release(plainAddress);
  }

  /** Whether the process is still there to do one thing more. */
  lives(): boolean {
    if (this.#ended) return false;
    if (this.dying === undefined) return true;
    if (this.dying.outputs > 0) this.dying.outputs--;
    return this.dying.outputs > 0;
  }

  #send(from: Address, { address, port }: Remote, datagram: Bytes): void {
    if (this.lives()) this.#server.parts.network.send(from, { address, port }, datagram);
  }

  /** Sessions of an earlier process of which nothing is heard end too. */
  #sleep(): void {
    this.#server.parts.clock.after(seconds(60), () => {
      this.turn(() => this.#stored.expire(this.now().instant, 1000));
      if (!this.#ended) this.#sleep();
    });
  }

  #noteAlive(): void {
    this.#server.parts.clock.after(seconds(30), () => {
      if (this.#ended) return;
      this.store.alive(this.#server.wall, this.dtls.nextPeer);
      this.#noteAlive();
    });
  }
}

/** Of a process that dies in the midst of a turn nothing is asked any more. */
class MortalStore extends MemoryStore {
  readonly #process: Process;

  constructor(process: Process, disk: MemoryDisk, behaviour: StoreBehaviour) {
    super(disk, behaviour);
    this.#process = process;
  }

  override commit(commit: Commit, settled: (result: CommitResult) => void): void {
    if (this.#process.lives()) super.commit(commit, settled);
  }
}

export interface SimServerParts {
  readonly clock: Clock;
  readonly network: Network;
  readonly disk: MemoryDisk;
  readonly faults: DiskFaults;
  randomFor(part: string): SeededRandom;
  written(commit: Commit): void;
}

export interface ServerLimits {
  readonly dtls: Partial<DtlsLimits> & { readonly maxAssociations: number; readonly maxHandshakes: number };
  readonly coap: Partial<CoapLimits> & { readonly maxExchanges: number };
  readonly plainPeers: number;
  readonly insecureCoap: boolean;
  /** Whether sessions may be resumed by their id. */
  readonly resumption: boolean;
}

export const serverAddress: Address = { address: '198.51.100.1', port: 5684 };
export const plainAddress: Address = { address: '198.51.100.1', port: 5683 };

export function isServer(address: Address): boolean {
  return keyOf(address) === keyOf(serverAddress) || keyOf(address) === keyOf(plainAddress);
}

const silent = pino({ level: 'silent' });
const secret = new Uint8Array(32).map((_, n) => (n * 37 + 11) & 0xff);
const sessionIdSecret = secret.map(byte => byte ^ 0x5a);
const epoch = Date.UTC(2026, 0, 1);
