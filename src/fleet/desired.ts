import type { WallTime } from '../base/time.ts';
import { seconds } from '../base/time.ts';
import type { ValuePath } from '../lwm2m/path.ts';
import { type ResourceValue, sameValue } from '../lwm2m/value.ts';
import type { Registration } from './device.ts';
import type { Row } from './names.ts';
import type { LastValue } from './value.ts';

/**
 * The value that a resource is to have: set once, written whenever the device listens and has another one. It belongs to
 * the endpoint name, not to a registration, and stays until somebody unsets it.
 */
export interface Desired {
  readonly path: ValuePath;
  /** Raised by one with every write. */
  readonly version: number;
  readonly value: ResourceValue;
  readonly setAt: WallTime;
  readonly state: DesiredState;
  /** When it came to this state, or was tried last. */
  readonly since: WallTime;
  /** Why, e.g. `4.05`, `timeout` or `not-kept`. */
  readonly reason: string | undefined;
  /** While it is pending: how often nothing came back. */
  readonly tries: number;
  /** How often it was written again since the device reported something else, each time within an hour. */
  readonly again: number;
}

/** `delivered`: the device answered the Write with 2.xx. `refused`: with anything else, or it did not keep the value. */
export type DesiredState = 'pending' | 'delivered' | 'refused';

/** A change of one desired value; a `desired` of `undefined` unsets it. A conflict if its version is another one. */
export interface DesiredChange {
  readonly row: Row;
  readonly path: ValuePath;
  /** `0` if there was none. */
  readonly expected: number;
  readonly desired: Desired | undefined;
}

/**
 * Whether it is to be written now, as far as anybody knows; `last` is the last value of its resource:
 *
 * - pending, unless nothing came back three times since the device last registered, updated or sent;
 * - delivered before this registration, unless the device itself has reported the value;
 * - delivered, and the device has reported another value since;
 * - refused before this registration.
 */
export function isDue(desired: Desired, last: LastValue | undefined, registration: Registration): boolean {
  const { state, since, tries } = desired;
  const isOfEarlier = since < registration.registeredAt;
  const reported = last === undefined || last.source === 'write' ? undefined : last;
  if (state === 'pending') return tries < maxTries || since < registration.lastContact;
  if (state === 'refused') return isOfEarlier;
  if (reported === undefined) return isOfEarlier;
  return (isOfEarlier || reported.received > since) && !holds(desired, reported);
}

/** Numbers are the same if a device with single precision cannot tell them apart. */
function holds({ value }: Desired, reported: LastValue): boolean {
  if (typeof value === 'number' && typeof reported.value === 'number') {
    return Math.fround(value) === Math.fround(reported.value);
  }
  return sameValue(value, reported.value);
}

export function desire(path: ValuePath, value: ResourceValue, before: Desired | undefined, wall: WallTime): Desired {
  const version = (before?.version ?? 0) + 1;
  return { path, version, value, setAt: wall, state: 'pending', since: wall, reason: undefined, tries: 0, again: 0 };
}

/** Whether a device that answered the Write before is not to be asked again: it takes the value, and does not keep it. */
export function isNotKept({ state, since, again }: Desired, registration: Registration, wall: WallTime): boolean {
  return state === 'delivered' && since >= registration.registeredAt && again >= maxAgain && isRecent(since, wall);
}

export function delivered(desired: Desired, registration: Registration, wall: WallTime): Desired {
  const { state, since, again } = desired;
  const wasUndone = state === 'delivered' && since >= registration.registeredAt && isRecent(since, wall);
  return { ...to(desired, 'delivered', wall, registration, undefined), tries: 0, again: wasUndone ? again + 1 : 0 };
}

export function refusedWith(desired: Desired, reason: string, registration: Registration, wall: WallTime): Desired {
  return { ...to(desired, 'refused', wall, registration, reason), tries: 0 };
}

/** Nothing came back. */
export function tried(desired: Desired, reason: string, registration: Registration, wall: WallTime): Desired {
  const before = desired.state === 'pending' && desired.tries < maxTries ? desired.tries : 0;
  return { ...to(desired, 'pending', wall, registration, reason), tries: before + 1 };
}

/** Never of before this registration: a clock that was set back would have the value written again without end. */
function to(
  desired: Desired,
  state: DesiredState,
  wall: WallTime,
  { registeredAt, lastContact }: Registration,
  reason: string | undefined,
): Desired {
  const since = Math.max(wall, registeredAt, lastContact) as WallTime;
  return { ...desired, version: desired.version + 1, state, since, reason };
}

function isRecent(since: WallTime, wall: WallTime): boolean {
  return wall - since < seconds(3600);
}

/** For each device. */
export const maxDesired = 64;
/** As it is written on the wire. */
export const maxDesiredBytes = 16_384;
export const maxTries = 3;
const maxAgain = 3;
