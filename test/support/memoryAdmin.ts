import { type Bytes, toHex } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import {
  type Command,
  type CommandId,
  type CommandOptions,
  cancelled,
  newCommand,
  type Operation,
} from '../../src/fleet/command.ts';
import { type Credential, type CredentialRole, noRow } from '../../src/fleet/credential.ts';
import { desire } from '../../src/fleet/desired.ts';
import type { DeviceRecord } from '../../src/fleet/device.ts';
import type { FleetEvent, StoredEvent } from '../../src/fleet/event.ts';
import type { CredentialId, EndpointName, Row } from '../../src/fleet/names.ts';
import { wanted } from '../../src/fleet/observation.ts';
import { type FleetRules, forget } from '../../src/fleet/registration.ts';
import { firstVersion } from '../../src/fleet/version.ts';
import type { ValuePath } from '../../src/lwm2m/path.ts';
import type { ResourceValue } from '../../src/lwm2m/value.ts';
import { type MemoryDisk, nameKey } from './memoryDisk.ts';
import { keyOf, putRecord, readObservations } from './memoryModel.ts';

/** What operators change from another process: each change one transaction with its event, durable when it returns. */
export class MemoryAdmin {
  readonly #disk: MemoryDisk;

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
  }

  addCredential(
    wall: WallTime,
    name: EndpointName,
    identity: Bytes,
    key: Bytes,
    role: CredentialRole = 'device',
  ): Credential {
    const disk = this.#disk;
    return this.#durably(() => {
      const entry = disk.names.get(nameKey(name, undefined));
      const row = entry?.row ?? (role === 'operator' ? noRow : (disk.nextRow++ as Row));
      const id = disk.meta.get('meta')?.nextCredential ?? 1;
      const credential: Credential = {
        id: id as CredentialId,
        identity,
        key,
        endpoint: name,
        sector: undefined,
        row,
        createdAt: wall,
        revokedAt: undefined,
        role,
      };
      disk.names.put(nameKey(name, undefined), { row, identities: [...(entry?.identities ?? []), toHex(identity)] });
      disk.credentials.put(toHex(identity), credential);
      disk.writeMeta({ nextCredential: id + 1 });
      if (entry === undefined && row !== noRow) {
        const empty = { generation: 0, version: 1, registration: undefined, lastExchange: undefined };
        disk.devices.put(row, { ...empty, row, name, sector: undefined });
      }
      this.#append(eventOf('credential-added', wall, credential));
      return credential;
    });
  }

  /** The event that a running server is told. */
  revoke(wall: WallTime, identity: Bytes): StoredEvent | undefined {
    const disk = this.#disk;
    return this.#durably(() => {
      const credential = disk.credentials.get(toHex(identity));
      if (credential === undefined || credential.revokedAt !== undefined) return undefined;
      disk.credentials.put(toHex(identity), { ...credential, revokedAt: wall });
      disk.sessions.delete(credential.id);
      return this.#append(eventOf('credential-revoked', wall, credential));
    });
  }

  /** Removes a registration. */
  forget(wall: WallTime, rules: FleetRules, row: Row): StoredEvent | undefined {
    const disk = this.#disk;
    return this.#durably(() => {
      const before = disk.devices.get(row);
      const decision = before && forget(rules, wall, before);
      if (decision === undefined) return undefined;
      putRecord(disk, decision.record);
      return decision.commit.events.map(event => this.#append(event))[0];
    });
  }

  /** `device read|write|exec …`: `undefined` if the device is not registered. */
  queue(wall: WallTime, row: Row, operation: Operation, options?: CommandOptions): StoredEvent | undefined {
    return this.#ofRegistered(row, record => {
      const id = (this.#disk.lastSequence + 1) as CommandId;
      return this.#putCommand(wall, record, newCommand(id, operation, wall, options));
    });
  }

  /** `device queue --cancel`: `undefined` if it is too late. */
  cancel(wall: WallTime, row: Row, id: CommandId): StoredEvent | undefined {
    return this.#ofRegistered(row, record => {
      const before = this.#disk.commands.get(keyOf(row, id));
      const command = before && cancelled(before, wall);
      return command && this.#putCommand(wall, record, command);
    });
  }

  /** `device set`, or without a value `device unset`; also while it is not registered. */
  desire(wall: WallTime, row: Row, path: ValuePath, value: ResourceValue | undefined): StoredEvent {
    const disk = this.#disk;
    const key = keyOf(row, path);
    return this.#durably(() => {
      if (value === undefined) disk.desired.delete(key);
      else disk.desired.put(key, desire(path, value, disk.desired.get(key), wall));
      const details = { path, state: value === undefined ? 'unset' : 'set' };
      return this.#append({ type: 'desired', at: wall, row, name: disk.devices.get(row)!.name, details });
    });
  }

  /** `device observe`: one that is there already is made anew. */
  observe(wall: WallTime, row: Row, paths: readonly string[]): StoredEvent | undefined {
    return this.#ofRegistered(row, ({ name }) => {
      const present = readObservations(this.#disk, row);
      const before = present.find(one => one.paths.join(' ') === paths.join(' '));
      const id = before?.id ?? (present.at(-1)?.id ?? 0) + 1;
      const version = before === undefined ? firstVersion(wall) : before.version + 1;
      const wish = wanted({ paths, attributes: {}, source: 'operator' }, id, version, wall);
      this.#disk.observations.put(keyOf(row, id), wish);
      const details = { observation: id, paths, state: 'wanted' };
      return this.#append({ type: 'observation', at: wall, row, name, details });
    });
  }

  /** `device observe --cancel`: `undefined` if there is nothing to end. */
  endObservation(wall: WallTime, row: Row, path: string): StoredEvent | undefined {
    return this.#ofRegistered(row, ({ name }) => {
      const before = readObservations(this.#disk, row).find(({ paths }) => paths.join(' ') === path);
      if (before === undefined) return undefined;
      const key = keyOf(row, before.id);
      if (before.state !== 'active') this.#disk.observations.delete(key);
      else this.#disk.observations.put(key, { ...before, version: before.version + 1, state: 'ending', since: wall });
      const state = before.state === 'active' ? 'ending' : 'cancelled';
      const details = { observation: before.id, paths: before.paths, state };
      return this.#append({ type: 'observation', at: wall, row, name, details });
    });
  }

  #ofRegistered<Result>(row: Row, change: (record: DeviceRecord) => Result | undefined): Result | undefined {
    return this.#durably(() => {
      const record = this.#disk.devices.get(row);
      return record?.registration === undefined ? undefined : change(record);
    });
  }

  #putCommand(wall: WallTime, { row, name }: DeviceRecord, command: Command): StoredEvent {
    this.#disk.commands.put(keyOf(row, command.id), command);
    const { kind, paths } = command.operation;
    const details = { command: command.id, operation: kind, paths, state: command.state };
    return this.#append({ type: 'command', at: wall, row, name, details });
  }

  #append(event: FleetEvent): StoredEvent {
    const sequence = this.#disk.lastSequence + 1;
    const stored = { ...event, sequence };
    this.#disk.events.put(sequence, stored);
    this.#disk.writeMeta({ lastSequence: sequence });
    return stored;
  }

  /** A flush serves whatever was written before it, by whomever. */
  #durably<Result>(write: () => Result): Result {
    const result = this.#disk.transaction(write);
    this.#disk.journal.flushed(this.#disk.journal.committed);
    return result;
  }
}

function eventOf(type: 'credential-added' | 'credential-revoked', at: WallTime, credential: Credential): FleetEvent {
  return { type, at, row: credential.row, name: credential.endpoint, details: { credential: credential.id } };
}
