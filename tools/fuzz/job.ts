import type { Bytes } from '../../src/base/bytes.ts';
import type { Failure } from './fuzzer.ts';

/** What a thread is to do. */
export interface Job {
  readonly target: string;
  readonly seed: number;
  /** Whichever comes first. */
  readonly executions: number;
  readonly milliseconds: number;
  /** Whether to put what was found into the corpus. */
  readonly grow: boolean;
  readonly current: SharedArrayBuffer;
}

export interface Progress {
  readonly target: string;
  readonly executions: number;
  readonly seconds: number;
  readonly corpus: number;
  /** Functions of ours that were entered, and blocks in them that nothing reached. */
  readonly functions: number;
  readonly unreached: number;
}

export type Report =
  | { readonly kind: 'progress' | 'done'; readonly progress: Progress }
  | { readonly kind: 'failure'; readonly failure: Failure; readonly progress: Progress };

/** What a thread is at, for whoever has to end it: how many inputs there were, and the last one. */
export class Current {
  readonly #counts: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.#counts = new Int32Array(memory, 0, 2);
    this.#bytes = new Uint8Array(memory, 8);
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(8 + 65_536);
  }

  get count(): number {
    return Atomics.load(this.#counts, 0);
  }

  get input(): Bytes {
    return this.#bytes.slice(0, this.#counts[1]);
  }

  set(input: Bytes): void {
    this.#bytes.set(input);
    this.#counts[1] = input.length;
    Atomics.add(this.#counts, 0, 1);
  }
}
