import { systemNow } from '../../src/adapters/systemClock.ts';
import { SystemRandom } from '../../src/adapters/systemRandom.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import { codeText } from '../../src/coap/codec/code.ts';
import { Device, type DeviceOptions, type DeviceOut } from '../../src/device/device.ts';
import type { ValuePath } from '../../src/lwm2m/path.ts';
import type { ResourceValue } from '../../src/lwm2m/value.ts';
import type { MapContent } from '../../src/lwm2m/writeRegistrationMap.ts';
import { type DeviceSocket, openDeviceSocket, type SocketKind, type Target } from './deviceSocket.ts';

/** Our device on a UDP address of its own, with promises: one thing at a time, and each rejects with a `LoadFailure`. */
export class UdpDevice implements LoadDevice {
  readonly #device: Device;
  #socket!: DeviceSocket;
  #timer: NodeJS.Timeout | undefined;
  #heard: (() => void) | undefined;
  #armedFor = Number.POSITIVE_INFINITY;
  #resumed = false;
  #waiting: { resolve(): void; reject(failure: LoadFailure): void } | undefined;

  private constructor(device: Device) {
    this.#device = device;
  }

  static async open(
    server: Target,
    dtls: DeviceOptions['dtls'],
    more: Partial<DeviceOptions> = {},
    sockets: SocketKind = 'kept',
  ): Promise<UdpDevice> {
    const device = new UdpDevice(new Device({ random, ...(dtls && { dtls }), ...more }));
    device.#socket = await openDeviceSocket(sockets, server, datagram => device.#receive(datagram));
    return device;
  }

  /** Whether the DTLS session goes on from one before it. */
  get resumed(): boolean {
    return this.#resumed;
  }

  connect(): Promise<void> {
    return this.#do(() => this.#device.connect(systemNow(), this.#out));
  }

  register(registration: MapContent): Promise<void> {
    return this.#do(() => this.#device.register(systemNow(), registration, this.#out));
  }

  /** How many observations the server has. */
  get observations(): number {
    return this.#device.observations;
  }

  /** Measures something that is observed with Confirmable notifications, and waits for what comes next: the ACK. */
  notify(path: ValuePath, value: ResourceValue): Promise<void> {
    return new Promise(resolve => {
      this.#heard = resolve;
      this.set(path, value);
    });
  }

  /** Measures something: whoever observes it hears of it. */
  set(path: ValuePath, value: ResourceValue): void {
    this.#device.set(systemNow(), path, value, this.#out);
    this.#arm();
  }

  update(): Promise<void> {
    return this.#do(() => this.#device.update(systemNow(), undefined, this.#out));
  }

  close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#device.close(systemNow(), this.#out);
    // In the next turn, so that close_notify is handed to the system first.
    return new Promise(resolve => setImmediate(() => resolve(this.#socket.close())));
  }

  /** Is gone without a word, like a device whose battery ends. */
  vanish(): Promise<void> {
    clearTimeout(this.#timer);
    return this.#socket.close();
  }

  #receive(datagram: Bytes): void {
    this.#device.receive(systemNow(), datagram, this.#out);
    this.#arm();
    this.#heard?.();
    this.#heard = undefined;
  }

  #do(start: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      start();
      this.#arm();
    });
  }

  #end(failure: string | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#socket.rest();
    if (failure === undefined) waiting?.resolve();
    else waiting?.reject(new LoadFailure(failure));
  }

  #arm(): void {
    const next = this.#device.nextExpiry();
    if (next === undefined || next >= this.#armedFor) return;
    clearTimeout(this.#timer);
    this.#armedFor = next;
    this.#timer = setTimeout(() => this.#expire(), Math.max(1, next - performance.now()));
  }

  #expire(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    this.#device.expire(systemNow(), this.#out);
    this.#arm();
  }

  readonly #out: DeviceOut = {
    transmit: (datagram: Bytes) => this.#socket.send(datagram),
    connected: resumed => {
      this.#resumed = resumed;
      this.#end(undefined);
    },
    answered: (what, code, diagnostic) => {
      const good = code >>> 5 === 2;
      this.#end(good ? undefined : `${what}: ${codeText(code)}${diagnostic === '' ? '' : ` ${diagnostic}`}`);
    },
    failed: (what, fault) => this.#end(`${what}: ${fault}`),
    closed: reason => this.#end(`session: ${reason}`),
  };
}

/** What a load is made of, whoever wrote the stack under it. */
export interface LoadDevice {
  connect(): Promise<void>;
  register(registration: MapContent): Promise<void>;
  close(): Promise<void>;
}

export type { Target } from './deviceSocket.ts';

/** Something that a device under load can meet: counted by its words, not a bug of the load. */
export class LoadFailure extends Error {
  override readonly name = 'LoadFailure';
}

const random = new SystemRandom();
