import type { Peer } from '../../src/base/peer.ts';
import type { Milliseconds, WallTime } from '../../src/base/time.ts';
import { type Command, type CommandId, isOver } from '../../src/fleet/command.ts';
import type { Desired } from '../../src/fleet/desired.ts';
import type { StoredEvent } from '../../src/fleet/event.ts';
import type { Row } from '../../src/fleet/names.ts';
import type { Registered } from '../../src/fleet/registration.ts';
import { isContentFault } from '../../src/lwm2m/content/fault.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import type { ValuePath } from '../../src/lwm2m/path.ts';
import { formatValue, type ResourceValue } from '../../src/lwm2m/value.ts';
import { Dossiers } from '../../src/service/dossier.ts';
import { executeOperation, readOperation, writeOperation } from '../../src/service/operationOf.ts';
import type { MemoryAdmin } from '../support/memoryAdmin.ts';
import type { MemoryDisk } from '../support/memoryDisk.ts';
import { keyOf } from '../support/memoryModel.ts';
import type { Violated } from './invariants.ts';
import type { SimDevice } from './simDevice.ts';
import { executable, measured, type Witness, written } from './simResources.ts';

/**
 * What operators want of devices through the store, as the command line does, and what has to become of it:
 *
 * 12. a command is there until it is over or its registration is; it is sent only after the disk knows it, as often at
 *     most as it may be, and has succeeded only if the device did it; what is over stays as it is;
 * 13. a desired value is there until somebody unsets it; it is delivered only if the device has taken it, and when faults
 *     cease the device has it;
 * 14. what is said of a device's resources is what they were.
 */
export class Wishes {
  readonly #disk: MemoryDisk;
  readonly #admin: MemoryAdmin;
  readonly #devices: readonly SimDevice[];
  readonly #knows: (peer: Peer) => boolean;
  readonly #violated: Violated;
  /** Those that are not over, as far as the disk says. */
  readonly #open = new Set<Wanted>();
  readonly #byTag = new Map<string, Wanted>();
  /** By row and path. */
  readonly #desired = new Map<string, WantedValue>();
  readonly #dossiers = new Dossiers(Definitions.registry());
  #made = 0;
  /** What the journal was when the store was looked at last. */
  #committed = -1;
  #durable = -1;

  /** `knows`: whether the server has a session with that number. */
  constructor(
    disk: MemoryDisk,
    admin: MemoryAdmin,
    devices: readonly SimDevice[],
    knows: (peer: Peer) => boolean,
    violated: Violated,
  ) {
    this.#knows = knows;
    this.#disk = disk;
    this.#admin = admin;
    this.#devices = devices;
    this.#violated = violated;
  }

  // What operators do. Each returns the event that a running server hears of, or `undefined` if nothing came of it.

  command(wall: WallTime, device: SimDevice, kind: CommandKind, patience: Milliseconds): StoredEvent | undefined {
    const record = this.#registered(device);
    if (record === undefined) return undefined;
    const tag = `wish ${++this.#made}`;
    const dossier = this.#dossiers.of(record);
    const operation =
      kind === 'execute'
        ? executeOperation(executable, `0='${tag}'`)
        : kind === 'read'
          ? readOperation([measured], dossier)
          : writeOperation(written, tag, kind === 'update', dossier);
    if (isContentFault(operation)) throw new Error(`${kind}: ${operation.reason}`);
    const { row, generation } = record;
    const event = this.#admin.queue(wall, row, operation, { patience });
    if (event === undefined) return undefined;
    const id = event.sequence as CommandId;
    // Execute and a partial Write are done once, whatever the command says of itself.
    const mayRepeat = kind === 'read' || kind === 'write';
    const attempts = mayRepeat ? this.#disk.commands.get(keyOf(row, id))!.attempts : 1;
    const wanted: Wanted = { id, device, row, generation, kind, tag, attempts, done: 0, seen: undefined };
    this.#open.add(wanted);
    this.#byTag.set(tag, wanted);
    return event;
  }

  /** The oldest one of a device that can still be taken back. */
  cancel(wall: WallTime, device: SimDevice): StoredEvent | undefined {
    for (const wanted of this.#open) {
      const event = wanted.device === device ? this.#admin.cancel(wall, wanted.row, wanted.id) : undefined;
      if (event !== undefined) return event;
    }
    return undefined;
  }

  /** A value that nobody wanted before; without `isSet` it is wanted no more. */
  desire(wall: WallTime, device: SimDevice, path: ValuePath, isSet: boolean): StoredEvent {
    const row = this.#rowOf(device);
    const key = keyOf(row, path);
    if (isSet) {
      const value = typeof device.resources!.objects.get(path) === 'number' ? ++this.#made : `wish ${++this.#made}`;
      this.#desired.set(key, { device, row, path, value, taken: 0, durable: undefined });
      return this.#admin.desire(wall, row, path, value);
    }
    this.#desired.delete(key);
    return this.#admin.desire(wall, row, path, undefined);
  }

  /** Of what a device is asked to report; without `isSet` no more. */
  observe(wall: WallTime, device: SimDevice, isSet: boolean): StoredEvent | undefined {
    const row = this.#rowOf(device);
    return isSet ? this.#admin.observe(wall, row, [measured]) : this.#admin.endObservation(wall, row, measured);
  }

  // What devices see.

  witnessOf(name: string): Witness {
    return {
      executed: tag => this.#done(name, this.#byTag.get(tag)!),
      written: (path, value) => {
        const wanted = path === written ? this.#byTag.get(value as string) : undefined;
        if (wanted !== undefined) return this.#done(name, wanted);
        const desired = this.#desired.get(keyOf(this.#disk.names.get(`\0${name}`)!.row, path));
        if (desired?.value === value) desired.taken++;
      },
    };
  }

  #done(name: string, wanted: Wanted): void {
    const { device, id, row, kind, attempts } = wanted;
    if (device.name !== name) this.#violated(12, `${name} was told to do what ${device.name} is to do`);
    const command = this.#disk.commands.durable(keyOf(row, id));
    const left = command === undefined ? 0 : attempts - command.attempts;
    if (command?.state === 'queued' && left === 0) {
      this.#violated(12, `command ${id} was sent, and the disk does not know it`);
    }
    if (kind === 'execute' && (command?.state === 'expired' || command?.state === 'cancelled')) {
      this.#violated(12, `command ${id} is ${command.state}, and ${name} does it`);
    }
    if (++wanted.done > attempts) this.#violated(12, `${name} did command ${id} ${wanted.done} times`);
  }

  // What has to hold.

  everySecond(): void {
    const { committed, durable } = this.#disk.journal;
    if (committed === this.#committed && durable === this.#durable) return;
    this.#committed = committed;
    this.#durable = durable;
    for (const wanted of this.#open) this.#lookAtCommand(wanted);
    this.#lookAtDesired();
  }

  /** After the faults have ceased at `healed`, and a while more. */
  atEnd(healed: Milliseconds): void {
    for (const { id, device, row } of this.#open) {
      const { state, reason } = this.#disk.commands.durable(keyOf(row, id))!;
      this.#violated(12, `command ${id} of ${device.name} is still ${state} ${reason ?? ''}`);
    }
    for (const [key, { device, path, value }] of this.#desired) {
      const { state, reason } = this.#disk.desired.durable(key)!;
      if (state !== 'delivered') this.#violated(13, `${path} of ${device.name} is ${state} ${reason ?? ''}`);
      const held = device.resources!.objects.get(path);
      if (held !== value)
        this.#violated(13, `${device.name} has ${textOf(held)} at ${path}, and is to have ${textOf(value)}`);
    }
    for (const [key, { paths, state, peer }] of this.#disk.observations.entries()) {
      const { name, lastExchange } = this.#disk.devices.get(rowIn(key))!;
      // One that sleeps, or whose session made room for another, and was silent for too long, is asked when it comes.
      const isThere = lastExchange?.association !== undefined && this.#knows(lastExchange.association);
      const listens = isThere && this.#devices.some(device => device.name === name && device.listens);
      if (state === 'active' && listens && peer !== lastExchange.association) {
        this.#violated(14, `the observation of ${paths.join(' ')} of ${name} is on a session that is over`);
      }
      if (state !== 'active' && listens)
        this.#violated(14, `the observation of ${paths.join(' ')} of row ${rowIn(key)} is ${state}`);
    }
    // Of what was lost on the way only a pmax tells.
    const hasPmax = [...this.#disk.observations.entries()].filter(([, one]) => one.attributes.pmax !== undefined);
    const observed = new Set(hasPmax.map(([key]) => rowIn(key)));
    for (const [key, { path, value }] of this.#disk.values.entries()) {
      const { name } = this.#disk.devices.get(rowIn(key))!;
      const until = this.#devices.find(one => one.name === name)?.resources?.heldUntil(path, value);
      if (until === undefined)
        this.#violated(14, `${name} is said to have ${textOf(value)} at ${path}, and never had it`);
      if (path === measured && observed.has(rowIn(key)) && until < healed) {
        this.#violated(14, `${name} is said to have ${textOf(value)} at ${path}, which it has not had for long`);
      }
    }
  }

  #lookAtCommand(wanted: Wanted): void {
    const { id, device, row, generation, kind, seen, done } = wanted;
    const command = this.#disk.commands.durable(keyOf(row, id));
    const record = this.#disk.devices.durable(row);
    if (command === undefined) {
      if (record?.registration !== undefined && record.generation === generation) {
        this.#violated(12, `command ${id} of ${device.name} is lost`);
      }
      this.#open.delete(wanted);
      return;
    }
    if (seen !== undefined && command.version < seen.version) {
      this.#violated(12, `command ${id} went back from ${seen.state} to ${command.state}`);
    }
    wanted.seen = command;
    if (!isOver(command)) return;
    if (command.state === 'succeeded' && kind !== 'read' && done === 0) {
      this.#violated(12, `command ${id} has succeeded, and ${device.name} did not do it`);
    }
    this.#open.delete(wanted);
  }

  #lookAtDesired(): void {
    for (const [key, wanted] of this.#desired) {
      const { device, path, value, taken } = wanted;
      // What was durable stays so until it is another one.
      if (wanted.durable !== undefined && this.#disk.desired.get(key) === wanted.durable) continue;
      const desired = this.#disk.desired.durable(key);
      wanted.durable = desired;
      if (desired?.value !== value) {
        this.#violated(
          13,
          `${path} of ${device.name} is to be ${textOf(value)}, and the disk says ${textOf(desired?.value)}`,
        );
      }
      if (desired.state === 'delivered' && taken === 0) {
        this.#violated(13, `${path} of ${device.name} is delivered, and was not taken`);
      }
    }
    if (this.#disk.desired.size !== this.#desired.size) {
      this.#violated(13, `${this.#disk.desired.size} values are desired, and should be ${this.#desired.size}`);
    }
  }

  #registered(device: SimDevice): Registered | undefined {
    const record = this.#disk.devices.get(this.#rowOf(device));
    return record?.registration === undefined ? undefined : { ...record, registration: record.registration };
  }

  #rowOf({ name }: SimDevice): Row {
    return this.#disk.names.get(`\0${name}`)!.row;
  }
}

function textOf(value: ResourceValue | undefined): string {
  return value === undefined ? 'nothing' : formatValue(value);
}

function rowIn(key: string): Row {
  return Number(key.split(' ')[0]) as Row;
}

export type CommandKind = 'read' | 'write' | 'update' | 'execute';

interface Wanted {
  readonly id: CommandId;
  readonly device: SimDevice;
  readonly row: Row;
  readonly generation: number;
  readonly kind: CommandKind;
  /** By which the device's doing is told from that of other commands. */
  readonly tag: string;
  /** How often it may be done. */
  readonly attempts: number;
  done: number;
  /** The newest state that cannot vanish any more. */
  seen: Command | undefined;
}

interface WantedValue {
  readonly device: SimDevice;
  readonly row: Row;
  readonly path: ValuePath;
  readonly value: ResourceValue;
  /** How often the device took it. */
  taken: number;
  /** What the disk said of it last, and cannot take back. */
  durable: Desired | undefined;
}
