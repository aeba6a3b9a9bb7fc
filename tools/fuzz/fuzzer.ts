import type { Bytes } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/base/random.ts';
import { defaultMaxLength, type Target } from '../../test/fuzz/target.ts';
import type { Coverage, Taken } from './coverage.ts';
import { Mutation } from './mutation.ts';
import { shrink } from './shrink.ts';

/** An input for which something does not hold, made small. */
export interface Failure {
  readonly input: Bytes;
  readonly message: string;
}

/**
 * Looks for inputs that fail: what reaches code that nothing reached before is kept, and changed further. Asking what
 * ran costs as much as hundreds of executions, so they run in batches; only a batch that found something new is taken
 * apart.
 */
export class Fuzzer {
  readonly corpus: Bytes[] = [];
  executions = 0;
  readonly #target: Target;
  readonly #random: SeededRandom;
  readonly #coverage: Coverage;
  readonly #mutation: Mutation;
  /** Hears of each input before it runs. */
  readonly #before: (input: Bytes) => void;
  #batch = 16;

  constructor(target: Target, random: SeededRandom, coverage: Coverage, before: (input: Bytes) => void = () => {}) {
    this.#target = target;
    this.#random = random;
    this.#coverage = coverage;
    this.#mutation = new Mutation(random.fork(), target.words ?? [], target.maxLength ?? defaultMaxLength);
    this.#before = before;
  }

  /** Takes inputs in as they are, those first that are short. */
  begin(inputs: readonly Bytes[]): Failure | undefined {
    const inOrder = inputs.toSorted((a, b) => a.length - b.length);
    this.corpus.push(inOrder[0] ?? new Uint8Array());
    return this.#runBatch(inOrder);
  }

  /** About a hundredth of a second of executions, and at most so many. */
  run(most: number): Failure | undefined {
    const inputs = Array.from({ length: Math.min(most, this.#batch) }, () =>
      this.#mutation.of(this.#chosen(), this.#chosen()),
    );
    const begin = performance.now();
    const failure = this.#runBatch(inputs);
    const spent = performance.now() - begin;
    this.#batch = Math.max(4, Math.min(4096, Math.round((this.#batch * batchTime) / Math.max(spent, batchTime / 2))));
    return failure;
  }

  /** Of the corpus those that reach most, beside what is `given` in any case: as many as that takes, and at most `most`. */
  needed(given: readonly Bytes[], most: number): Bytes[] {
    this.#coverage.forget();
    for (const input of given) this.#coverage.add(this.#takenBy(input));
    const left = new Map(this.corpus.map(input => [input, this.#takenBy(input)]));
    const needed: Bytes[] = [];
    for (;;) {
      let [best, highest]: [Bytes | undefined, number] = [undefined, 0];
      for (const [input, taken] of left) {
        const gain = this.#coverage.gain(taken);
        if (gain > highest) [best, highest] = [input, gain];
      }
      if (best === undefined || needed.length === most) return needed;
      this.#coverage.add(left.get(best)!);
      left.delete(best);
      needed.push(best);
    }
  }

  #takenBy(input: Bytes): Taken {
    this.#coverage.take();
    this.#execute(input);
    return this.#coverage.take();
  }

  /** What was found last is the most promising; so is what is short. */
  #chosen(): Bytes {
    const { corpus } = this;
    const among = this.#random.below(2) === 0 ? corpus.length : Math.min(corpus.length, 16);
    const [a, b] = [corpus.at(-1 - this.#random.below(among))!, corpus.at(-1 - this.#random.below(among))!];
    return a.length <= b.length ? a : b;
  }

  #runBatch(inputs: readonly Bytes[]): Failure | undefined {
    const failure = this.#executeAll(inputs);
    if (failure !== undefined) return this.#made(failure);
    const taken = this.#coverage.take();
    if (this.#coverage.gain(taken) === 0) return undefined;
    this.#keepNew(inputs);
    // What ran once only, when a module was first used, is nobody's.
    this.#coverage.add(taken);
    return undefined;
  }

  /** Halves of halves, until it is clear which inputs brought something new. */
  #keepNew(inputs: readonly Bytes[]): void {
    this.#executeAll(inputs);
    const taken = this.#coverage.take();
    if (this.#coverage.gain(taken) === 0) return;
    if (inputs.length === 1) {
      this.corpus.push(inputs[0]!);
      return this.#coverage.add(taken);
    }
    const half = inputs.length >>> 1;
    this.#keepNew(inputs.slice(0, half));
    this.#keepNew(inputs.slice(half));
  }

  #executeAll(inputs: readonly Bytes[]): Failure | undefined {
    for (const input of inputs) {
      const message = this.#execute(input);
      if (message !== undefined) return { input, message };
    }
    return undefined;
  }

  /** What does not hold, if anything. */
  #execute(input: Bytes): string | undefined {
    this.executions++;
    this.#before(input);
    return failureOf(this.#target, input);
  }

  #made({ input, message }: Failure): Failure {
    const kind = kindOf(message);
    const isSlow = kind.startsWith(slowKind);
    const small = shrink(input, candidate => kindOf(this.#execute(candidate) ?? '') === kind, isSlow ? 20 : undefined);
    return { input: small, message: failureOf(this.#target, small) ?? message };
  }
}

/** What does not hold for an input: the message of the first thing that does not, or that it took too long. */
export function failureOf(target: Target, input: Bytes): string | undefined {
  let fastest = Number.POSITIVE_INFINITY;
  // A machine that does something else makes anything slow; of the processor it takes what it takes, and more only once.
  for (let tries = 0; tries < 3; tries++) {
    const begin = performance.now();
    const before = tries === 0 ? undefined : process.cpuUsage();
    try {
      target.check(input.slice());
    } catch (error) {
      return error instanceof Error ? `${error.name}: ${error.message}\n${placeOf(error)}` : String(error);
    }
    const used = before && process.cpuUsage(before);
    fastest = Math.min(fastest, used === undefined ? performance.now() - begin : (used.user + used.system) / 1000);
    if (fastest <= slowAfter) return undefined;
  }
  return `${slowKind}: ${Math.round(fastest)} ms for ${input.length} bytes`;
}

/** The first lines of the stack, without the message. */
function placeOf(error: Error): string {
  return (error.stack ?? '')
    .split('\n')
    .filter(line => /^\s+at /.test(line))
    .slice(0, 6)
    .join('\n');
}

/** Two messages of one kind are one failure: they differ in what they quote. */
function kindOf(message: string): string {
  return message.split(/[:\n]/, 2).join(':').replaceAll(/\d+/g, '#').slice(0, 120);
}

const slowKind = 'TooSlow';
/** In milliseconds: inputs are short, and what takes longer grows faster than they do. */
const slowAfter = 500;
const batchTime = 12;
