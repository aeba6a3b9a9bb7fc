import type { ResourceDefinition } from './definition.ts';
import { isBytes, isTime, type ResourceValue } from './value.ts';

/**
 * Whether a value is one of those that its definition names: of numbers the value counts, of texts and bytes the length.
 * The registry writes ranges in more than one way (`0..255`, `0-7`, `16,32,48`, `0..3, 99`); what cannot be read
 * forbids nothing, since a definition is no reason to lose what a device says.
 */
export function isInRange({ range, type }: Pick<ResourceDefinition, 'range' | 'type'>, value: ResourceValue): boolean {
  const measured = measure(value);
  if (range === undefined || measured === undefined) return true;
  const spans = parseRange(range);
  if (spans === undefined) return true;
  // Of a text a single number is the longest it may be.
  if (type === 'string' && spans.length === 1 && spans[0]!.from === spans[0]!.to) return measured <= spans[0]!.to;
  return spans.some(({ from, to }) => measured >= from && measured <= to);
}

function measure(value: ResourceValue): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object') return undefined;
  if (isBytes(value)) return value.length;
  return isTime(value) ? value.unix : undefined;
}

function parseRange(text: string): readonly { readonly from: number; readonly to: number }[] | undefined {
  const spans: { from: number; to: number }[] = [];
  for (const part of text.split(',')) {
    const [, first, second = first] = span.exec(part.trim()) ?? [];
    if (first === undefined || second === undefined) return undefined;
    const [a, b] = [Number(first), Number(second)];
    spans.push({ from: Math.min(a, b), to: Math.max(a, b) });
  }
  return spans;
}

const span = /^(-?\d+(?:\.\d+)?)(?:(?:\.{2,3}|-)(-?\d+(?:\.\d+)?))?$/;
