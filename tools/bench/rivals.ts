import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseUrl } from '../load/serverUrl.ts';
import type { Target } from '../load/udpDevice.ts';
import { MeasuredProcess } from './measured.ts';
import { ServerProcess } from './serverProcess.ts';

/** A server that somebody else wrote, doing what comes nearest to a registration. */
export interface Rival {
  readonly name: string;
  /** What is measured, in words for the report. */
  readonly does: string;
  readonly transports: readonly ('coap' | 'coaps')[];
  /** What has to be installed, where something has to be. */
  readonly command?: string;
  /** What it can take: more of it would measure its time-outs. */
  readonly most?: { readonly inFlight: number; readonly operations: number };
  start(transport: 'coap' | 'coaps'): Promise<RivalServer>;
}

export interface RivalServer {
  readonly target: Target;
  /** `undefined` where it runs elsewhere. */
  readonly process: MeasuredProcess | undefined;
  /** The one key that all devices share, where the server knows no more than one. */
  readonly key?: Uint8Array;
  stop(): Promise<void>;
}

export const nodeCoap: Rival = {
  name: 'node-coap',
  does: 'a handler that parses nothing and keeps the payload in memory',
  transports: ['coap'],
  async start() {
    const server = await ServerProcess.start('./nodeCoapServer.js');
    return { target: server.coap, process: server, stop: async () => void (await server.stop()) };
  },
};

/** libcoap's resource directory, as Debian builds it; a registration is a resource in memory. */
const libcoapRd = (command: string, transport: 'coap' | 'coaps', most?: Rival['most']): Rival => ({
  name: command,
  does: "libcoap's resource directory, which keeps a resource in memory",
  transports: [transport],
  command,
  ...(most && { most }),
  async start() {
    const port = await freePort();
    // Over DTLS it listens one port above.
    const secure = transport === 'coaps';
    const args = ['-A', '127.0.0.1', '-p', String(port), '-v', '0', ...(secure ? ['-k', sharedKey] : [])];
    const child = spawn(command, args, { stdio: 'ignore' });
    await delay(startMilliseconds);
    return {
      target: { host: '127.0.0.1', port: secure ? port + 1 : port },
      process: new MeasuredProcess(child.pid!),
      ...(secure && { key: new TextEncoder().encode(sharedKey) }),
      stop: () => ended(child),
    };
  },
});

/** Whoever answers at an address that was given. Throws commander's error for what is none. */
export function elsewhere(url: string): Rival {
  const { secure, host, port } = parseUrl(url);
  return {
    name: url,
    does: 'whatever it does',
    transports: [secure ? 'coaps' : 'coap'],
    start: async () => ({
      target: { host, port },
      process: undefined,
      stop: async () => undefined,
    }),
  };
}

/** Those that can be measured here and now. */
export function rivals(transport: 'coap' | 'coaps'): readonly Rival[] {
  return [
    nodeCoap,
    libcoapRd('coap-rd-notls', 'coap'),
    libcoapRd('coap-rd-openssl', 'coaps', oneHandshakeAtATime),
  ].filter(
    ({ transports, command }) => transports.includes(transport) && (command === undefined || isInstalled(command)),
  );
}

function isInstalled(command: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some(folder => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await new Promise<void>(resolve => socket.close(() => resolve()));
  return port;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const patience = setTimeout(() => child.kill('SIGKILL'), killMilliseconds);
  await exited;
  clearTimeout(patience);
}

// While one handshake is under way it leaves the hellos of others unanswered.
const oneHandshakeAtATime = { inFlight: 1, operations: 20 };
const sharedKey = 'sixteen byte key';
const startMilliseconds = 500;
const killMilliseconds = 3000;
