import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Target } from '../load/udpDevice.ts';
import { MeasuredProcess } from './measured.ts';

/** A server of ours under measurement, in a process of its own. */
export class ServerProcess extends MeasuredProcess {
  readonly #child: ChildProcess;
  readonly coap: Target;
  readonly coaps: Target;

  /** How many DTLS sessions go on from an earlier run. */
  readonly sessions: number;
  #stopped: StoppedLine | undefined;

  private constructor(child: ChildProcess, { coap, coaps, sessions }: ReadyLine) {
    super(child.pid!);
    this.#child = child;
    this.coap = target(coap);
    this.coaps = target(coaps ?? coap);
    this.sessions = sessions ?? 0;
  }

  /** `program` prints, once it is ready, a line of JSON with `msg: "ready"` and its addresses. */
  static async start(program: string, ...args: string[]): Promise<ServerProcess> {
    const path = fileURLToPath(new URL(program, import.meta.url));
    const child = spawn(process.execPath, [...nodeFlags(), path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let server: ServerProcess | undefined;
    return new Promise((resolve, reject) => {
      const lines = createInterface({ input: child.stdout });
      lines.on('line', line => {
        const entry = JSON.parse(line) as ReadyLine | StoppedLine;
        if (entry.msg === 'stopped' && server !== undefined) server.#stopped = entry;
        if (entry.msg !== 'ready') return;
        server = new ServerProcess(child, entry);
        resolve(server);
      });
      lines.once('close', () => reject(new Error('the server ended before it was ready')));
    });
  }

  /** What the last line of its log says; `undefined` if it has no such line. */
  async stop(): Promise<StoppedLine | undefined> {
    await this.#end('SIGTERM');
    return this.#stopped;
  }

  /** Without a chance to say or write anything. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.kill(signal);
    await closed;
  }
}

interface ReadyLine {
  readonly msg: 'ready';
  readonly coap: string;
  readonly coaps: string | null;
  readonly sessions?: number;
}

interface StoppedLine {
  readonly msg: 'stopped';
  readonly dtls: Readonly<Record<string, number>>;
  readonly intake: Readonly<Record<string, number>>;
}

/**
 * Those that `npm start` has, for every server in Node, ours or a rival; and more, for a profile of the server:
 * `ROLLCALL_BENCH_NODE_FLAGS=--cpu-prof npm run bench -- registration`.
 */
function nodeFlags(): string[] {
  const { scripts } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    scripts: { start: string };
  };
  const more = (process.env.ROLLCALL_BENCH_NODE_FLAGS ?? '').split(' ').filter(flag => flag !== '');
  return [...scripts.start.split(' ').filter(word => word.startsWith('-')), ...more];
}

export function target(address: string): Target {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
}
