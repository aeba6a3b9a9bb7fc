import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Target } from '../../tools/load/udpDevice.ts';

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

interface LogLine {
  readonly msg: string;
  readonly reason?: string;
  readonly code?: string;
  readonly coap: string & Record<string, number>;
  readonly coaps: string;
  readonly sessions: number;
  readonly dtls: Record<string, number>;
  readonly intake: Record<string, number>;
  readonly counters: Record<string, Record<string, number>>;
}

/** The real server in a process of its own, on free ports and a directory that goes away with the test. */
export class TestServer {
  readonly data: string;
  coap = '';
  coaps = '';
  /** What its process gets on top of ours. */
  environment: Readonly<Record<string, string>> = {};
  /** Every line of its log, the oldest first. */
  readonly log: LogLine[] = [];
  /** How many sessions go on from an earlier run. */
  sessions = 0;
  /** What the last line of the log says, once the server has ended well. */
  stopped: Pick<LogLine, 'dtls' | 'intake' | 'counters'> | undefined;
  #process: ChildProcess | undefined;

  private constructor(data: string) {
    this.data = data;
  }

  static async start(...flags: string[]): Promise<TestServer> {
    const server = await TestServer.create();
    await server.restart(...flags);
    return server;
  }

  /** Only the directory: the server begins with `restart`. */
  static async create(): Promise<TestServer> {
    return new TestServer(await mkdtemp(join(tmpdir(), 'rollcall-')));
  }

  /** In a directory that is there. */
  static in(directory: string): TestServer {
    return new TestServer(directory);
  }

  /** Of the process that runs. */
  get pid(): number {
    return this.#process!.pid!;
  }

  async restart(...flags: string[]): Promise<void> {
    const listen = ['--coap', '127.0.0.1:0', '--coaps', '127.0.0.1:0'];
    const child = spawn(process.execPath, [main, 'serve', '--data', this.data, ...listen, ...flags], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...this.environment },
    });
    this.#process = child;
    const lines = createInterface({ input: child.stdout });
    await new Promise<void>((resolve, reject) => {
      lines.on('line', line => {
        const entry = JSON.parse(line) as LogLine;
        this.log.push(entry);
        if (entry.msg === 'stopped') this.stopped = entry;
        if (entry.msg !== 'ready') return;
        this.coap = entry.coap;
        this.coaps = entry.coaps;
        this.sessions = entry.sessions;
        resolve();
      });
      lines.on('close', () => reject(new Error('the server ended before it was ready')));
    });
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

  async remove(): Promise<void> {
    if (this.#process?.exitCode === null && this.#process.signalCode === null) await this.end('SIGKILL');
    return rm(this.data, { recursive: true, force: true });
  }
}

/** `127.0.0.1:5684`, as the server's log writes it. */
export function targetOf(address: string): Target {
  const [host = '', port = ''] = address.split(':');
  return { host, port: Number(port) };
}
