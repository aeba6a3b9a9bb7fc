import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { type Environment, lastSequence, transact } from '../../src/adapters/lmdbEnvironment.ts';
import { encodeEvent } from '../../src/adapters/lmdbForms.ts';
import { writeModel } from '../../src/adapters/lmdbModel.ts';
import { LmdbStore } from '../../src/adapters/lmdbStore.ts';
import { readEvents, readEventsOf } from '../../src/adapters/lmdbView.ts';
import { BlockPermutation } from '../../src/adapters/registrationIds.ts';
import { SystemRandom } from '../../src/adapters/systemRandom.ts';
import type { Peer } from '../../src/base/peer.ts';
import type { Instant, WallTime } from '../../src/base/time.ts';
import { Writer } from '../../src/base/writer.ts';
import { eventJson } from '../../src/cli/events.ts';
import { CoapEndpoint } from '../../src/coap/endpoint.ts';
import type { EndpointName, Row } from '../../src/fleet/names.ts';
import { RegistrationIds } from '../../src/fleet/registrationId.ts';
import type { DownlinkOut } from '../../src/service/downlinkOut.ts';
import { Service } from '../../src/service/service.ts';
import { preload } from './preload.ts';
import { inFreshDirectory } from './study.ts';

/** What one observation that goes on costs of the server's memory, and how fast events that are stored are read. */
export interface ModelFigures {
  readonly observations: number;
  /** On the heap and in typed arrays together. */
  readonly bytesPerObservation: number;
  readonly events: number;
  /** Decoded, a page at a time, as whoever follows them reads; in a second of CPU, whatever else the machine does. */
  readonly eventsPerSecond: number;
  /** The same as `rollcall events --json` writes them. */
  readonly jsonLinesPerSecond: number;
  /** For how long a device is looked for that none of them is about. */
  readonly rareDeviceMs: number;
}

export function measureDeviceModel(observations: number, events: number): Promise<ModelFigures> {
  return inFreshDirectory(async data => {
    const bytesPerObservation = await observationBytes(data, observations);
    return { observations, bytesPerObservation, events, ...(await eventRates(data, events)) };
  });
}

/**
 * A server is started on a store of devices that each have one active observation with a pmax, as an earlier process left
 * them. The first devices fill what is bounded anyway, such as what is kept of the devices that were heard last.
 */
export async function observationBytes(data: string, count: number): Promise<number> {
  await preload(data, warmUp + count, 'plain', () => undefined);
  const { environment, keyring } = await openDataDirectory(data, false);
  const rows = Array.from(environment.devices.getKeys()) as Row[];
  await transact(environment, () => {
    for (const row of rows) writeModel(environment, activeObservation(row));
  });
  const store = await LmdbStore.open(environment, keyring, raise);
  const ids = new RegistrationIds(new BlockPermutation(keyring.registrationIds));
  const service = new Service({ ids, insecureCoap: true });
  const coap = new CoapEndpoint({ random: new SystemRandom() });
  const out: DownlinkOut = {
    now: { instant: 0 as Instant, wall: Date.now() as WallTime },
    view: () => store.view(),
    commit: () => raise('nothing is to be written'),
    ask: () => raise('nobody is to be asked'),
    cancel: () => undefined,
    reach: () => undefined,
    isThere: () => true,
    newObservationToken: peer => coap.newObservationToken(peer),
    restoreStanding: (peer, token, id) => coap.restoreStanding(peer, token, id),
    forgetStanding: (peer, token) => coap.forgetStanding(peer, token),
    forgetObservations: (peer, isMeant) => coap.forgetObservations(peer, isMeant),
    confirm: () => undefined,
    reject: () => undefined,
    forget: () => undefined,
  };
  let before = 0;
  let restored = 0;
  for (const row of store.rowsWithWork()) {
    if (restored === warmUp) before = memory();
    service.devices.restore(row, out);
    restored++;
  }
  const used = memory() - before;
  const { observations } = coap.sizes();
  if (observations !== warmUp + count) throw new Error(`${observations} observations go on`);
  if (service.devices.sizes().lines !== 0) throw new Error('something is wanted of a device');
  await store.close();
  return Math.round(used / count);
}

async function eventRates(data: string, count: number) {
  const { environment } = await openDataDirectory(data, false);
  try {
    const first = lastSequence(environment) + 1;
    for (let at = 0; at < count; at += eventBatch)
      await putEvents(environment, first + at, Math.min(eventBatch, count - at));
    return {
      eventsPerSecond: perSecond(count, () => followed(environment, first, () => undefined)),
      jsonLinesPerSecond: perSecond(count, () =>
        followed(environment, first, event => JSON.stringify(eventJson(event))),
      ),
      rareDeviceMs: Math.round(milliseconds(() => readEventsOf(environment, rareRow, 100, () => true).length)),
    };
  } finally {
    await environment.root.close();
  }
}

/** Reads all events from one on, and looks at each. */
function followed(
  environment: Environment,
  first: number,
  look: (event: Parameters<typeof eventJson>[0]) => unknown,
): number {
  let read = 0;
  for (let next = first; ; ) {
    environment.root.resetReadTxn();
    const page = readEvents(environment, next, pageLength);
    for (const event of page) look(event);
    read += page.length;
    if (page.length < pageLength) return read;
    next = page.at(-1)!.sequence + 1;
  }
}

async function putEvents(environment: Environment, first: number, count: number): Promise<void> {
  await transact(environment, () => {
    for (let i = 0; i < count; i++) {
      const row = (1 + ((first + i) % 1000)) as Row;
      const details = { observation: 1, values: { '/3303/0/5700': 20 + (i % 100) / 10 } };
      const event = {
        type: 'value' as const,
        at: Date.now() as WallTime,
        row,
        name: `node-${row}` as EndpointName,
        details,
      };
      void environment.events.put(first + i, encodeEvent(event));
    }
  });
}

function activeObservation(row: Row): Parameters<typeof writeModel>[1] {
  const observation = {
    id: 1,
    version: 1,
    paths: ['/3303/0/5700'],
    attributes: { pmin: 10, pmax: 300 },
    source: 'profile' as const,
    state: 'active' as const,
    reason: undefined,
    peer: (1_000_000 + row) as Peer,
    token: new Writer(8).u32(row).u32(row).finish(),
    since: Date.now() as WallTime,
  };
  return { devices: [], events: [], observations: [{ row, generation: 0, id: 1, expected: 0, observation }] };
}

function perSecond(count: number, run: () => number): number {
  let read = 0;
  const taken = milliseconds(() => {
    read = run();
  });
  if (read !== count) throw new Error(`${read} of ${count} events were read`);
  return Math.round((1000 * count) / taken);
}

/** Of CPU, of all threads of this process. */
function milliseconds(run: () => unknown): number {
  const start = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

/** Of what is reachable. */
function memory(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function raise(error: unknown): never {
  throw error instanceof Error ? error : new Error(String(error));
}

const warmUp = 5000;
const eventBatch = 20_000;
const pageLength = 1000;
const rareRow = 4_000_000 as Row;
