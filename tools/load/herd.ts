import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Target } from './deviceSocket.ts';
import type { HerdOrder, HerdPart } from './herdProcess.ts';

/** Devices that come back, in several processes that share them evenly. */
export class Herd {
  readonly #server: Target;
  readonly #children: readonly ChildProcess[];
  /** How many devices each of them has gathered. */
  #each = 0;

  private constructor(server: Target, children: readonly ChildProcess[]) {
    this.#server = server;
    this.#children = children;
  }

  static async open(server: Target, processes: number): Promise<Herd> {
    const children = Array.from({ length: processes }, () =>
      fork(fileURLToPath(new URL('herdProcess.js', import.meta.url))),
    );
    await Promise.all(children.map(child => once(child, 'message')));
    return new Herd(server, children);
  }

  /** At least `count` devices are there, each with its socket, and nobody has said anything yet. */
  async gather(prefix: string, count: number): Promise<void> {
    this.#each = Math.ceil(count / this.#children.length);
    const order = { kind: 'gather', server: this.#server, prefix, count: this.#each } as const;
    await this.#ask(i => ({ ...order, first: i * this.#each }));
  }

  /** Whoever was gathered comes, `width` at a time, and is gone afterwards. */
  calm(width: number): Promise<HerdResult> {
    return this.#come({ kind: 'calm', width: Math.ceil(width / this.#children.length) });
  }

  /** Whoever was gathered comes, so many each second, whether anybody is served or not, and is gone afterwards. */
  storm(perSecond: number): Promise<HerdResult> {
    return this.#come({ kind: 'storm', perSecond: perSecond / this.#children.length });
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }

  async #come(order: HerdOrder): Promise<HerdResult> {
    const parts = (await this.#ask(() => order)) as HerdPart[];
    const sum = (of: (part: HerdPart) => number) => parts.reduce((total, part) => total + of(part), 0);
    const longest = (of: (part: HerdPart) => number) => Math.max(...parts.map(of));
    const arrivalSeconds = longest(part => part.arrivalSeconds);
    const lastSeconds = longest(part => part.lastSeconds);
    return {
      latencies: parts.flatMap(({ latencies }) => latencies).sort((a, b) => a - b),
      failed: sum(({ failed }) => failed),
      arrivedPerSecond: (this.#each * parts.length) / arrivalSeconds,
      servedPerSecond: sum(({ meanwhile }) => meanwhile) / arrivalSeconds,
      lastSeconds,
      loadCpuShare: sum(({ cpuMicros }) => cpuMicros) / 1e6 / lastSeconds,
    };
  }

  #ask(order: (child: number) => HerdOrder): Promise<unknown[]> {
    return Promise.all(this.#children.map((child, i) => answer(child, order(i))));
  }
}

export interface HerdResult {
  /** In milliseconds, ascending, of those that registered. */
  readonly latencies: readonly number[];
  readonly failed: number;
  readonly arrivedPerSecond: number;
  /** While devices still arrived. */
  readonly servedPerSecond: number;
  /** When the last one was served or gave up. */
  readonly lastSeconds: number;
  /** Of one core, of all processes together. */
  readonly loadCpuShare: number;
}

function answer(child: ChildProcess, order: HerdOrder): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error('a process of the herd ended'));
    child.once('exit', ended);
    child.once('message', (part: unknown) => {
      child.off('exit', ended);
      resolve(part);
    });
    child.send(order);
  });
}
