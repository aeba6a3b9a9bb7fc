import { createHash } from 'node:crypto';
import { openDataDirectory } from '../../src/adapters/dataDirectory.ts';
import { Administration } from '../../src/adapters/lmdbAdmin.ts';
import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import type { EndpointName } from '../../src/fleet/names.ts';
import { emptyDescription } from '../../src/lwm2m/registrationRequest.ts';
import type { MapContent } from '../../src/lwm2m/writeRegistrationMap.ts';

/** A simulated device: who it is, and what it says of itself. The same number is the same device in every run. */
export interface SimulatedDevice {
  readonly name: EndpointName;
  readonly identity: string;
  readonly key: Bytes;
  readonly registration: MapContent;
}

export function simulatedDevice(prefix: string, number: number): SimulatedDevice {
  // Neighbouring numbers are no neighbours in the store, as with serial numbers of many makers.
  const digest = createHash('sha256').update(`${prefix} ${number}`).digest();
  const name = `${prefix}-${digest.toString('hex', 0, 6)}` as EndpointName;
  const key = new Uint8Array(digest.subarray(16));
  return {
    name,
    identity: name,
    key,
    registration: {
      endpoint: name,
      lifetime: 86_400,
      version: [1, 1],
      binding: 'U',
      description: {
        ...emptyDescription,
        contentFormats: [110, 112],
        objects: [
          { id: 1, version: undefined, instances: [0] },
          { id: 3, version: [1, 1], instances: [0] },
          { id: 3303, version: undefined, instances: [0, 1] },
        ],
        metadata: { manufacturer: 'Example', model: 'Simulated', serial: String(number), firmware: '1.0.0' },
      },
    },
  };
}

/** Puts the devices' credentials into a server's store, which may be in use; those that are there already stay. */
export async function addCredentials(
  data: string,
  devices: Iterable<SimulatedDevice>,
  progress?: (added: number) => void,
): Promise<void> {
  const { environment, keyring } = await openDataDirectory(data, false);
  try {
    const administration = new Administration(environment, keyring);
    let added = 0;
    let batch: SimulatedDevice[] = [];
    const flush = async () => {
      await addBatch(administration, batch);
      added += batch.length;
      batch = [];
      progress?.(added);
    };
    for (const device of devices) {
      batch.push(device);
      if (batch.length === batchLength) await flush();
    }
    if (batch.length > 0) await flush();
  } finally {
    await environment.root.close();
  }
}

export async function addBatch(administration: Administration, devices: readonly SimulatedDevice[]): Promise<void> {
  await administration.add(
    Date.now() as WallTime,
    devices.map(({ name, identity, key }) => ({
      endpoint: name,
      sector: undefined,
      identity: utf8(identity),
      key,
    })),
  );
}

const batchLength = 1000;
