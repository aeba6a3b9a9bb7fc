import { utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { DeviceOptions } from '../../src/device/device.ts';
import { addCredentials, type SimulatedDevice, simulatedDevice } from '../load/fleet.ts';
import { inFlight, type LoadResult, shuffled } from '../load/inFlight.ts';
import { type Target, UdpDevice } from '../load/udpDevice.ts';
import type { ServerProcess } from './serverProcess.ts';

/** A thing that devices do to the server: prepared first, then done as often as asked, and that is measured. */
export type Scenario = (setting: Setting) => Promise<PreparedScenario>;

export interface Setting {
  readonly server: ServerProcess;
  readonly data: string;
  readonly secure: boolean;
  /** How many operations there will be at most, warming up included. */
  readonly operations: number;
  readonly width: number;
  /** How many sessions are open, or how many addresses send, while updates are measured. */
  readonly peers: number;
  readonly progress: (done: number, failed: number) => void;
}

export interface PreparedScenario {
  run(operations: number): Promise<LoadResult>;
  end(): Promise<void>;
}

/** Over plain CoAP devices that nobody has seen register; over DTLS they register again, on sessions that are open. */
const registration: Scenario = async setting => {
  if (setting.secure) return onOpenSessions(setting, (device, { registration }) => device.register(registration));
  const { server, width, progress } = setting;
  const devices = await Promise.all(Array.from({ length: width }, () => open(server, undefined)));
  const free = [...devices];
  let number = 0;
  return {
    run: operations => {
      const fleet = shuffledDevices(number, operations);
      number += operations;
      return inFlight(
        operations,
        width,
        async index => {
          const device = free.pop()!;
          try {
            await device.register(fleet[index]!.registration);
          } finally {
            free.push(device);
          }
        },
        progress,
      );
    },
    end: () => closeAll(devices),
  };
};

/** A full handshake and a registration on it, each time by another device. */
const handshake: Scenario = async ({ server, data, operations, width, progress }) => {
  const fleet = shuffledDevices(0, operations);
  await addCredentials(data, fleet);
  let next = 0;
  return {
    run: count => {
      const first = next;
      next += count;
      return inFlight(
        count,
        width,
        async i => {
          const simulated = fleet[first + i]!;
          const device = await open(server, simulated);
          try {
            await device.connect();
            await device.register(simulated.registration);
          } finally {
            await device.vanish();
          }
        },
        progress,
      );
    },
    end: async () => undefined,
  };
};

/** Devices that are registered extend their lifetime, each time another one. */
const update: Scenario = setting => onOpenSessions(setting, device => device.update());

/** Connects and registers `peers` devices, which then take turns. */
async function onOpenSessions(
  { server, secure, data, width, peers, progress }: Setting,
  operation: (device: UdpDevice, simulated: SimulatedDevice) => Promise<void>,
): Promise<PreparedScenario> {
  const fleet = shuffledDevices(0, peers);
  if (secure) await addCredentials(data, fleet);
  const devices: UdpDevice[] = [];
  const prepared = await inFlight(peers, width, async index => {
    const device = await open(server, secure ? fleet[index] : undefined);
    devices[index] = device;
    await device.connect();
    await device.register(fleet[index]!.registration);
  });
  if (prepared.failed > 0) throw new Error(`not all devices registered: ${[...prepared.failures.keys()].join(', ')}`);
  let next = 0;
  return {
    run: operations =>
      inFlight(
        operations,
        // A device asks one thing at a time.
        Math.min(width, peers),
        () => {
          const turn = next++ % peers;
          return operation(devices[turn]!, fleet[turn]!);
        },
        progress,
      ),
    end: () => closeAll(devices),
  };
}

export const scenarios: Readonly<Record<string, Scenario>> = { registration, handshake, update };

function open(server: ServerProcess, device: SimulatedDevice | undefined): Promise<UdpDevice> {
  const target: Target = device === undefined ? server.coap : server.coaps;
  const dtls: DeviceOptions['dtls'] = device && { identity: utf8(device.identity), key: device.key };
  return UdpDevice.open(target, dtls);
}

function shuffledDevices(first: number, count: number): SimulatedDevice[] {
  return shuffled(
    Array.from({ length: count }, (_, i) => simulatedDevice('bench', first + i)),
    below,
  );
}

async function closeAll(devices: readonly UdpDevice[]): Promise<void> {
  await Promise.all(devices.map(device => device.close()));
}

const random = new SeededRandom(1);
const below = (bound: number): number => random.below(bound);
