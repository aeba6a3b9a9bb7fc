import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

/** Runs the CLI as an operator would, and resolves with what it printed and how it ended. */
export async function rollcall(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
  const environment = { ...process.env, ...options.env };
  // A server that starts where it must not would outlive the test that says so.
  const child = spawn(process.execPath, [main, ...args], { env: environment, timeout: longest });
  child.stdin.end(options.stdin ?? '');
  const ended = new Promise<number>(resolve => child.once('exit', code => resolve(code ?? -1)));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { stdout, stderr, code };
}

/** In milliseconds; less than a test file may take. */
const longest = 200_000;

export interface CliOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface CliRun {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}
