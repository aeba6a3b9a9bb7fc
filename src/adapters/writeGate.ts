import { withDoor } from './storeDoor.ts';

/**
 * Through which every transaction of this process goes, so that none is under way while another process opens the store
 * (`withDoor` says why). A process that serves the directory passes freely and pauses when it is asked to; any
 * other one keeps the door shut meanwhile.
 */
export class WriteGate {
  readonly #directory: string;
  #isServing = false;
  /** How many pass at this moment. */
  #inside = 0;
  #pauses = 0;
  #waiting: (() => void)[] = [];
  #calm: (() => void)[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** From now on others ask before they open the store. Call it with the door shut. */
  serve(): void {
    this.#isServing = true;
  }

  async pass<Result>(write: () => Promise<Result>): Promise<Result> {
    if (!this.#isServing) return withDoor(this.#directory, write);
    while (this.#pauses > 0) await new Promise<void>(resolve => this.#waiting.push(resolve));
    this.#inside++;
    try {
      return await write();
    } finally {
      this.#inside--;
      if (this.#inside === 0) release(this.#calm);
    }
  }

  /** Lets nobody in any more, and resolves when nobody is inside: to what ends the pause. */
  async pause(): Promise<() => void> {
    this.#pauses++;
    if (this.#inside > 0) await new Promise<void>(resolve => this.#calm.push(resolve));
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#pauses--;
      if (this.#pauses === 0) release(this.#waiting);
    };
  }
}

function release(waiting: (() => void)[]): void {
  for (const resolve of waiting.splice(0)) resolve();
}
