import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { Administration } from '../../src/adapters/lmdbAdmin.ts';
import { LmdbStore } from '../../src/adapters/lmdbStore.ts';
import { BlockPermutation } from '../../src/adapters/registrationIds.ts';
import { fromHex, noBytes, utf8 } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import type { WallTime } from '../../src/base/time.ts';
import { pskSuites } from '../../src/dtls/codec/cipherSuite.ts';
import type { Credential } from '../../src/fleet/credential.ts';
import type { Row } from '../../src/fleet/names.ts';
import { noProfiles } from '../../src/fleet/profile.ts';
import { defaultGrace, type FleetRules, register } from '../../src/fleet/registration.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import type { SessionRow } from '../../src/fleet/session.ts';
import type { Commit } from '../../src/fleet/store.ts';
import { isRefusal } from '../../src/lwm2m/refusal.ts';
import { emptyDescription } from '../../src/lwm2m/registrationRequest.ts';
import { sessionRow } from '../../src/server/sessionForm.ts';
import { addBatch, type SimulatedDevice, simulatedDevice } from '../load/fleet.ts';

/**
 * Fills a fresh data directory with `count` registered devices, by the fleet's own decisions and the store's own
 * commits; with credentials if they come over DTLS, and with sessions as the server keeps them if they are connected.
 */
export async function preload(
  data: string,
  count: number,
  kind: 'plain' | 'credentials' | 'sessions',
  progress: (done: number) => void,
): Promise<void> {
  const secure = kind !== 'plain';
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
        const row = secure ? view.row(device.name, undefined)! : store.allocateRow()!;
        const commit = registered(rules, device, row, secure ? view.device(row)! : undefined, i);
        if (kind !== 'sessions') return durable(store, commit);
        const credential = view.credential(utf8(device.identity))!;
        return durable(store, { ...commit, sessions: [{ kind: 'opened', session: session(done + i, credential) }] });
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
      digest: fromHex('0000000000000000')!,
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

/** A session that nobody is at the other end of. */
function session(number: number, { id, identity, key, row }: Credential): SessionRow {
  const suite = pskSuites[0]!;
  const direction = { key: key.subarray(0, suite.keyLength), iv: key.subarray(0, 4), mac: noBytes };
  return sessionRow({
    peer: (firstPreloadedPeer + number) as Peer,
    owner: { row, credential: id },
    remote: { socket: 1, address: `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`, port: 5684 },
    suite,
    keys: { client: direction, server: direction },
    maxPlaintext: 16_384,
    cids: { server: new Uint8Array(8), client: noBytes, returnRoutability: false },
    createdAt: Date.now() as WallTime,
    writeSequence: 0,
    writeMark: 1000,
    readMark: 0,
    helloStart: number,
    lastFlight: { verifyData: new Uint8Array(12), messageSequence: 3, plainSequence: 3 },
    resumption: undefined,
    identity,
  });
}

function durable(store: LmdbStore, commit: Commit): Promise<void> {
  return new Promise((resolve, reject) =>
    store.commit(commit, result => (result === 'durable' ? resolve() : reject(new Error(result)))),
  );
}

const batchLength = 2000;
/** Beyond those of the devices that connect. */
const firstPreloadedPeer = 1_000_000;
