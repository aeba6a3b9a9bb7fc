import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { systemNow } from '../../src/adapters/systemClock.ts';
import { type Bytes, noBytes, utf8 } from '../../src/base/bytes.ts';
import { Deadlines } from '../../src/base/deadlines.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { type Milliseconds, seconds } from '../../src/base/time.ts';
import { DtlsClient } from '../../src/dtls/client.ts';
import type { SimulatedDevice } from '../load/fleet.ts';
import type { Target } from '../load/udpDevice.ts';
import type { Group } from './mix.ts';
import { type NodeOut, SimulatedNode } from './node.ts';
import { cidOf, Sockets } from './sockets.ts';

/**
 * A fleet in one process: many devices, few sockets, one timer. It lets as many connect at a time as it was told, and
 * counts what happens to them.
 */
export class Fleet {
  readonly figures: FleetFigures = {
    handshakes: createHistogram(),
    answers: { register: createHistogram(), update: createHistogram(), send: createHistogram() },
    failures: new Map(),
    sent: 0,
    received: 0,
    lost: 0,
    moves: 0,
    hellos: 0,
  };

  readonly #options: FleetOptions;
  readonly #random: SeededRandom;
  readonly #nodes: SimulatedNode[] = [];
  /** The socket of each device, -1 for none. */
  readonly #socketOf: Int32Array;
  readonly #floodSockets: number[] = [];
  readonly #due = new Deadlines<number>();
  /** Those that wait for their turn to connect, first come first served. */
  readonly #waiting: number[] = [];
  #head = 0;
  readonly #connecting = new Set<number>();
  /** Those whose first registration is over, well or not. */
  readonly #tried = new Set<number>();
  #sockets!: Sockets;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Number.POSITIVE_INFINITY;
  #finished: (() => void) | undefined;
  #toRegister: number;

  private constructor(options: FleetOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#toRegister = options.devices.length;
    this.#socketOf = new Int32Array(options.devices.length).fill(-1);
  }

  static async open(options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(options);
    const more = fleet.#shares ? fleet.#floodSocketCount : 0;
    fleet.#sockets = await Sockets.open(options.server, options.sockets + more, fleet.#shares, (device, datagram) =>
      fleet.#arrived(device, datagram),
    );
    for (let index = 0; index < options.devices.length; index++) fleet.#nodes.push(fleet.#node(index));
    return fleet;
  }

  /** Begins; the promise is kept when every device has registered or failed once. */
  start(): Promise<void> {
    const now = systemNow().instant;
    for (const [index, { group }] of this.#nodes.entries()) {
      if (group.flood === undefined) this.#waiting.push(index);
      else this.#flood(index, group.flood);
    }
    this.#toRegister = this.#waiting.length;
    const cuts = new Set(this.#options.groups.map(({ powerCutAt }) => powerCutAt).filter(at => at !== undefined));
    for (const at of cuts) setTimeout(() => this.#powerCut(at), at * 1000).unref();
    this.#armedFor = now + 1;
    this.#turn();
    return new Promise(resolve => {
      this.#finished = resolve;
      if (this.#toRegister === 0) resolve();
    });
  }

  /** How many devices are in each state. */
  states(): Record<string, number> {
    const states: Record<string, number> = {};
    for (const { state, group } of this.#nodes) {
      const name = group.flood === undefined ? state : 'flooding';
      states[name] = (states[name] ?? 0) + 1;
    }
    return states;
  }

  async end(): Promise<void> {
    clearTimeout(this.#timer);
    this.#armedFor = Number.NEGATIVE_INFINITY;
    await this.#sockets.close();
  }

  #node(index: number): SimulatedNode {
    const { devices, groupOf, groups, secure, dialect, lives, sharedIdentity } = this.#options;
    const device = devices[index]!;
    const group = groups[groupOf[index]!]!;
    const identity = sharedIdentity?.identity ?? utf8(device.identity);
    const key = group.wrongKey === true ? new Uint8Array(16).fill(1) : (sharedIdentity?.key ?? device.key);
    const random = new SeededRandom(this.#options.seed * 1_000_003 + index + 1);
    return new SimulatedNode(
      {
        group,
        random,
        dialect,
        registration: device.registration,
        dtls: secure ? { identity, key } : undefined,
        // Without one nobody would find the session of a device that moves.
        cid: this.#shares || group.roam !== undefined ? cidOf(index) : undefined,
        lives,
      },
      this.#nodeOut(index),
    );
  }

  /** Whether sockets are fewer than devices, so that connection IDs are needed. */
  get #shares(): boolean {
    return this.#options.secure && this.#options.sockets < this.#options.devices.length;
  }

  /** Where sockets are shared, floods have some of their own: what comes back to them is for nobody else. */
  get #floodSocketCount(): number {
    const { groups, groupOf } = this.#options;
    let floods = 0;
    for (const group of groupOf) if (groups[group]!.flood !== undefined) floods++;
    return Math.min(floods, mostFloodSockets);
  }

  #nodeOut(index: number): NodeOut {
    return {
      transmit: datagram => this.#transmit(index, datagram),
      wantsToConnect: () => {
        this.#waiting.push(index);
      },
      leave: () => this.#leave(index),
      moveAway: () => {
        this.figures.moves++;
        this.#socketOf[index] = this.#sockets.move(index, bound => this.#random.below(bound));
      },
      connected: took => this.figures.handshakes.record(micros(took)),
      answered: (what, took) => {
        if (what !== 'deregister') this.figures.answers[what].record(micros(took));
        if (what === 'register') this.#settled(index);
      },
      failed: what => {
        this.figures.failures.set(what, (this.figures.failures.get(what) ?? 0) + 1);
      },
      gone: () => this.#settled(index),
      fraction: () => this.#random.fraction(),
    };
  }

  /** Its handshake and registration are over, well or not. */
  #settled(index: number): void {
    this.#sockets.release(this.#socketOf[index]!, index);
    this.#connecting.delete(index);
    if (this.#tried.has(index)) return;
    this.#tried.add(index);
    if (!this.#options.lives) this.#due.clear(index);
    if (this.#tried.size >= this.#toRegister) this.#finished?.();
  }

  #leave(index: number): void {
    const socket = this.#socketOf[index]!;
    if (socket >= 0) this.#sockets.release(socket, index);
  }

  #arrived(index: number, datagram: Bytes): void {
    const node = this.#nodes[index];
    if (node === undefined || this.#armedFor === Number.NEGATIVE_INFINITY) return;
    this.figures.received++;
    this.#overTheAir(node.group, datagram, copy => {
      node.receive(systemNow(), copy);
      this.#schedule(index);
      this.#connectNext();
    });
  }

  #transmit(index: number, datagram: Bytes): void {
    const socket = this.#socketOf[index]!;
    if (socket < 0) return;
    this.figures.sent++;
    this.#overTheAir(this.#nodes[index]!.group, datagram, copy => this.#sockets.send(socket, copy));
  }

  /** What happens to a datagram on the device's own link. */
  #overTheAir({ loss = 0, delay = 0 }: Group, datagram: Bytes, arrives: (datagram: Bytes) => void): void {
    if (loss > 0 && this.#random.fraction() < loss) {
      this.figures.lost++;
      return;
    }
    if (delay === 0) return arrives(datagram);
    const copy = datagram.slice();
    setTimeout(
      () => {
        if (this.#armedFor !== Number.NEGATIVE_INFINITY) arrives(copy);
      },
      delay * (0.5 + this.#random.fraction()),
    ).unref();
  }

  #turn(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    const now = systemNow();
    for (let index = this.#due.takeDue(now.instant); index !== undefined; index = this.#due.takeDue(now.instant)) {
      this.#nodes[index]!.due(now);
      this.#schedule(index);
    }
    this.#connectNext();
    this.#arm();
  }

  /** Lets as many connect as may at a time, each on a socket where nobody else does. */
  #connectNext(): void {
    while (this.#connecting.size < this.#options.inFlight && this.#head < this.#waiting.length) {
      const index = this.#waiting[this.#head]!;
      const socket = this.#sockets.hold(index);
      if (socket === undefined) return;
      this.#head++;
      if (this.#head > 4096 && this.#head * 2 > this.#waiting.length) {
        this.#waiting.splice(0, this.#head);
        this.#head = 0;
      }
      this.#connecting.add(index);
      this.#socketOf[index] = socket;
      this.#nodes[index]!.start(systemNow());
      this.#schedule(index);
    }
  }

  #schedule(index: number): void {
    const next = this.#nodes[index]!.nextDue();
    if (next === undefined || (!this.#options.lives && this.#tried.has(index))) this.#due.clear(index);
    else this.#due.set(index, next);
    this.#arm();
  }

  #arm(): void {
    const next = this.#due.next();
    if (next === undefined || next >= this.#armedFor) return;
    clearTimeout(this.#timer);
    this.#armedFor = next;
    this.#timer = setTimeout(() => this.#turn(), Math.max(1, next - performance.now()));
  }

  #powerCut(at: number): void {
    const now = systemNow();
    for (const [index, node] of this.#nodes.entries()) {
      if (node.group.powerCutAt !== at || node.state === 'waiting') continue;
      this.#connecting.delete(index);
      node.powerCut(now);
      this.#schedule(index);
    }
  }

  #floodSocket(index: number): number {
    const own = this.#floodSockets.length < mostFloodSockets || !this.#shares ? this.#sockets.hold(index) : undefined;
    if (own === undefined) return this.#floodSockets[index % this.#floodSockets.length]!;
    this.#floodSockets.push(own);
    return own;
  }

  /** Hellos with new randoms, that nobody goes on with. */
  #flood(index: number, perSecond: number): void {
    const random = new SeededRandom(this.#options.seed * 7919 + index);
    const socket = this.#floodSocket(index);
    const now = systemNow();
    const client = new DtlsClient({ random, identity: utf8('flood'), key: noBytes });
    const timer = setInterval(() => {
      if (this.#armedFor === Number.NEGATIVE_INFINITY) return clearInterval(timer);
      this.figures.hellos++;
      client.connect(now, {
        transmit: datagram => this.#sockets.send(socket, datagram),
        connected() {},
        deliver() {},
        closed() {},
      });
    }, seconds(1) / perSecond).unref();
  }
}

export interface FleetOptions {
  readonly server: Target;
  readonly secure: boolean;
  readonly devices: readonly SimulatedDevice[];
  readonly groups: readonly Group[];
  /** Of each device, an index into `groups`. */
  readonly groupOf: Uint8Array;
  readonly sockets: number;
  /** How many devices connect at a time. */
  readonly inFlight: number;
  /** Whether devices stay after their registration. */
  readonly lives: boolean;
  readonly seed: number;
  readonly dialect: 'cbor' | 'lwm2m';
  /** One identity and key for all, where a server knows no more than one. */
  readonly sharedIdentity?: { readonly identity: Bytes; readonly key: Bytes };
}

/** What happened so far. Histograms are in microseconds. */
export interface FleetFigures {
  readonly handshakes: RecordableHistogram;
  readonly answers: Readonly<Record<'register' | 'update' | 'send', RecordableHistogram>>;
  readonly failures: Map<string, number>;
  sent: number;
  received: number;
  lost: number;
  moves: number;
  hellos: number;
}

const mostFloodSockets = 16;

function micros(took: Milliseconds): number {
  return Math.max(1, Math.round(took * 1000));
}
