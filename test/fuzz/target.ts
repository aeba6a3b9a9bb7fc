import type { Bytes } from '../../src/base/bytes.ts';

/** Something that takes whatever bytes come, and what must hold of it whatever they are. */
export interface Target {
  /** As `--target` names it, and its folder of the corpus. */
  readonly name: string;
  /** For people: what `check` makes sure of. */
  readonly holds: string;
  /** Small good inputs: what the fuzzer finds grows from them, and from the corpus. */
  readonly seeds: readonly Bytes[];
  /** What means something here and chance hardly ever spells. */
  readonly words?: readonly Bytes[];
  /** How many times as long as most an execution takes, about. */
  readonly weight?: number;
  /** In bytes; `defaultMaxLength` if it is not given. */
  readonly maxLength?: number;
  /** Throws if something does not hold. It is a function of the input, and leaves nothing behind. */
  check(input: Bytes): void;
}

export const defaultMaxLength = 512;

/** An invariant does not hold. */
export class Broken extends Error {
  override readonly name = 'Broken';
}

export function ensure(holds: boolean, what: string, ...values: readonly unknown[]): asserts holds {
  if (!holds) throw new Broken(values.length === 0 ? what : `${what}: ${values.map(shown).join(' and ')}`);
}

/** Two things that show the same: what a decoder says, by value. */
export function ensureSame(a: unknown, b: unknown, what: string): void {
  const [left, right] = [shown(a), shown(b)];
  if (left !== right) throw new Broken(`${what}: ${left} and ${right}`);
}

/** By value, in one line: JSON with names in order, and what JSON has no form for. */
export function shown(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => plain(inner)) ?? 'undefined';
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `h'${Buffer.from(value).toString('hex')}'`;
  if (value instanceof Map) return { map: [...value] };
  if (value instanceof Set) return { set: [...value] };
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))) return `number ${textOf(value)}`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function textOf(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}
