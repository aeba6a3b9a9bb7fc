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
  progress(done: number, failed: number): void;
}

export interface PreparedScenario {
  run(operations: number): Promise<LoadResult>;
  end(): Promise<void>;
}

/** Devices that nobody has seen register, each for the first time. */
const registration: Scenario = async setting => {
  if (setting.secure) return handshakesFirst(setting, false);
  const { server, width, progress } = setting;
  const devices = await Promise.all(Array.from({ length: width }, () => open(server, undefined)));
  const free = [...devices];
  let number = 0;
  return {
    run: operations => {
      const names = shuffledDevices(number, operations);
      number += operations;
      return inFlight(
        operations,
        width,
        async index => {
          const device = free.pop()!;
          try {
            await device.register(names[index]!.registration);
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
const handshake: Scenario = setting => handshakesFirst(setting, true);

/** Devices that are registered extend their lifetime, each time another one. */
const update: Scenario = async ({ server, secure, data, width, peers, progress }) => {
  const fleet = Array.from({ length: peers }, (_, number) => simulatedDevice('bench', number));
  if (secure) await addCredentials(data, fleet);
  const devices: UdpDevice[] = [];
  const prepared = await inFlight(peers, width, async index => {
    const device = await open(server, secure ? fleet[index] : undefined);
    devices.push(device);
    await device.connect();
    await device.register(fleet[index]!.registration);
  });
  if (prepared.failed > 0) throw new Error(`not all devices registered: ${[...prepared.failures.keys()].join(', ')}`);
  const order = shuffled(devices, below);
  let next = 0;
  return {
    run: operations =>
      inFlight(
        operations,
        // A device asks one thing at a time.
        Math.min(width, peers),
        () => order[next++ % order.length]!.update(),
        progress,
      ),
    end: () => closeAll(devices),
  };
};

export const scenarios: Readonly<Record<string, Scenario>> = { registration, handshake, update };

/** With `measured`, the handshake is part of the operation; without, all sessions are there before. */
async function handshakesFirst(setting: Setting, measured: boolean): Promise<PreparedScenario> {
  const { server, data, operations, width, progress } = setting;
  const fleet = shuffledDevices(0, operations);
  await addCredentials(data, fleet);
  const devices: UdpDevice[] = [];
  const connected = async (index: number): Promise<UdpDevice> => {
    const device = await open(server, fleet[index]!);
    devices.push(device);
    await device.connect();
    return device;
  };
  if (!measured) {
    const all: UdpDevice[] = [];
    await inFlight(operations, width, async index => {
      all[index] = await connected(index);
    });
    let next = 0;
    return {
      run: count => {
        const first = next;
        next += count;
        return inFlight(count, width, i => all[first + i]!.register(fleet[first + i]!.registration), progress);
      },
      end: () => closeAll(devices),
    };
  }
  let next = 0;
  return {
    run: count => {
      const first = next;
      next += count;
      return inFlight(
        count,
        width,
        async i => {
          const device = await connected(first + i);
          await device.register(fleet[first + i]!.registration);
        },
        progress,
      );
    },
    end: () => closeAll(devices),
  };
}

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
