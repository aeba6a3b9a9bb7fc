/**
 * Objects whose keys a peer chose, to be encoded as maps: an encoder asks an object for its `constructor` and its
 * `toJSON`, and a decoder would rename `__proto__`.
 */
export function asMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asMaps);
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([name, entry]) => [name, asMaps(entry)]));
}

/** The mirror of `asMaps`. */
export function asObjects(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asObjects);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([name, entry]) => [name, asObjects(entry)]));
}
