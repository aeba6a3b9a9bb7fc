import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { Administration } from '../../src/adapters/lmdbAdmin.ts';
import { LmdbStore } from '../../src/adapters/lmdbStore.ts';
import { BlockPermutation } from '../../src/adapters/registrationIds.ts';
import type { WallTime } from '../../src/base/time.ts';
import type { Row } from '../../src/fleet/names.ts';
import { noProfiles } from '../../src/fleet/profile.ts';
import { defaultGrace, type FleetRules, register } from '../../src/fleet/registration.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import type { Commit } from '../../src/fleet/store.ts';
import { isRefusal } from '../../src/lwm2m/refusal.ts';
import { emptyDescription } from '../../src/lwm2m/registrationRequest.ts';
import { addBatch, type SimulatedDevice, simulatedDevice } from '../load/fleet.ts';

/**
 * Fills a fresh data directory with `count` registered devices, by the fleet's own decisions and the store's own
 * commits; with credentials as well if they come over DTLS.
 */
export async function preload(
  data: string,
  count: number,
  secure: boolean,
  progress: (done: number) => void,
): Promise<void> {
  const { environment, keyring } = await openDataDirectory(data, true);
  const administration = new Administration(environment, keyring);
  const store = await LmdbStore.open(environment, keyring, error => {
    throw error;
  });
  const ids = new RegistrationIds(new BlockPermutation(keyring.registrationIds));
  const rules: FleetRules = {
    grace: defaultGrace,
    outages: [],
    profiles: noProfiles,
    registrationId: (row, generation) => ids.of(row, generation),
  };
  for (let done = 0; done < count; done += batchLength) {
    const batch = Array.from({ length: Math.min(batchLength, count - done) }, (_, i) =>
      simulatedDevice('preloaded', done + i),
    );
    if (secure) await addBatch(administration, batch);
    const view = store.view();
    await Promise.all(
      batch.map((device, i) => {
        const row = secure ? view.row(device.name, undefined)! : store.allocateRow();
        return durable(store, registered(rules, device, row, secure ? view.device(row)! : undefined, i));
      }),
    );
    progress(Math.min(count, done + batchLength));
  }
  await store.close();
}

function registered(
  rules: FleetRules,
  { name, registration }: SimulatedDevice,
  row: Row,
  before: Parameters<typeof register>[6],
  messageId: number,
): Commit {
  const decided = register(
    rules,
    {
      wall: Date.now() as WallTime,
      principal: { kind: 'anonymous' },
      transport: 'coap',
      address: '192.0.2.1',
      port: 5683,
      association: undefined,
      sequence: undefined,
      messageId,
      digest: '0000000000000000',
    },
    {
      dialect: 'cbor',
      endpoint: name,
      sector: undefined,
      lifetime: registration.lifetime,
      version: registration.version,
      binding: registration.binding,
      queueMode: false,
      sms: undefined,
      description: { ...emptyDescription, ...registration.description },
    },
    name,
    undefined,
    row,
    before,
    [],
  );
  if (isRefusal(decided) || decided.kind !== 'change') throw new Error(`${name} was not registered`);
  return decided.commit;
}

function durable(store: LmdbStore, commit: Commit): Promise<void> {
  return new Promise((resolve, reject) =>
    store.commit(commit, result => (result === 'durable' ? resolve() : reject(new Error(result)))),
  );
}

const batchLength = 2000;
