import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { Administration } from '../../src/adapters/lmdbAdmin.ts';
import { LmdbStore } from '../../src/adapters/lmdbStore.ts';
import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import type { DeviceRecord, Registration } from '../../src/fleet/device.ts';
import type { CredentialId, EndpointName, RegistrationId, Row } from '../../src/fleet/names.ts';
import { noProfiles } from '../../src/fleet/profile.ts';
import { type FleetRules, forget } from '../../src/fleet/registration.ts';
import type { Commit, Store } from '../../src/fleet/store.ts';
import { MemoryAdmin } from './memoryAdmin.ts';
import { MemoryDisk } from './memoryDisk.ts';
import { MemoryStore, promptBehaviour } from './memoryStore.ts';

/** A store, and somebody else who writes to the same disk. */
export interface StoreSubject {
  readonly store: Store;
  /** As `rollcall credential add`. */
  addCredential(name: string, identity: Bytes): Promise<{ id: CredentialId; row: Row }>;
  addOperator(name: string, identity: Bytes): Promise<void>;
  revoke(name: string, identity: Bytes): Promise<void>;
  /** As `rollcall device forget`: one change of the record. */
  forget(name: string): Promise<void>;
  /** The same disk under a new process. */
  reopen(): Promise<Store>;
  end(): Promise<void>;
}

export async function lmdbSubject(): Promise<StoreSubject> {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-store-'));
  const open = async () => {
    const { environment, keyring } = await openDataDirectory(directory, true);
    const store = await LmdbStore.open(environment, keyring, () => undefined);
    return { store, administration: new Administration(environment, keyring) };
  };
  let current = await open();
  return {
    store: current.store,
    async addCredential(name, identity) {
      const endpoint = name as EndpointName;
      const key = utf8('sixteen byte key');
      await current.administration.add(wall, [{ endpoint, sector: undefined, identity, key }]);
      const { id } = current.administration.credential(identity)!;
      return { id, row: current.administration.device(endpoint, undefined)!.row };
    },
    async addOperator(name, identity) {
      const key = utf8('sixteen byte key');
      const wanted = { endpoint: name as EndpointName, sector: undefined, identity, key, role: 'operator' } as const;
      await current.administration.add(wall, [wanted]);
    },
    async revoke(name, identity) {
      await current.administration.revoke(wall, name as EndpointName, undefined, identity);
    },
    async forget(name) {
      const { row } = current.administration.device(name as EndpointName, undefined)!;
      await current.administration.change(row, record => forget(rules, wall, record));
    },
    async reopen() {
      await current.store.close();
      current = await open();
      return current.store;
    },
    async end() {
      await current.store.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export async function memorySubject(): Promise<StoreSubject> {
  const disk = new MemoryDisk();
  const admin = new MemoryAdmin(disk);
  const store = new MemoryStore(disk, promptBehaviour);
  return {
    store,
    async addCredential(name, identity) {
      return admin.addCredential(wall, name as EndpointName, identity, utf8('sixteen byte key'));
    },
    async addOperator(name, identity) {
      admin.addCredential(wall, name as EndpointName, identity, utf8('sixteen byte key'), 'operator');
    },
    async revoke(_name, identity) {
      admin.revoke(wall, identity);
    },
    async forget(name) {
      admin.forget(wall, rules, store.view().row(name as EndpointName, undefined)!);
    },
    async reopen() {
      store.abandon();
      return new MemoryStore(disk, promptBehaviour);
    },
    async end() {
      store.abandon();
    },
  };
}

export function recordOf(row: number, version: number, name = `device-${row}`): DeviceRecord {
  const registration: Registration = {
    owner: undefined,
    dialect: 'lwm2m',
    version: [1, 1],
    lifetime: 300,
    expires: (wall + 300_000) as WallTime,
    binding: 'U',
    queueMode: false,
    sms: undefined,
    transport: 'coap',
    address: '127.0.0.1',
    port: 5683,
    registeredAt: wall,
    lastContact: wall,
    allocation: new Uint8Array(),
    description: new Uint8Array(),
  };
  return {
    row: row as Row,
    generation: 0,
    version,
    name: name as EndpointName,
    sector: undefined,
    registration,
    lastExchange: undefined,
  };
}

/** A change with one event. */
export function changeOf(record: DeviceRecord): Commit {
  const { row, name, version } = record;
  return {
    devices: [{ expected: version - 1, record }],
    events: [{ type: 'registered', at: wall, row, name, details: { version } }],
  };
}

const wall = 1_700_000_000_000 as WallTime;
const rules: FleetRules = {
  grace: 0,
  outages: [],
  profiles: noProfiles,
  registrationId: (row, generation) => `${row}.${generation}` as RegistrationId,
};
