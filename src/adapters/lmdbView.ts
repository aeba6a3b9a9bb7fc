import { type Bytes, toHex } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { Command } from '../fleet/command.ts';
import { type Credential, noRow } from '../fleet/credential.ts';
import type { Desired } from '../fleet/desired.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { StoredEvent } from '../fleet/event.ts';
import type { EndpointName, Row, Sector } from '../fleet/names.ts';
import type { Observation } from '../fleet/observation.ts';
import type { Overlay } from '../fleet/overlay.ts';
import type { SessionRow } from '../fleet/session.ts';
import type { View } from '../fleet/store.ts';
import type { LastValue } from '../fleet/value.ts';
import type { Path, ValuePath } from '../lwm2m/path.ts';
import type { Keyring } from './keyring.ts';
import type { Environment } from './lmdbEnvironment.ts';
import {
  decodeCredential,
  decodeEvent,
  decodeName,
  decodeRecord,
  type NameEntry,
  nameKey,
  rowOfEvent,
} from './lmdbForms.ts';
import {
  countValues,
  readCommands,
  readDesired,
  readObservation,
  readObservations,
  readValue,
  readValues,
} from './lmdbModel.ts';
import { resumableSession } from './lmdbSessions.ts';

/** What a decision sees: one snapshot, with our own changes under way laid over it. */
export class LmdbView implements View {
  restsOnPending = false;
  #asked: { readonly key: string; readonly entry: NameEntry | undefined } | undefined;
  readonly #environment: Environment;
  readonly #keyring: Keyring;
  readonly #overlay: Overlay;

  constructor(environment: Environment, keyring: Keyring, overlay: Overlay) {
    this.#environment = environment;
    this.#keyring = keyring;
    this.#overlay = overlay;
  }

  device(row: Row): DeviceRecord | undefined {
    const pending = this.#overlay.record(row);
    if (pending !== undefined) {
      this.restsOnPending = true;
      return pending;
    }
    const bytes = this.#environment.devices.get(row);
    return bytes === undefined ? undefined : decodeRecord(row, bytes);
  }

  row(name: EndpointName, sector: Sector | undefined): Row | undefined {
    const pending = this.#overlay.row(name, sector);
    if (pending !== undefined) {
      this.restsOnPending = true;
      return pending;
    }
    const row = this.#name(name, sector)?.row;
    return row === noRow ? undefined : row;
  }

  credential(identity: Bytes): Credential | undefined {
    if (identity.length === 0 || identity.length > maxKeyLength) return undefined;
    const bytes = this.#environment.credentials.get(identity);
    if (bytes === undefined) return undefined;
    const { sealedKey, ...credential } = decodeCredential(bytes);
    const key = this.#keyring.open(sealedKey, identity);
    if (key === undefined) {
      throw new Error(`the key of identity ${toHex(identity)} was sealed under another master key`);
    }
    return { ...credential, identity, key };
  }

  observations(row: Row): Observation[] {
    return readObservations(this.#environment, row);
  }

  observation(row: Row, id: number): Observation | undefined {
    return readObservation(this.#environment, row, id);
  }

  commands(row: Row): Command[] {
    return readCommands(this.#environment, row);
  }

  desired(row: Row): Desired[] {
    return readDesired(this.#environment, row);
  }

  value(row: Row, path: ValuePath): LastValue | undefined {
    return readValue(this.#environment, row, path);
  }

  values(row: Row, below: Path): LastValue[] {
    return readValues(this.#environment, row, below);
  }

  valueCount(row: Row): number {
    return countValues(this.#environment, row);
  }

  resumable(origin: Peer): SessionRow | undefined {
    return resumableSession(this.#environment, this.#keyring, origin);
  }

  nameHasCredential(name: EndpointName, sector: Sector | undefined): boolean {
    return (this.#name(name, sector)?.identities.length ?? 0) > 0;
  }

  /** A registration on plain CoAP asks twice about its name. */
  #name(name: EndpointName, sector: Sector | undefined): NameEntry | undefined {
    const key = `${sector ?? ''}\0${name}`;
    if (this.#asked?.key !== key) {
      const bytes = this.#environment.names.get(nameKey(name, sector));
      this.#asked = { key, entry: bytes === undefined ? undefined : decodeName(bytes) };
    }
    return this.#asked.entry;
  }
}

export function readDevices({ devices }: Environment, from: Row, limit: number): DeviceRecord[] {
  const page: DeviceRecord[] = [];
  for (const { key, value } of devices.getRange({ start: from, limit })) page.push(decodeRecord(key as Row, value));
  return page;
}

export function readEvents({ events }: Environment, from: number, limit: number): StoredEvent[] {
  const page: StoredEvent[] = [];
  for (const { key, value } of events.getRange({ start: from, limit })) page.push(decodeEvent(key, value));
  return page;
}

/** The newest `limit` events of a device that `wanted` accepts, oldest first: found from the end of the log backwards. */
export function readEventsOf(
  { events }: Environment,
  row: Row,
  limit: number,
  wanted: (event: StoredEvent) => boolean,
): StoredEvent[] {
  const found: StoredEvent[] = [];
  for (const { key, value } of events.getRange({ reverse: true })) {
    if (found.length === limit) break;
    if (rowOfEvent(value) !== row) continue;
    const event = decodeEvent(key, value);
    if (wanted(event)) found.push(event);
  }
  return found.reverse();
}

const maxKeyLength = 128;
