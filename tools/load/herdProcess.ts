import { setPriority } from 'node:os';
import { utf8 } from '../../src/base/bytes.ts';
import type { Target } from './deviceSocket.ts';
import { type SimulatedDevice, simulatedDevice } from './fleet.ts';
import { inFlight } from './inFlight.ts';
import { LoadFailure, UdpDevice } from './udpDevice.ts';

/**
 * A part of a herd in a process of its own, because every device that is not served yet keeps a socket and one process has
 * only so many: devices that handshake and register. They are there with their sockets before they begin, so that those
 * that are not served cost little. Each order is answered when all of them are there, or are served or gave up.
 */
let devices: HerdDevice[] = [];
process.on('message', (order: HerdOrder) => {
  if (order.kind === 'gather') {
    void gather(order).then(gathered => {
      devices = gathered;
      process.send!('gathered');
    });
    return;
  }
  const own = process.cpuUsage();
  void (order.kind === 'calm' ? calm(order.width) : storm(order.perSecond)).then(async served => {
    const { user, system } = process.cpuUsage(own);
    await Promise.all(devices.map(({ device }) => device.vanish()));
    process.send!({ ...served, cpuMicros: user + system } satisfies HerdPart);
  });
});
// On two cores, three of these weigh as much as the server's thread: it has one core, and they share the other.
setPriority(5);
process.send!('ready');

/** `calm`: no more than `width` at a time. `storm`: so many arrive each second, whether anybody is served or not. */
export type HerdOrder =
  | {
      readonly kind: 'gather';
      readonly server: Target;
      readonly prefix: string;
      readonly first: number;
      readonly count: number;
    }
  | { readonly kind: 'calm'; readonly width: number }
  | { readonly kind: 'storm'; readonly perSecond: number };

export interface HerdPart extends Served {
  readonly cpuMicros: number;
}

interface Served {
  /** In milliseconds, of those that registered. */
  readonly latencies: readonly number[];
  readonly failed: number;
  /** How many registered while others still arrived, and for how long that was. */
  readonly meanwhile: number;
  readonly arrivalSeconds: number;
  readonly lastSeconds: number;
}

interface HerdDevice {
  readonly device: UdpDevice;
  readonly simulated: SimulatedDevice;
}

function gather({ server, prefix, first, count }: HerdOrder & { kind: 'gather' }): Promise<HerdDevice[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const simulated = simulatedDevice(prefix, first + i);
      const { identity, key } = simulated;
      return { simulated, device: await UdpDevice.open(server, { identity: utf8(identity), key }) };
    }),
  );
}

async function calm(width: number): Promise<Served> {
  const { latencies, failed, seconds } = await inFlight(devices.length, width, i => come(devices[i]!));
  return { latencies, failed, meanwhile: latencies.length, arrivalSeconds: seconds, lastSeconds: seconds };
}

async function storm(perSecond: number): Promise<Served> {
  const latencies: number[] = [];
  let failed = 0;
  let meanwhile = 0;
  let arrivalSeconds: number | undefined;
  const start = performance.now();
  const since = () => (performance.now() - start) / 1000;
  const one = async (arriving: HerdDevice) => {
    const began = performance.now();
    try {
      await come(arriving);
      latencies.push(performance.now() - began);
      if (arrivalSeconds === undefined) meanwhile++;
    } catch (error) {
      if (!(error instanceof LoadFailure)) throw error;
      failed++;
    }
  };
  const all: Promise<void>[] = [];
  while (all.length < devices.length) {
    // Whoever is behind does not catch up at the cost of those that are being served.
    const due = Math.min(devices.length, Math.ceil(since() * perSecond), all.length + mostAtOnce);
    while (all.length < due) all.push(one(devices[all.length]!));
    await new Promise(resolve => setTimeout(resolve, 2));
  }
  arrivalSeconds = since();
  await Promise.all(all);
  return { latencies, failed, meanwhile, arrivalSeconds, lastSeconds: since() };
}

async function come({ device, simulated }: HerdDevice): Promise<void> {
  await device.connect();
  await device.register(simulated.registration);
}

const mostAtOnce = 32;
