import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';

/**
 * Why a test against a program of somebody else's has to be left out, or `false` if the program is there. With
 * `ROLLCALL_REQUIRE_PEERS=1` it is never left out: the test then fails for want of the program.
 */
export function missing(program: string): string | false {
  if (spawnSync('sh', ['-c', `command -v ${program}`]).status === 0) return false;
  if (process.env.ROLLCALL_REQUIRE_PEERS === '1') return false;
  console.error(`\n*** ${program} IS NOT INSTALLED: interoperability with it is NOT tested ***\n`);
  return `${program} is not installed`;
}

/** A program of somebody else's, with what it printed. */
export class Program {
  output = '';
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<number | null>;
  #waiting: (() => void)[] = [];

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args);
    const take = (chunk: Buffer): void => {
      this.output += chunk.toString();
      this.#changed();
    };
    this.#child.stdout.on('data', take);
    this.#child.stderr.on('data', take);
    // It may end before it has read all that it was told.
    this.#child.stdin.on('error', () => undefined);
    this.#ended = new Promise(resolve => {
      this.#child.on('error', error => {
        this.output += String(error);
        resolve(null);
      });
      this.#child.on('close', code => resolve(code));
    });
  }

  say(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Resolves once it printed this; rejects, with all it printed, after ten seconds. */
  printed(pattern: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => reject(new Error(`not printed: ${pattern}\n${this.output}`)), 10_000);
      const look = (): void => {
        if (!pattern.test(this.output)) {
          this.#waiting.push(look);
          return;
        }
        clearTimeout(timeout);
        resolve();
      };
      look();
    });
  }

  /** Ends its input, on which a client closes its session and ends. */
  async finish(): Promise<number | null> {
    this.#child.stdin.end();
    const timeout = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    const code = await this.#ended;
    clearTimeout(timeout);
    return code;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const look of waiting) look();
  }
}
