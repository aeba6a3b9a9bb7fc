import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Target } from '../load/udpDevice.ts';
import { MeasuredProcess } from './measured.ts';

/** A server of ours under measurement, in a process of its own. */
export class ServerProcess extends MeasuredProcess {
  readonly #child: ChildProcess;
  readonly coap: Target;
  readonly coaps: Target;

  private constructor(child: ChildProcess, coap: Target, coaps: Target) {
    super(child.pid!);
    this.#child = child;
    this.coap = coap;
    this.coaps = coaps;
  }

  /** `program` prints, once it is ready, a line of JSON with `msg: "ready"` and its addresses. */
  static async start(program: string, ...args: string[]): Promise<ServerProcess> {
    const path = fileURLToPath(new URL(program, import.meta.url));
    const child = spawn(process.execPath, [...nodeFlags(), path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface({ input: child.stdout })) {
      const entry = JSON.parse(line) as { msg: string; coap: string; coaps: string | null };
      if (entry.msg !== 'ready') continue;
      child.stdout.resume();
      return new ServerProcess(child, target(entry.coap), target(entry.coaps ?? entry.coap));
    }
    throw new Error('the server ended before it was ready');
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exited;
  }
}

/** For a profile of the server: `ROLLCALL_BENCH_NODE_FLAGS=--cpu-prof npm run bench -- registration`. */
function nodeFlags(): string[] {
  return (process.env.ROLLCALL_BENCH_NODE_FLAGS ?? '').split(' ').filter(flag => flag !== '');
}

export function target(address: string): Target {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
}
