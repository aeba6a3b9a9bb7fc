import { setTimeout as wait } from 'node:timers/promises';
import { utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { progressBar } from '../../src/cli/progress.ts';
import type { DeviceOptions } from '../../src/device/device.ts';
import { DeviceObjects } from '../../src/device/objects.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import { resourcePath } from '../../src/lwm2m/path.ts';
import type { MapContent } from '../../src/lwm2m/writeRegistrationMap.ts';
import type { SocketKind } from '../load/deviceSocket.ts';
import { addCredentials, type SimulatedDevice, simulatedDevice } from '../load/fleet.ts';
import { inFlight, type LoadResult, shuffled } from '../load/inFlight.ts';
import { LoadFailure, type Target, UdpDevice } from '../load/udpDevice.ts';
import { Stranger } from './stranger.ts';

/** A thing that devices do to a server: prepared first, then done as often as asked, and that is measured. */
export interface Scenario {
  /** One line for `--help` and the report. */
  readonly does: string;
  /** The first one is what is measured unless another is asked for. */
  readonly transports: readonly Transport[];
  /** Whether a server that is not ours can do it too. */
  readonly comparable: boolean;
  /** Whether `peers` devices do it in turns. */
  readonly takesTurns?: boolean;
  /** Whether they have to hear between their turns, so that each needs a socket that stays open. */
  readonly listens?: boolean;
  prepare(setting: Setting): Promise<PreparedScenario>;
}

export type Transport = 'coap' | 'coaps';

export interface Setting {
  readonly target: Target;
  /** The data directory of our own server; `undefined` for another one. */
  readonly data: string | undefined;
  /** The one key of all devices, where the server knows no more than one. */
  readonly sharedKey: Uint8Array | undefined;
  readonly secure: boolean;
  /** How many operations there will be at most, warming up included. */
  readonly operations: number;
  readonly width: number;
  /** How many sessions are open, or how many addresses send, while updates are measured. */
  readonly peers: number;
  /** Of the devices that take turns. */
  readonly sockets: SocketKind;
  /** What the names of its devices begin with: two loads on one server share none. */
  readonly names?: string;
  /** How many devices there are that register on plain CoAP: they begin anew when at least so many have. By default ever new ones. */
  readonly distinct?: number;
  readonly progress: (done: number, failed: number) => void;
}

export interface PreparedScenario {
  run(operations: number): Promise<LoadResult>;
  end(): Promise<void>;
}

/** Over plain CoAP devices that nobody has seen register; over DTLS they register again, on sessions that are open. */
const registration: Scenario['prepare'] = async setting => {
  if (setting.secure) return onOpenSessions(setting, (device, { registration }) => device.register(registration));
  const { width, progress, distinct = Number.POSITIVE_INFINITY } = setting;
  const devices = await Promise.all(Array.from({ length: width }, () => open(setting, undefined)));
  const free = [...devices];
  let number = 0;
  return {
    run: operations => {
      const fleet = shuffledDevices(setting, number, operations);
      number = (number + operations) % distinct;
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
    end: () => vanishAll(devices),
  };
};

/** A full handshake and a registration on it, each time by another device. */
const handshake: Scenario['prepare'] = async setting => {
  const { operations, width, progress } = setting;
  const fleet = shuffledDevices(setting, 0, operations);
  await introduce(setting, fleet);
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
          const device = await open(setting, simulated);
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
const update: Scenario['prepare'] = setting => onOpenSessions(setting, device => device.update());

/** Devices that are registered come back, each time another one: an abbreviated handshake, and an update on it. */
const resume: Scenario['prepare'] = setting =>
  onOpenSessions(setting, async device => {
    await device.connect();
    if (!device.resumed) throw new LoadFailure('a full handshake');
    await device.update();
  });

/** As anybody may send them, and the server keeps nothing for it. */
const hello: Scenario['prepare'] = async ({ target, width, progress }) => {
  const strangers = await Promise.all(Array.from({ length: width }, () => Stranger.open(target)));
  const free = [...strangers];
  return {
    run: operations =>
      inFlight(
        operations,
        width,
        async () => {
          const stranger = free.pop()!;
          await stranger.hello();
          free.push(stranger);
        },
        progress,
      ),
    end: async () => {
      for (const stranger of strangers) stranger.close();
    },
  };
};

/** Devices that are observed measure something, each time another one, and hear that it is stored. */
const notification: Scenario['prepare'] = setting => {
  let measured = 20;
  return onOpenSessions(setting, device => device.notify(temperature, ++measured), {
    options: () => ({
      objects: new DeviceObjects(definitions, { [temperature]: measured }),
      behaviour: { confirmable: true },
    }),
    description: { observations: [{ path: temperature, pmin: 0, pmax: undefined }] },
    isReady: device => device.observations === 1,
  });
};

/** Connects and registers `peers` devices, which then take turns. */
async function onOpenSessions(
  setting: Setting,
  operation: (device: UdpDevice, simulated: SimulatedDevice) => Promise<void>,
  { options, description, isReady = () => true }: Openness = {},
): Promise<PreparedScenario> {
  const { secure, width, peers, progress, sockets } = setting;
  const fleet = shuffledDevices(setting, 0, peers);
  if (secure) await introduce(setting, fleet);
  const devices: UdpDevice[] = [];
  const bar = progressBar('registering', peers);
  const prepared = await inFlight(
    peers,
    width,
    async index => {
      const device = await open(setting, secure ? fleet[index] : undefined, options?.(), sockets);
      devices[index] = device;
      await device.connect();
      const { registration } = fleet[index]!;
      // With objects of its own a device says itself which they are.
      await device.register(description === undefined ? registration : { ...registration, description });
      for (let tries = 0; !isReady(device) && tries < 100; tries++) await wait(50);
      if (!isReady(device)) throw new LoadFailure('not observed');
    },
    done => bar.at(done),
  );
  bar.end();
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
    end: () => vanishAll(devices),
  };
}

export const scenarios: Readonly<Record<string, Scenario>> = {
  registration: {
    does: 'devices register: new ones on plain CoAP, the same ones again over DTLS',
    transports: ['coap', 'coaps'],
    comparable: true,
    prepare: registration,
  },
  handshake: {
    does: 'a full handshake and a registration on it, each time by another device',
    transports: ['coaps'],
    comparable: true,
    prepare: handshake,
  },
  update: {
    does: 'registered devices extend their lifetime, on as many open sessions as --peers says',
    transports: ['coaps', 'coap'],
    comparable: false,
    takesTurns: true,
    prepare: update,
  },
  resume: {
    does: 'registered devices resume their session by its id and extend their lifetime on it, --peers of them in turns',
    transports: ['coaps'],
    comparable: false,
    takesTurns: true,
    prepare: resume,
  },
  hello: {
    does: 'a ClientHello without a cookie, and the HelloVerifyRequest that answers it',
    transports: ['coaps'],
    comparable: true,
    prepare: hello,
  },
  notification: {
    does: 'observed devices notify, Confirmably, and are acknowledged when it is stored',
    transports: ['coaps'],
    comparable: false,
    takesTurns: true,
    listens: true,
    prepare: notification,
  },
};

interface Openness {
  readonly options?: () => Partial<DeviceOptions>;
  readonly description?: MapContent['description'];
  /** Whether a device that registered may take its turns. */
  readonly isReady?: (device: UdpDevice) => boolean;
}

/** Makes the devices known to our own server; others know one key, or none. */
async function introduce({ data }: Setting, fleet: readonly SimulatedDevice[]): Promise<void> {
  if (data !== undefined) await addCredentials(data, fleet);
}

function open(
  { target, sharedKey }: Setting,
  device: SimulatedDevice | undefined,
  options?: Partial<DeviceOptions>,
  sockets?: SocketKind,
): Promise<UdpDevice> {
  const dtls: DeviceOptions['dtls'] = device && {
    identity: utf8(device.identity),
    key: sharedKey ?? device.key,
  };
  return UdpDevice.open(target, dtls, options, sockets);
}

function shuffledDevices({ names = 'bench' }: Setting, first: number, count: number): SimulatedDevice[] {
  return shuffled(
    Array.from({ length: count }, (_, i) => simulatedDevice(names, first + i)),
    below,
  );
}

async function vanishAll(devices: readonly UdpDevice[]): Promise<void> {
  await Promise.all(devices.map(device => device.vanish()));
}

const random = new SeededRandom(1);
const below = (bound: number): number => random.below(bound);
const definitions = Definitions.registry();
const temperature = resourcePath(3303, 0, 5700);
