import { setTimeout as pause } from 'node:timers/promises';
import { utf8 } from '../../src/base/bytes.ts';
import { progressBar } from '../../src/cli/progress.ts';
import { addCredentials, type SimulatedDevice, simulatedDevice } from '../load/fleet.ts';
import { type Target, UdpDevice } from '../load/udpDevice.ts';
import { startOurs } from './ourServer.ts';
import { preload } from './preload.ts';
import { inFreshDirectory, type Study } from './study.ts';

/**
 * What a fleet costs that is there and says nothing: registered devices with live DTLS sessions, after a restart of the
 * server. A few of them are real and handshake before it; the others are written into the store as the server would have
 * written them. Afterwards the real ones update, and none of them may need a handshake for it.
 */
export async function standing(data: string, sessions: number, progress: (done: number) => void): Promise<Standing> {
  const empty = await startOurs(data);
  const { coaps } = empty;
  const fleet = Array.from({ length: Math.min(realDevices, sessions) }, (_, n) => simulatedDevice('real', n));
  await addCredentials(data, fleet);
  const devices = await Promise.all(fleet.map(device => connected(coaps, device)));
  const emptyRssAnonBytes = empty.memory().rssAnonBytes;
  // As a power cut would end it.
  await empty.kill();
  await preload(data, sessions - fleet.length, 'sessions', progress);

  const start = performance.now();
  const same = ['--coaps', `${coaps.host}:${coaps.port}`, '--max-sessions', String(sessions)];
  const server = await startOurs(data, ...same);
  const readyMs = performance.now() - start;
  const readyCpuMs = server.cpuMicros() / 1000;
  try {
    if (server.sessions !== sessions) throw new Error(`${server.sessions} sessions went on`);
    for (const device of devices) await device.update();
    await pause(settleMilliseconds);
    const { rssAnonBytes } = server.memory();
    const handshakes = (await server.stop())!.dtls.established!;
    await Promise.all(devices.map(device => device.vanish()));
    return {
      sessions,
      readyMs: Math.round(readyMs),
      readyCpuMs: Math.round(readyCpuMs),
      updatedWithoutHandshake: devices.length,
      handshakes,
      rssAnonBytes,
      emptyRssAnonBytes,
      rssAnonBytesPerDevice: Math.round((rssAnonBytes - emptyRssAnonBytes) / sessions),
    };
  } finally {
    await server.stop();
  }
}

/** `standing` on a store of its own. */
export function measureSilent(sessions: number): Promise<Standing> {
  return inFreshDirectory(async data => {
    const bar = progressBar('preloading', sessions);
    const found = await standing(data, sessions, done => bar.at(done));
    bar.end();
    return found;
  });
}

/** Both `restart` and `memory`: one run shows either. */
export function studyOf(...shown: readonly (keyof Standing)[]): Study['run'] {
  return async ({ sessions }) => {
    const found = await measureSilent(sessions);
    return {
      figures: Object.fromEntries(shown.map(figure => [figure, found[figure]])),
      fault: found.handshakes > 0 ? `${found.handshakes} devices had to handshake` : undefined,
    };
  };
}

async function connected(server: Target, { identity, key, registration }: SimulatedDevice): Promise<UdpDevice> {
  const device = await UdpDevice.open(server, { identity: utf8(identity), key });
  await device.connect();
  await device.register(registration);
  return device;
}

export interface Standing {
  readonly sessions: number;
  /** From the start of the process to its readiness, the start of Node.js included. */
  readonly readyMs: number;
  /** CPU that this took, which does not depend on what else the machine does. */
  readonly readyCpuMs: number;
  readonly updatedWithoutHandshake: number;
  /** After the restart. */
  readonly handshakes: number;
  /** Anonymous memory after the restart, and that of a server with the few real devices only. */
  readonly rssAnonBytes: number;
  readonly emptyRssAnonBytes: number;
  readonly rssAnonBytesPerDevice: number;
}

const realDevices = 100;
/** Lifetimes are read after the server is ready. */
const settleMilliseconds = 5000;
