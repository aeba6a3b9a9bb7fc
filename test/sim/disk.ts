import type { SeededRandom } from '../../src/base/random.ts';
import type { Milliseconds } from '../../src/base/time.ts';

/** How the disk of a world behaves, at the moment. */
export class DiskFaults {
  options: DiskOptions;
  /** Nothing can be written. */
  isFull = false;

  constructor(options: DiskOptions) {
    this.options = options;
  }

  writeTakes(random: SeededRandom): Milliseconds {
    return this.options.write * (0.5 + random.fraction());
  }

  flushTakes(random: SeededRandom): Milliseconds {
    return this.options.flush * (0.5 + random.fraction());
  }

  fault(random: SeededRandom): 'write' | 'flush' | undefined {
    const { writeFails, flushFails } = this.options;
    if (this.isFull || random.fraction() < writeFails) return 'write';
    return random.fraction() < flushFails ? 'flush' : undefined;
  }

  conflicts(random: SeededRandom): boolean {
    return random.fraction() < this.options.conflicts;
  }
}

/** Times in milliseconds, chances in [0, 1] for each group or commit. */
export interface DiskOptions {
  readonly write: Milliseconds;
  readonly flush: Milliseconds;
  readonly writeFails: number;
  readonly flushFails: number;
  readonly conflicts: number;
}

export const promptDisk: DiskOptions = { write: 0.1, flush: 2, writeFails: 0, flushFails: 0, conflicts: 0 };
