import type { Work } from './work.ts';

/**
 * Questions that wait for time, or take several turns. Operators have a line of their own and both take turns, so that no
 * device, and nobody on plain CoAP, takes their places; and of the others' line no single peer has more than a part.
 */
export class WaitingQuestions {
  readonly #operators: Work[] = [];
  readonly #others: Work[] = [];
  #wasOperator = false;

  get size(): number {
    return this.#operators.length + this.#others.length;
  }

  /** `false` if there is no room. One that had a turn has its place. */
  add(work: Work): boolean {
    const isOperator = work.context.principal.kind === 'operator';
    const line = isOperator ? this.#operators : this.#others;
    if (!work.searching) {
      if (line.length >= questionLimits.all) return false;
      const { peer } = work.exchange;
      const hasPart = () => line.filter(({ exchange }) => exchange.peer === peer).length >= questionLimits.each;
      if (!isOperator && hasPart()) return false;
    }
    line.push({ ...work, searching: true });
    return true;
  }

  /** The one that waits longest in the line whose turn it is. */
  next(): Work | undefined {
    const [first, second] = this.#wasOperator ? [this.#others, this.#operators] : [this.#operators, this.#others];
    const line = first.length > 0 ? first : second;
    this.#wasOperator = line === this.#operators;
    return line.shift();
  }
}

/** In each of both lines, and of one device or plain address. */
export const questionLimits = { all: 16, each: 8 } as const;
