import { type Bytes, toHex } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import { type Credential, type CredentialRole, noRow } from '../../src/fleet/credential.ts';
import type { FleetEvent, StoredEvent } from '../../src/fleet/event.ts';
import type { CredentialId, EndpointName, Row } from '../../src/fleet/names.ts';
import { type FleetRules, forget } from '../../src/fleet/registration.ts';
import { type MemoryDisk, nameKey } from './memoryDisk.ts';
import { putRecord } from './memoryModel.ts';

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
