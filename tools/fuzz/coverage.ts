import { type Profiler, Session } from 'node:inspector';

/**
 * Which blocks of code ran, as V8 counts them (precise coverage of its inspector, in this thread). Of each function it
 * keeps the blocks that nothing has reached so far: what makes them fewer is new.
 */
export class Coverage {
  readonly #session = new Session();
  readonly #counts: (url: string) => boolean;
  readonly #functions = new Map<string, readonly Span[]>();
  readonly #lengths = new Map<string, number>();

  /** `counts`: whose code is looked at. */
  constructor(counts: (url: string) => boolean) {
    this.#counts = counts;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** How many functions were entered, and how many blocks of theirs never were. */
  get totals(): { functions: number; unreached: number } {
    let unreached = 0;
    for (const spans of this.#functions.values()) unreached += spans.length;
    return { functions: this.#functions.size, unreached };
  }

  /** What ran since the last `take`. */
  take(): Taken {
    let result: Profiler.ScriptCoverage[] = [];
    // Within one thread the inspector answers before it returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error !== null) throw error;
      result = taken.result;
    });
    const taken = new Map<string, readonly Span[]>();
    for (const { url, functions } of result) {
      if (!this.#counts(url)) continue;
      for (const { ranges } of functions) {
        const [whole, ...inner] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        const holes = inner.filter(({ count }) => count === 0).map(hole => [hole.startOffset, hole.endOffset] as const);
        const name = `${url}:${whole.startOffset}:${whole.endOffset}`;
        this.#lengths.set(name, whole.endOffset - whole.startOffset);
        taken.set(name, holes);
      }
    }
    return taken;
  }

  /** How many characters of code it reached that nothing reached before. */
  gain(taken: Taken): number {
    let gain = 0;
    for (const [name, holes] of taken) {
      const known = this.#functions.get(name);
      gain +=
        known === undefined
          ? this.#lengths.get(name)! - lengthOf(holes)
          : lengthOf(known) - lengthOf(common(known, holes));
    }
    return gain;
  }

  add(taken: Taken): void {
    for (const [name, holes] of taken) {
      const known = this.#functions.get(name);
      this.#functions.set(name, known === undefined ? holes : common(known, holes));
    }
  }

  /** As if nothing had run yet. */
  forget(): void {
    this.#functions.clear();
  }

  end(): void {
    this.#session.disconnect();
  }
}

/** By function: the blocks that did not run, in order. */
export type Taken = ReadonlyMap<string, readonly Span[]>;

/** From the first offset until before the second. */
type Span = readonly [start: number, end: number];

function common(a: readonly Span[], b: readonly Span[]): Span[] {
  const spans: Span[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const start = Math.max(a[i]![0], b[j]![0]);
    const end = Math.min(a[i]![1], b[j]![1]);
    if (start < end) spans.push([start, end]);
    if (a[i]![1] < b[j]![1]) i++;
    else j++;
  }
  return spans;
}

function lengthOf(spans: readonly Span[]): number {
  return spans.reduce((sum, [start, end]) => sum + end - start, 0);
}
