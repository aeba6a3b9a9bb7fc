import { type Bytes, noBytes, sameBytes, toHex } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import { type CredentialRole, maxIdentityBytes, maxKeyBytes, noRow } from '../fleet/credential.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { FleetEvent } from '../fleet/event.ts';
import type { CredentialId, EndpointName, Row, Sector } from '../fleet/names.ts';
import type { Observation } from '../fleet/observation.ts';
import type { Decision } from '../fleet/registration.ts';
import { termChanges } from '../fleet/terms.ts';
import { changeAndRing } from './doorbell.ts';
import { type Keyring, sameSecret } from './keyring.ts';
import { type Environment, lastSequence, readMeta, writeMeta } from './lmdbEnvironment.ts';
import {
  decodeCredential,
  decodeName,
  decodeRecord,
  encodeCredential,
  encodeEvent,
  encodeName,
  encodeRecord,
  type NameEntry,
  nameKey,
  type SealedCredential,
  versionOf,
} from './lmdbForms.ts';
import { mayModel, putRecord, readObservations, writeModel } from './lmdbModel.ts';
import { removeSession } from './lmdbSessions.ts';
import { takeRows } from './lmdbStore.ts';
import { TermWrites } from './lmdbTerms.ts';
import { OperatorError, UsageError } from './operatorError.ts';

/**
 * What operators change: credentials. Each change is one transaction with its event, checked against what is there at
 * that moment, so that it is right while a server runs on the same directory; the server reads it from the event.
 */
export class Administration {
  readonly #environment: Environment;
  readonly #keyring: Keyring;

  constructor(environment: Environment, keyring: Keyring) {
    this.#environment = environment;
    this.#keyring = keyring;
  }

  /** Adds credentials in one transaction; returns what became of each. */
  async add(wall: WallTime, wanted: readonly NewCredential[]): Promise<readonly AddResult[]> {
    const environment = this.#environment;
    const sealed = wanted.map(({ key, identity }) => this.#keyring.seal(key, identity));
    const results = await changeAndRing(environment, () => {
      if (!sameBytes(readMeta(environment, 'keys') ?? noBytes, this.#keyring.wrapped)) return 'rotated';
      let sequence = lastSequence(environment);
      let nextId = readMeta(environment, 'nextCredential') ?? 1;
      const terms = new TermWrites();
      const results = wanted.map((credential, i) => {
        const present = environment.credentials.get(credential.identity);
        if (present !== undefined)
          return this.#isSame(credential, decodeCredential(present)) ? 'unchanged' : 'identity-taken';
        const row = this.#rowFor(credential, terms);
        if (row === undefined) return 'name-taken';
        const stored: SealedCredential = {
          id: nextId++ as CredentialId,
          sealedKey: sealed[i]!,
          endpoint: credential.endpoint,
          sector: credential.sector,
          row,
          createdAt: wall,
          revokedAt: undefined,
          role: credential.role ?? 'device',
        };
        void environment.credentials.put(credential.identity, encodeCredential(stored));
        void environment.events.put(++sequence, encodeEvent(eventOf('credential-added', wall, stored)));
        return 'added';
      });
      terms.write(environment);
      void writeMeta(environment, 'nextCredential', nextId);
      return results as AddResult[];
    });
    if (results === 'rotated') throw new OperatorError('the master key was changed at this moment: try again');
    return results;
  }

  /** Revokes all credentials of a name, or the one with this identity. Returns how many there were left to revoke. */
  async revoke(
    wall: WallTime,
    endpoint: EndpointName,
    sector: Sector | undefined,
    identity: Bytes | undefined,
  ): Promise<number> {
    const environment = this.#environment;
    return changeAndRing(environment, () => {
      let sequence = lastSequence(environment);
      let revoked = 0;
      for (const candidate of this.identitiesOf(endpoint, sector)) {
        if (identity !== undefined && toHex(candidate) !== toHex(identity)) continue;
        const bytes = environment.credentials.get(candidate);
        const credential = bytes === undefined ? undefined : decodeCredential(bytes);
        if (credential === undefined || credential.revokedAt !== undefined) continue;
        const after = { ...credential, revokedAt: wall };
        void environment.credentials.put(candidate, encodeCredential(after));
        // A server that starts later finds no session of it; one that runs learns of it from the event.
        removeSession(environment, after.id);
        void environment.events.put(++sequence, encodeEvent(eventOf('credential-revoked', wall, after)));
        revoked++;
      }
      return revoked;
    });
  }

  /** Applies a decision on one record, if nobody was faster: then it is decided again. */
  async change(
    row: Row,
    decide: (record: DeviceRecord, observed: readonly Observation[]) => Decision | undefined,
  ): Promise<boolean> {
    const environment = this.#environment;
    return changeAndRing(environment, () => {
      const bytes = environment.devices.get(row);
      const before = bytes === undefined ? undefined : decodeRecord(row, bytes);
      const decision = before && decide(before, readObservations(environment, row));
      if (decision === undefined || versionOf(bytes) + 1 !== decision.record.version) return false;
      const { commit } = decision;
      if (!mayModel(environment, commit)) return false;
      const terms = new TermWrites();
      terms.note(decision.record.row, termChanges(before, decision.record));
      terms.write(environment);
      let sequence = lastSequence(environment);
      putRecord(environment, decision.record);
      writeModel(environment, commit);
      for (const event of commit.events) void environment.events.put(++sequence, encodeEvent(event));
      return true;
    });
  }

  device(endpoint: EndpointName, sector: Sector | undefined): DeviceRecord | undefined {
    const entry = this.#name(endpoint, sector);
    const bytes = entry === undefined ? undefined : this.#environment.devices.get(entry.row);
    return entry === undefined || bytes === undefined ? undefined : decodeRecord(entry.row, bytes);
  }

  identitiesOf(endpoint: EndpointName, sector: Sector | undefined): readonly Bytes[] {
    return this.#name(endpoint, sector)?.identities ?? [];
  }

  /** Without its key, which nobody is ever shown again. */
  credential(identity: Bytes): ShownCredential | undefined {
    const bytes = this.#environment.credentials.get(identity);
    return bytes === undefined ? undefined : shown(identity, decodeCredential(bytes));
  }

  /** A page of credentials in the order of their identities, from after `after` on. */
  credentials(after: Bytes | undefined, limit: number): ShownCredential[] {
    const page: ShownCredential[] = [];
    const range = { ...(after === undefined ? {} : { start: after, exclusiveStart: true }), limit };
    for (const { key, value } of this.#environment.credentials.getRange(range)) {
      page.push(shown(new Uint8Array(key), decodeCredential(value)));
    }
    return page;
  }

  /**
   * The row of a name; a name that is new gets one, with an empty record, unless it is an operator's. A name is that of a
   * device or of an operator: `undefined` if it is the other.
   */
  #rowFor({ endpoint, sector, identity, role = 'device' }: NewCredential, terms: TermWrites): Row | undefined {
    const { names, devices } = this.#environment;
    const entry = this.#name(endpoint, sector);
    if (entry !== undefined && (entry.row === noRow) !== (role === 'operator')) return undefined;
    const row = entry?.row ?? (role === 'operator' ? noRow : (takeRows(this.#environment, 1) as Row));
    const identities = [...(entry?.identities ?? []), identity];
    void names.put(nameKey(endpoint, sector), encodeName({ row, identities }));
    if (entry === undefined && row !== noRow) {
      const record: DeviceRecord = {
        row,
        generation: 0,
        version: 1,
        name: endpoint,
        sector,
        registration: undefined,
        lastExchange: undefined,
      };
      void devices.put(row, encodeRecord(record));
      terms.note(record.row, termChanges(undefined, record));
    }
    return row;
  }

  #isSame(wanted: NewCredential, present: SealedCredential): boolean {
    const key = this.#keyring.open(present.sealedKey, wanted.identity);
    return (
      present.revokedAt === undefined &&
      present.endpoint === wanted.endpoint &&
      present.sector === wanted.sector &&
      present.role === (wanted.role ?? 'device') &&
      key !== undefined &&
      sameSecret(key, wanted.key)
    );
  }

  #name(endpoint: EndpointName, sector: Sector | undefined): NameEntry | undefined {
    const bytes = this.#environment.names.get(nameKey(endpoint, sector));
    return bytes === undefined ? undefined : decodeName(bytes);
  }
}

/**
 * `unchanged`: this very credential was there. `identity-taken`: another one has this identity, perhaps a revoked one.
 * `name-taken`: the name is a device's, and this was to be an operator; or the other way round.
 */
export type AddResult = 'added' | 'unchanged' | 'identity-taken' | 'name-taken';

export interface NewCredential {
  readonly endpoint: EndpointName;
  readonly sector: Sector | undefined;
  readonly identity: Bytes;
  readonly key: Bytes;
  /** A device's, unless it says so. */
  readonly role?: CredentialRole;
}

export interface ShownCredential {
  readonly id: CredentialId;
  readonly identity: Bytes;
  readonly endpoint: EndpointName;
  readonly sector: Sector | undefined;
  readonly createdAt: WallTime;
  readonly revokedAt: WallTime | undefined;
  readonly role: CredentialRole;
}

/** Throws `OperatorError` with what is wrong. */
export function checkCredential({ identity, key }: { identity: Bytes; key: Bytes }): void {
  if (identity.length === 0 || identity.length > maxIdentityBytes) {
    throw new UsageError(`an identity has 1 to ${maxIdentityBytes} bytes, this one ${identity.length}`);
  }
  if (key.length === 0 || key.length > maxKeyBytes) {
    throw new UsageError(`a key has 1 to ${maxKeyBytes} bytes, this one ${key.length}`);
  }
}

function shown(identity: Bytes, credential: SealedCredential): ShownCredential {
  const { id, endpoint, sector, createdAt, revokedAt, role } = credential;
  return { id, identity, endpoint, sector, createdAt, revokedAt, role };
}

function eventOf(
  type: 'credential-added' | 'credential-revoked',
  at: WallTime,
  credential: SealedCredential,
): FleetEvent {
  const { row, endpoint, sector, id } = credential;
  return { type, at, row, name: endpoint, ...(sector === undefined ? {} : { sector }), details: { credential: id } };
}
