import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What the operating system says that a process used (Linux). */
export class MeasuredProcess {
  readonly #pid: number;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** CPU time of all its threads since it started, in microseconds; the clock ticks in hundredths of a second. */
  cpuMicros(): number {
    const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8');
    // The fields after the name, which may hold anything: utime and stime are the 14th and 15th of all.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1e6;
  }

  memory(): { rssBytes: number; rssAnonBytes: number } {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8');
    const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    return { rssBytes: kilobytes('VmRSS') * 1024, rssAnonBytes: kilobytes('RssAnon') * 1024 };
  }
}

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
