import type { Bytes } from '../../src/base/bytes.ts';
import type { RandomSource } from '../../src/base/random.ts';
import { after, type Instant, type Milliseconds, type Now, seconds } from '../../src/base/time.ts';
import { ContentFormats } from '../../src/coap/codec/contentFormat.ts';
import { wander } from '../../src/device/behaviour.ts';
import { type Asked, Device, type DeviceOut } from '../../src/device/device.ts';
import { DeviceObjects } from '../../src/device/objects.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import type { ValuePath } from '../../src/lwm2m/path.ts';
import type { MapContent } from '../../src/lwm2m/writeRegistrationMap.ts';
import type { Group } from './mix.ts';

/**
 * One device of the fleet and what it does by itself: it connects, registers, and then lives as its group does. It
 * knows neither sockets nor timers: `nextDue` says when `due` wants to be called.
 */
export class SimulatedNode {
  state: NodeState = 'waiting';
  readonly group: Group;
  readonly #out: NodeOut;
  readonly #device: Device;
  readonly #registration: MapContent;
  #backoff: Milliseconds = firstBackoff;
  #startedAt: Instant = 0 as Instant;
  /** When to do something of its own accord. */
  readonly #plan: Partial<Record<Plan, Instant>> = {};

  constructor(options: NodeOptions, out: NodeOut) {
    const { group, random, registration } = options;
    this.group = group;
    this.#out = out;
    this.#registration = registration;
    this.#device = new Device({
      random,
      dialect: options.dialect,
      ...(options.dtls && { dtls: { ...options.dtls, cid: options.cid } }),
      ...(options.lives && { objects: temperature() }),
      behaviour: {
        ...(group.awake !== undefined && { awake: seconds(group.awake) }),
        ...(options.lives && {
          moving: [{ path: reading, every: seconds(group.send ?? 10), next: wander(random, -10, 40, 0.5) }],
        }),
      },
    });
  }

  start(now: Now): void {
    this.state = 'connecting';
    this.#startedAt = now.instant;
    this.#device.connect(now, this.#deviceOut(now));
  }

  receive(now: Now, datagram: Bytes): void {
    this.#device.receive(now, datagram, this.#deviceOut(now));
  }

  nextDue(): Instant | undefined {
    let next = this.#device.nextExpiry();
    for (const at of Object.values(this.#plan)) if (next === undefined || at < next) next = at;
    return next;
  }

  due(now: Now): void {
    this.#device.expire(now, this.#deviceOut(now));
    for (const plan of Object.keys(this.#plan) as Plan[]) {
      if (this.#plan[plan]! > now.instant) continue;
      delete this.#plan[plan];
      this.#carryOut(now, plan);
    }
  }

  /** The power is off, and on again. */
  powerCut(now: Now): void {
    for (const plan of Object.keys(this.#plan) as Plan[]) delete this.#plan[plan];
    this.#out.leave();
    this.#plan.connect = now.instant;
    this.state = 'waiting';
  }

  close(now: Now): void {
    this.#device.close(now, this.#deviceOut(now));
  }

  #carryOut(now: Now, plan: Plan): void {
    if (plan === 'connect') return this.#out.wantsToConnect();
    if (plan === 'roam') {
      this.#out.moveAway();
      return this.#again(now, plan);
    }
    if (plan === 'reregister') {
      this.#out.leave();
      this.state = 'waiting';
      return this.#out.wantsToConnect();
    }
    // One thing at a time: what comes while an answer is owed is put off to the next turn.
    if (this.state === 'registered') {
      this.state = 'asking';
      this.#startedAt = now.instant;
      if (plan === 'update') this.#device.update(now, undefined, this.#deviceOut(now));
      else this.#device.send(now, [reading], ContentFormats.senmlCbor, this.#deviceOut(now));
    }
    this.#again(now, plan);
  }

  #again(now: Now, plan: Exclude<Plan, 'connect'>): void {
    const every = this.group[plan];
    if (every !== undefined) this.#plan[plan] = after(now.instant, seconds(every));
  }

  #registered(now: Now): void {
    this.state = 'registered';
    this.#backoff = firstBackoff;
    for (const plan of ['update', 'send', 'roam', 'reregister'] as const) {
      const every = this.group[plan];
      // Spread over the first interval, so that who came together does not stay together.
      if (every !== undefined) this.#plan[plan] = after(now.instant, seconds(every * this.#out.fraction()));
    }
  }

  /** What it reported was refused or got lost: it goes on. Without session or registration it begins anew, later. */
  #failed(now: Now, asked: Asked | 'session', why: string): void {
    this.#out.failed(`${asked}: ${why}`);
    if (asked === 'send') {
      this.state = 'registered';
      return;
    }
    this.state = 'failed';
    this.#out.leave();
    this.#out.gone();
    this.#plan.connect = after(now.instant, this.#backoff * (0.5 + this.#out.fraction()));
    this.#backoff = Math.min(2 * this.#backoff, longestBackoff);
  }

  #deviceOut(now: Now): DeviceOut {
    return {
      transmit: datagram => this.#out.transmit(datagram),
      connected: () => {
        this.#out.connected(now.instant - this.#startedAt);
        this.state = 'registering';
        this.#device.register(now, this.#registration, this.#deviceOut(now));
      },
      answered: (what: Asked, code: number, diagnostic: string) => {
        if (code >>> 5 !== 2)
          return this.#failed(
            now,
            what,
            `${code >>> 5}.${String(code & 0x1f).padStart(2, '0')} ${diagnostic}`.trimEnd(),
          );
        this.#out.answered(what, now.instant - this.#startedAt);
        if (what === 'register') this.#registered(now);
        else this.state = 'registered';
      },
      failed: (what, fault) => this.#failed(now, what, fault),
      closed: reason => this.#failed(now, 'session', reason),
    };
  }
}

export type NodeState = 'waiting' | 'connecting' | 'registering' | 'registered' | 'asking' | 'failed';

/** What a node asks its fleet for, and tells it. */
export interface NodeOut {
  transmit(datagram: Bytes): void;
  /** It has to wait for a socket on which nobody else shakes hands. */
  wantsToConnect(): void;
  /** It is gone from its address. */
  leave(): void;
  moveAway(): void;
  connected(took: Milliseconds): void;
  answered(what: Asked, took: Milliseconds): void;
  failed(what: string): void;
  /** It gave up for now. */
  gone(): void;
  fraction(): number;
}

export interface NodeOptions {
  readonly group: Group;
  readonly random: RandomSource;
  readonly dialect: 'cbor' | 'lwm2m';
  readonly registration: MapContent;
  readonly dtls: { readonly identity: Bytes; readonly key: Bytes } | undefined;
  readonly cid: Bytes | undefined;
  /** Whether it stays after its registration, and so has values. */
  readonly lives: boolean;
}

type Plan = 'connect' | 'update' | 'send' | 'roam' | 'reregister';

function temperature(): DeviceObjects {
  return new DeviceObjects(definitions, {
    '/1/0/1': 86_400,
    '/3/0/0': 'Example',
    '/3/0/1': 'Simulated',
    [reading]: 20,
    '/3303/0/5701': 'Cel',
  });
}

const reading = '/3303/0/5700' as ValuePath;
const definitions = Definitions.registry();
const firstBackoff = seconds(2);
const longestBackoff = seconds(120);
