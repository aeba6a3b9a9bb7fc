/**
 * Gives a process only a share of the time, as a slower machine would: it is stopped and goes on many times a second.
 * So a load that costs as much as what it loads can be a multiple of what is served, on as little as two cores.
 */
export class Slowed {
  readonly #pid: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(pid: number, share: number) {
    this.#pid = pid;
    this.#run(share * periodMilliseconds, (1 - share) * periodMilliseconds);
  }

  /** From now on it has all of its time again. */
  release(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    process.kill(this.#pid, 'SIGCONT');
  }

  #run(on: number, off: number): void {
    process.kill(this.#pid, 'SIGCONT');
    this.#timer = setTimeout(() => {
      process.kill(this.#pid, 'SIGSTOP');
      this.#timer = setTimeout(() => this.#run(on, off), off);
    }, on);
  }
}

/** Long enough that what the caches lose while others run matters little. */
const periodMilliseconds = 60;
