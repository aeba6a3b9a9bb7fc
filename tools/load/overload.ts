import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { utf8 } from '../../src/base/bytes.ts';
import type { MeasuredProcess } from '../bench/measured.ts';
import { addCredentials, simulatedDevice } from './fleet.ts';
import type { FloodOrder } from './floodProcess.ts';
import { type FloodName, floods, type Servers } from './floods.ts';
import { percentile } from './inFlight.ts';
import { LoadFailure, type Target, UdpDevice } from './udpDevice.ts';

/**
 * Registered devices that go on updating, each a few times a second, while the server is flooded in one way after the
 * other: what they notice of it, and what it does to the server's memory. The first line is without any flood.
 */
export async function measureOverload(
  server: FloodedServer,
  milliseconds: number,
  kinds: readonly OverloadKind[] = overloadKinds,
): Promise<OverloadLine[]> {
  const simulated = Array.from({ length: deviceCount }, (_, n) => simulatedDevice('steady', n));
  await addCredentials(server.data, simulated);
  const devices = await Promise.all(
    simulated.map(async ({ identity, key, registration }) => {
      const device = await UdpDevice.open(server.coaps, { identity: utf8(identity), key });
      await device.connect();
      await device.register(registration);
      return device;
    }),
  );
  const servers: Servers = { coap: server.coap, coaps: server.coaps, claimed: simulated[0]!.name };
  const flooder = await Flooder.open(servers);
  const lines: OverloadLine[] = [];
  const start = async (kind: OverloadKind | undefined): Promise<Running | undefined> =>
    kind === undefined ? undefined : kind === 'slow-reader' ? startReader(server.data) : flooder.start(kind);
  try {
    // Everything is compiled and cached once, before the line that the others are compared with.
    await updates(devices, milliseconds / 4);
    for (const kind of [undefined, ...kinds]) {
      const flood = await start(kind);
      const { latencies, failed } = await updates(devices, milliseconds);
      const sent = await flood?.stop();
      lines.push({
        flood: kind ?? 'none',
        sent: sent ?? 0,
        updates: latencies.length,
        failed,
        p50: percentile(latencies, 0.5),
        p99: percentile(latencies, 0.99),
        rssAnonMegabytes: server.process.memory().rssAnonBytes / 2 ** 20,
        storeMegabytes: statSync(join(server.data, 'data.mdb')).size / 2 ** 20,
      });
    }
  } finally {
    flooder.close();
    await Promise.all(devices.map(device => device.vanish()));
  }
  return lines;
}

/** What floods a server from outside, and an operator who reads events and then does not read on. */
export type OverloadKind = FloodName | 'slow-reader';
export const overloadKinds: readonly OverloadKind[] = [...(Object.keys(floods) as FloodName[]), 'slow-reader'];

export interface FloodedServer {
  readonly coap: Target;
  readonly coaps: Target;
  readonly data: string;
  readonly process: MeasuredProcess;
}

export interface OverloadLine {
  readonly flood: OverloadKind | 'none';
  /** Datagrams, handshakes or questions of the flood. */
  readonly sent: number;
  readonly updates: number;
  /** Updates that got no answer, or not a good one. */
  readonly failed: number;
  /** In milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly rssAnonMegabytes: number;
  readonly storeMegabytes: number;
}

async function updates(devices: readonly UdpDevice[], milliseconds: number) {
  const end = performance.now() + milliseconds;
  const latencies: number[] = [];
  let failed = 0;
  await Promise.all(
    devices.map(async (device, n) => {
      await wait((n * betweenUpdates) / devices.length);
      while (performance.now() < end) {
        const start = performance.now();
        try {
          await device.update();
          latencies.push(performance.now() - start);
        } catch (error) {
          if (!(error instanceof LoadFailure)) throw error;
          failed++;
        }
        await wait(Math.max(0, start + betweenUpdates - performance.now()));
      }
    }),
  );
  return { latencies: latencies.sort((a, b) => a - b), failed };
}

/** The process of all floods. */
class Flooder {
  readonly #child: ChildProcess;
  readonly #servers: Servers;

  private constructor(child: ChildProcess, servers: Servers) {
    this.#child = child;
    this.#servers = servers;
  }

  static async open(servers: Servers): Promise<Flooder> {
    const child = fork(fileURLToPath(new URL('floodProcess.js', import.meta.url)));
    await once(child, 'message');
    return new Flooder(child, servers);
  }

  async start(name: FloodName): Promise<Running> {
    this.#child.send({ name, servers: this.#servers } satisfies FloodOrder);
    await wait(startMilliseconds);
    return {
      stop: async () => {
        const ended = once(this.#child, 'message') as Promise<[number]>;
        this.#child.send('stop');
        const [sent] = await ended;
        return sent;
      },
    };
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }
}

/** The pipe of its output fills, and nobody empties it. */
async function startReader(data: string): Promise<Running> {
  const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
  const args = [main, 'events', '--from', '1', '--follow', '--json', '--data', data];
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'readable');
  return {
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
      return 1;
    },
  };
}

interface Running {
  stop(): Promise<number>;
}

const deviceCount = 50;
const betweenUpdates = 250;
/** Until its sockets are open. */
const startMilliseconds = 300;
