import { sameBytes } from '../base/bytes.ts';
import { contactDay, visitEndpoint, visitLink } from './attributes.ts';
import { decodeDescription } from './description.ts';
import type { DeviceRecord } from './device.ts';

/**
 * Under which words the index keeps a device: `name=value` for each of its attributes, whether it is registered, and
 * the day of its last contact. Pure, so that the index can be made again from the records at any time. Its name is not
 * among them, which the store knows anyway; nor are the links of LwM2M objects, whose instances are.
 */
export function termsOf(record: DeviceRecord): string[] {
  const { registration } = record;
  const terms = [stateTerm(registration !== undefined)];
  const description = registration === undefined ? undefined : decodeDescription(registration.description);
  if (registration !== undefined) terms.push(term('day', contactDay(registration)));
  visitEndpoint(record, description, (name, value) => {
    if (name !== 'ep' && !isImplied(name, value)) terms.push(term(name, value));
  });
  for (const link of description?.links ?? []) {
    visitLink(link, (name, value) => terms.push(term(name, value)));
    if (terms.length > maxTerms) return [...terms.slice(0, maxTerms), overflow];
  }
  return terms;
}

/** What a change does to a device's terms. Nothing has to be decoded where everything they are made of is the same. */
export function termChanges(before: DeviceRecord | undefined, after: DeviceRecord): TermChanges {
  if (before !== undefined && sameSource(before, after)) return noChanges;
  const removed = new Set(before === undefined ? [] : termsOf(before));
  const added = new Set(termsOf(after));
  for (const kept of removed.size === 0 ? [] : added) {
    if (removed.delete(kept)) added.delete(kept);
  }
  return { removed, added };
}

export interface TermChanges {
  readonly removed: ReadonlySet<string>;
  readonly added: ReadonlySet<string>;
}

/** What the index is asked for: the devices with one of these terms, or with a term in a range, or with such a name. */
export type TermTest =
  | { readonly any: readonly string[] }
  /** From `from` until before `until`. */
  | { readonly from: string; readonly until: string }
  /** In any sector. */
  | { readonly endpoint: string; readonly prefix: boolean };

/** Long values share a term with all that begin like them: what the index finds is always checked on the record. */
export function term(name: string, value: string): string {
  const whole = `${name}=${value}`;
  return whole.length > maxTermLength ? whole.slice(0, maxTermLength) : whole;
}

/** How the index is asked for an attribute; `undefined` if it cannot tell. */
export function testFor(name: string, value: string, prefix: boolean): TermTest | undefined {
  if (name === 'ep') return { endpoint: value, prefix };
  // Links of LwM2M objects are derived from the objects, and so is what the index has of them.
  if (name === 'ver') return undefined;
  if (name === 'href') return prefix ? undefined : linkTest(value);
  if (!prefix) return { any: [termFor(name, value)] };
  if (name === 'object' || name === 'instance' || name === 'serial') return undefined;
  const from = term(name, value);
  return { from, until: `${from}\u{10ffff}` };
}

function linkTest(href: string): TermTest | undefined {
  const [, object, instance] = /\/(\d+)(?:\/(\d+))?$/.exec(href) ?? [];
  if (object === undefined) return { any: [term('href', href)] };
  // `/1/2` is instance 2 of object 1, or object 2 under the root `/1`.
  const objects =
    instance === undefined
      ? [term('object', object)]
      : [term('object', instance), termFor('instance', `/${object}/${instance}`)];
  return { any: [term('href', href), ...objects] };
}

/**
 * What nearly every device with an object has is not kept, and is looked for among those with the object: its version
 * 1.0, and its instance 0.
 */
function isImplied(name: string, value: string): boolean {
  return (name === 'object' && value.endsWith(';1.0')) || (name === 'instance' && value.endsWith('/0'));
}

/** Under which term a device with this attribute is kept. */
function termFor(name: string, value: string): string {
  if (!isImplied(name, value)) return term(name, value);
  return term('object', name === 'object' ? value.slice(0, -4) : value.slice(1, -2));
}

/** Whether hardly any two devices share this term, so that an index keeps it better by its hash. */
export function isDistinct(candidate: string): boolean {
  return candidate.startsWith('serial=');
}

export function stateTerm(registered: boolean): string {
  return registered ? 'state=registered' : 'state=none';
}

/** Devices with more terms than we keep have this one, and every question looks at them too. */
export const overflow = '*';

function sameSource(before: DeviceRecord, after: DeviceRecord): boolean {
  const [a, b] = [before.registration, after.registration];
  if (a === undefined || b === undefined) return a === b;
  return (
    a.dialect === b.dialect &&
    a.transport === b.transport &&
    a.version?.[0] === b.version?.[0] &&
    a.version?.[1] === b.version?.[1] &&
    contactDay(a) === contactDay(b) &&
    sameBytes(a.allocation, b.allocation) &&
    (a.description === b.description || sameBytes(a.description, b.description))
  );
}

const noChanges: TermChanges = { removed: new Set(), added: new Set() };
/** A registration fits into 4 KB, which can hold a thousand links. */
const maxTerms = 128;
const maxTermLength = 80;
