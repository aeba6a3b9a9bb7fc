import { pino } from 'pino';
import { PermutedConnectionIds } from '../../src/adapters/connectionIds.ts';
import { BlockPermutation } from '../../src/adapters/registrationIds.ts';
import { type Bytes, noBytes, utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { after, type Instant, type Milliseconds, type Now, type WallTime } from '../../src/base/time.ts';
import { codeText } from '../../src/coap/codec/code.ts';
import type { CoapEndpoint } from '../../src/coap/endpoint.ts';
import { Device, type DeviceOptions, type DeviceOut } from '../../src/device/device.ts';
import type { ClientOptions } from '../../src/dtls/client.ts';
import { cipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { DtlsEndpoint } from '../../src/dtls/endpoint.ts';
import { defaultLimits } from '../../src/dtls/settings.ts';
import type { Command, CommandId, CommandOptions, Operation } from '../../src/fleet/command.ts';
import type { Desired } from '../../src/fleet/desired.ts';
import type { StoredEvent } from '../../src/fleet/event.ts';
import type { EndpointName, Row } from '../../src/fleet/names.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import type { Commit } from '../../src/fleet/store.ts';
import type { LastValue } from '../../src/fleet/value.ts';
import { rootPath, type ValuePath } from '../../src/lwm2m/path.ts';
import type { MapContent } from '../../src/lwm2m/writeRegistrationMap.ts';
import { AddressProof } from '../../src/server/addressProof.ts';
import { coapOver } from '../../src/server/coapOver.ts';
import { Datapath } from '../../src/server/datapath.ts';
import { PlainPeers } from '../../src/server/plainPeers.ts';
import { pskLookup } from '../../src/server/pskLookup.ts';
import { recoverLifetimes } from '../../src/server/recovery.ts';
import { createReport } from '../../src/server/report.ts';
import { StoredSessions } from '../../src/server/storedSessions.ts';
import { Service, type ServiceOptions } from '../../src/service/service.ts';
import { MemoryAdmin } from './memoryAdmin.ts';
import { MemoryDisk } from './memoryDisk.ts';
import { keyOf, readObservations } from './memoryModel.ts';
import { MemoryStore } from './memoryStore.ts';
import { SmallOperator } from './smallOperator.ts';

/**
 * A server that dies and comes back, and devices over DTLS, on a virtual clock: for stories about one device, where each
 * datagram matters. What an operator does, he does to the disk, as another process would.
 */
export class SmallWorld {
  readonly disk = new MemoryDisk();
  readonly admin = new MemoryAdmin(this.disk);
  readonly devices: SmallDevice[] = [];
  /** Everybody who is on the network, devices and operators. */
  readonly nodes: Node[] = [];
  /** Datagrams are lost, or come later, as this says. */
  carries: (to: 'server' | 'device', node: Node) => boolean = () => true;
  /** The disk refuses while it says so. */
  diskFails = false;
  /** Before it has written, or after: then what it refused shows, and may vanish. */
  diskFault: 'write' | 'flush' = 'write';
  /** Somebody else changed first what this commit rests on. */
  isTooLate: (commit: Commit) => boolean = () => false;
  time = 1_000_000;
  readonly #options: Partial<ServiceOptions>;
  readonly #events: { at: number; order: number; run: () => void }[] = [];
  #order = 0;
  #server: Running;

  constructor(options: Partial<ServiceOptions> = {}) {
    this.#options = options;
    this.#server = new Running(this, this.#options);
  }

  get now(): Now {
    return { instant: this.time as Instant, wall: (1_700_000_000_000 + this.time) as WallTime };
  }

  get service(): Service {
    return this.#server.service;
  }

  get coap(): CoapEndpoint {
    return this.#server.coap;
  }

  get dtls(): DtlsEndpoint {
    return this.#server.dtls;
  }

  /** The sessions that sleep since the last start. */
  get stored(): StoredSessions {
    return this.#server.stored;
  }

  device(name: string, options: SmallDeviceOptions = {}): SmallDevice {
    const device = new SmallDevice(this, name, this.devices.length, options);
    this.devices.push(device);
    this.nodes.push(device);
    return device;
  }

  operator(name: string, dtls: Partial<ClientOptions> = {}): SmallOperator {
    const operator = new SmallOperator(this, name, 60_000 + this.nodes.length, dtls);
    this.nodes.push(operator);
    return operator;
  }

  /** What `credential revoke` does in another process; the server finds out. */
  revoke(name: string): void {
    this.#tell(this.admin.revoke(this.now.wall, utf8(name))!);
  }

  /** The process is killed, and another one goes on with what the disk kept. */
  restart(): void {
    this.#server.end();
    this.disk.journal.crash(this.disk.journal.committed - this.disk.journal.durable);
    this.#server = new Running(this, this.#options);
  }

  /** Queues a command, as another process does; the server finds out. */
  queue({ row }: { readonly row: Row }, operation: Operation, options?: CommandOptions): CommandId {
    const event = this.admin.queue(this.now.wall, row, operation, options)!;
    this.#tell(event);
    return event.sequence as CommandId;
  }

  /** What `device set` does in another process, and without a value `device unset`; the server finds out. */
  desire({ row }: SmallDevice, path: string, value: LastValue['value'] | undefined): void {
    this.#tell(this.admin.desire(this.now.wall, row, path as ValuePath, value));
  }

  desired(device: SmallDevice, path: string): Desired | undefined {
    return this.disk.desired.get(keyOf(device.row, path));
  }

  /** What `device observe` does in another process. */
  observe({ row }: SmallDevice, path: string): void {
    this.#tell(this.admin.observe(this.now.wall, row, [path])!);
  }

  /** What `device observe --cancel` does in another process. */
  endObservation({ row }: SmallDevice): void {
    const [observation] = readObservations(this.disk, row);
    this.#server.datapath.foreign(this.admin.endObservation(this.now.wall, row, observation!.paths.join(' '))!);
  }

  #tell(event: StoredEvent): void {
    this.after(100, () => this.#server.datapath.foreign(event));
  }

  command(device: { readonly row: Row }, id: CommandId): Command | undefined {
    return this.disk.commands.get(keyOf(device.row, id));
  }

  values(device: SmallDevice): Record<string, LastValue['value']> {
    const values = this.#server.store.view().values(device.row, rootPath);
    return Object.fromEntries(values.map(({ path, value }) => [path, value]));
  }

  /** The events about a device, each as its type and the details that are asked for. */
  story(device: SmallDevice, ...types: string[]): string[] {
    return [...this.disk.events.values()]
      .filter(({ row, type }) => row === device.row && (types.length === 0 || types.includes(type)))
      .map(({ type, details }) =>
        [type, details?.state, details?.reason].filter((word): word is string => typeof word === 'string').join(' '),
      );
  }

  after(span: Milliseconds, run: () => void): void {
    this.#events.push({ at: this.time + span, order: this.#order++, run });
  }

  toServer(node: Node, datagram: Bytes): void {
    if (this.carries('server', node)) this.after(latency, () => this.#server.receive(node, datagram));
  }

  toDevice(port: number, datagram: Bytes): void {
    const node = this.nodes.find(one => one.port === port);
    if (node !== undefined && this.carries('device', node)) this.after(latency, () => node.receive(datagram));
  }

  run(span: Milliseconds): void {
    const end = this.time + span;
    for (;;) {
      this.#events.sort((a, b) => a.at - b.at || a.order - b.order);
      const [event] = this.#events;
      const node = this.nodes.find(one => one.due === Math.min(...this.nodes.map(({ due }) => due)));
      const next = Math.min(event?.at ?? never, node?.due ?? never, this.#server.due);
      if (next > end) break;
      this.time = Math.max(this.time, next);
      if (event?.at === next) this.#events.shift()!.run();
      else if (this.#server.due === next) this.#server.expire();
      else node!.expire();
    }
    this.time = end;
  }
}

export interface Node {
  readonly port: number;
  /** It speaks plain CoAP. */
  readonly plain?: boolean;
  readonly due: number;
  receive(datagram: Bytes): void;
  expire(): void;
}

/** A device over DTLS, or with `dtls: undefined` over plain CoAP. */
export type SmallDeviceOptions = Omit<Partial<DeviceOptions>, 'dtls'> & { readonly dtls?: Partial<ClientOptions> };

export class SmallDevice {
  readonly name: EndpointName;
  readonly device: Device;
  /** Its address; another one after network address translation forgot it. */
  port: number;
  readonly said: string[] = [];
  readonly executed: string[] = [];
  readonly #world: SmallWorld;
  readonly #out: DeviceOut;

  constructor(world: SmallWorld, name: string, number: number, { dtls, ...options }: SmallDeviceOptions) {
    this.#world = world;
    this.name = name as EndpointName;
    this.port = 40_000 + number;
    const key = utf8(`the key of ${name}`);
    world.admin.addCredential(world.now.wall, this.name, utf8(name), key);
    const random = new SeededRandom(100 + number);
    this.device = new Device({ random, dtls: { identity: utf8(name), key, cid: noBytes, ...dtls }, ...options });
    this.#out = {
      transmit: datagram => world.toServer(this, datagram.slice()),
      connected: () => void this.said.push('connected'),
      answered: (what, code) => void this.said.push(`${what} ${codeText(code)}`),
      failed: (what, fault) => void this.said.push(`${what} ${fault}`),
      closed: reason => void this.said.push(`closed ${reason}`),
      executed: (path, args) => void this.executed.push(`${path} ${args}`),
    };
  }

  get row(): Row {
    return this.#world.disk.names.get(`\0${this.name}`)!.row;
  }

  get due(): number {
    return this.device.nextExpiry() ?? never;
  }

  connect(): this {
    this.device.connect(this.#world.now, this.#out);
    this.#world.run(1000);
    return this;
  }

  register(content: MapContent = {}): this {
    this.device.register(this.#world.now, { lifetime: 86_400, version: [1, 1], ...content }, this.#out);
    this.#world.run(100);
    return this;
  }

  update(): this {
    this.device.update(this.#world.now, undefined, this.#out);
    this.#world.run(100);
    return this;
  }

  deregister(): this {
    this.device.deregister(this.#world.now, this.#out);
    this.#world.run(100);
    return this;
  }

  close(): this {
    this.leave();
    this.#world.run(100);
    return this;
  }

  /** Ends its session, and lets no time pass. */
  leave(): void {
    this.device.close(this.#world.now, this.#out);
  }

  set(path: Parameters<Device['set']>[1] | string, value: Parameters<Device['set']>[2]): this {
    this.device.set(this.#world.now, path as Parameters<Device['set']>[1], value, this.#out);
    this.#world.run(100);
    return this;
  }

  send(...paths: string[]): this {
    this.device.send(this.#world.now, paths as unknown as Parameters<Device['send']>[1], 112, this.#out);
    this.#world.run(100);
    return this;
  }

  receive(datagram: Bytes): void {
    this.device.receive(this.#world.now, datagram, this.#out);
  }

  expire(): void {
    this.device.expire(this.#world.now, this.#out);
  }
}

/** One run of the server, as `server/server.ts` puts its parts together. */
class Running {
  readonly service: Service;
  readonly store: MemoryStore;
  readonly coap: CoapEndpoint;
  readonly dtls: DtlsEndpoint;
  readonly datapath: Datapath;
  readonly stored: StoredSessions;
  due = never;
  #ended = false;

  constructor(world: SmallWorld, options: Partial<ServiceOptions>) {
    const random = new SeededRandom(world.time);
    this.store = new MemoryStore(world.disk, {
      later: (span, run) => world.after(span, () => (this.#ended ? undefined : run())),
      writeTakes: () => 1,
      flushTakes: () => 1,
      fault: () => (world.diskFails ? world.diskFault : undefined),
      conflicts: commit => world.isTooLate(commit),
    });
    const { outages, firstPeer } = this.store.started(world.now.wall);
    const ids = new RegistrationIds(new BlockPermutation(secret));
    this.service = new Service({ ids, insecureCoap: false, outages, ...options });
    const idleAt = after(world.now.instant, defaultLimits.idleTimeout);
    this.stored = new StoredSessions(
      this.store,
      1,
      idleAt,
      session => this.datapath.ended(session),
      peer => this.datapath.overslept(peer),
    );
    this.dtls = new DtlsEndpoint({
      random: random.fork(),
      firstPeer,
      sleepers: this.stored,
      fakeKeySecret: secret,
      cids: new PermutedConnectionIds(secret),
      psk: pskLookup(this.store, error => {
        throw error;
      }),
      suites: cipherSuites,
    });
    this.coap = coapOver(this.dtls, { random: random.fork() });
    this.datapath = new Datapath({
      coap: this.coap,
      dtls: this.dtls,
      service: this.service,
      store: this.store,
      report: createReport(pino({ level: 'silent' })),
      plain: new PlainPeers(16, 1),
      proof: new AddressProof(random),
      now: () => world.now,
      sendDtls: ({ port }, datagram) => world.toDevice(port, datagram.slice()),
      sendPlain: ({ port }, datagram) => world.toDevice(port, datagram.slice()),
      arm: at => {
        this.due = at;
      },
    });
    this.datapath.restoreDevices(this.store.rowsWithWork());
    recoverLifetimes(
      this.service,
      this.store,
      run => run(),
      () => this.datapath.expire(),
    );
  }

  receive({ port, plain }: Node, datagram: Bytes): void {
    if (this.#ended) return;
    const remote = { socket: 1, address: '192.0.2.1', port };
    if (plain === true) this.datapath.receivePlain(remote, datagram);
    else this.datapath.receiveDtls(remote, datagram);
  }

  expire(): void {
    this.due = never;
    this.datapath.expire();
  }

  end(): void {
    this.#ended = true;
    this.due = never;
    this.store.abandon();
  }
}

const latency: Milliseconds = 10;
const never = Number.POSITIVE_INFINITY;
const secret = new Uint8Array(32).map((_, n) => (n * 37 + 11) & 0xff);
