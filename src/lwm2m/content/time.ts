import type { Time } from '../value.ts';

/** A date and time as text (RFC 3339 §5.6), in whole seconds; `undefined` if it is none. */
export function parseDateTime(text: string): Time | undefined {
  if (!dateTime.test(text)) return undefined;
  const milliseconds = Date.parse(text);
  return Number.isNaN(milliseconds) ? undefined : { unix: Math.floor(milliseconds / 1000) };
}

const dateTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;
