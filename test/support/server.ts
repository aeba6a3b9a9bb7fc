import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** The real server in a process of its own, on free ports and a directory that goes away with the test. */
export class TestServer {
  readonly data: string;
  coap = '';
  coaps = '';
  #process: ChildProcess | undefined;

  private constructor(data: string) {
    this.data = data;
  }

  static async start(...flags: string[]): Promise<TestServer> {
    const server = new TestServer(await mkdtemp(join(tmpdir(), 'rollcall-')));
    await server.restart(...flags);
    return server;
  }

  async restart(...flags: string[]): Promise<void> {
    const listen = ['--coap', '127.0.0.1:0', '--coaps', '127.0.0.1:0'];
    const child = spawn(process.execPath, [main, 'serve', '--data', this.data, ...listen, ...flags], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#process = child;
    for await (const line of createInterface({ input: child.stdout })) {
      const entry = JSON.parse(line) as { msg: string; coap: string; coaps: string };
      if (entry.msg !== 'ready') continue;
      this.coap = entry.coap;
      this.coaps = entry.coaps;
      child.stdout.resume();
      return;
    }
    throw new Error('the server ended before it was ready');
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const child = this.#process!;
    const exited = once(child, 'exit');
    child.kill(signal);
    const [code] = (await exited) as [number | null];
    return code;
  }

  /** Runs a command of the CLI on the server's store; rejects if it fails. */
  async cli(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(process.execPath, [main, ...args, '--data', this.data]);
    return stdout;
  }

  remove(): Promise<void> {
    return rm(this.data, { recursive: true, force: true });
  }
}
