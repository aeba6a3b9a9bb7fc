import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { Slowed } from './slowed.ts';

/** What the operating system says that a process used (Linux). */
export class MeasuredProcess {
  readonly #pid: number;
  /** What each thread had used when it was last looked at; one that ended stays as it was then. */
  readonly #threads = new Map<string, number>();

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** CPU time of all its threads since it started, in microseconds; by the clock's ticks where the kernel counts no finer. */
  cpuMicros(): number {
    if (!existsSync(`/proc/${this.#pid}/schedstat`)) return this.#ticks();
    for (const thread of readdirSync(`/proc/${this.#pid}/task`)) this.#look(thread);
    return [...this.#threads.values()].reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1000;
  }

  #look(thread: string): void {
    try {
      const stat = readFileSync(`/proc/${this.#pid}/task/${thread}/schedstat`, 'utf8');
      this.#threads.set(thread, Number(stat.split(' ', 1)[0]));
    } catch {
      // It has just ended.
    }
  }

  /** In hundredths of a second. */
  #ticks(): number {
    const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8');
    // The fields after the name, which may hold anything: utime and stime are the 14th and 15th of all.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1e6;
  }

  /** From now on it runs only for this share of the time. */
  slow(share: number): Slowed {
    return new Slowed(this.#pid, share);
  }

  memory(): { rssBytes: number; rssAnonBytes: number } {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8');
    const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    return { rssBytes: kilobytes('VmRSS') * 1024, rssAnonBytes: kilobytes('RssAnon') * 1024 };
  }
}

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
