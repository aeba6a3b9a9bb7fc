import type { WallTime } from '../base/time.ts';
import { seconds } from '../base/time.ts';
import type { ValuePath } from '../lwm2m/path.ts';
import { type ResourceValue, sameValue } from '../lwm2m/value.ts';
import type { Registration } from './device.ts';
import type { Row } from './names.ts';
import type { LastValue } from './value.ts';
import { firstVersion } from './version.ts';

/**
 * The value that a resource is to have: set once, written whenever the device listens and has another one. It belongs to
 * the endpoint name, not to a registration, and stays until somebody unsets it.
 */
export interface Desired {
  readonly path: ValuePath;
  /** Raised by one with every write; see `firstVersion`. */
  readonly version: number;
  readonly value: ResourceValue;
  readonly setAt: WallTime;
  readonly state: DesiredState;
  /** When it came to this state, or was tried last. */
  readonly since: WallTime;
  /** What the registration was then: told by this whether it is another one now, since a clock may be set back. */
  readonly during: Pick<Registration, 'registeredAt' | 'lastContact'> | undefined;
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
 * - delivered, and the device has reported another value since: our own Write made its value the last one;
 * - refused before this registration.
 */
export function isDue(desired: Desired, last: LastValue | undefined, registration: Registration): boolean {
  const { state, tries } = desired;
  if (state === 'pending') return tries < maxTries || !isSinceContact(desired, registration);
  if (state === 'refused' || last === undefined || last.source === 'write') return !isOfNow(desired, registration);
  return !holds(desired, last);
}

/** Whether it came to its state in this registration. */
function isOfNow({ during, since }: Desired, { registeredAt }: Registration): boolean {
  return during === undefined ? since >= registeredAt : during.registeredAt === registeredAt;
}

/** Whether the device has not registered, updated or sent since. */
function isSinceContact(desired: Desired, registration: Registration): boolean {
  const { during, since } = desired;
  if (during === undefined) return since >= registration.lastContact;
  return isOfNow(desired, registration) && during.lastContact === registration.lastContact;
}

/** Numbers are the same if a device with single precision cannot tell them apart. */
function holds({ value }: Desired, reported: LastValue): boolean {
  if (typeof value === 'number' && typeof reported.value === 'number') {
    return Math.fround(value) === Math.fround(reported.value);
  }
  return sameValue(value, reported.value);
}

export function desire(path: ValuePath, value: ResourceValue, before: Desired | undefined, wall: WallTime): Desired {
  const version = before === undefined ? firstVersion(wall) : before.version + 1;
  const fresh = { state: 'pending', since: wall, during: undefined, reason: undefined, tries: 0, again: 0 } as const;
  return { path, version, value, setAt: wall, ...fresh };
}

/** Whether a device that answered the Write before is not to be asked again: it takes the value, and does not keep it. */
export function isNotKept(desired: Desired, registration: Registration, wall: WallTime): boolean {
  return desired.again >= maxAgain && isQuarrel(desired, registration, wall);
}

export function delivered(desired: Desired, registration: Registration, wall: WallTime): Desired {
  const again = isQuarrel(desired, registration, wall) ? desired.again + 1 : 0;
  return { ...to(desired, 'delivered', wall, registration, undefined), tries: 0, again };
}

export function refusedWith(desired: Desired, reason: string, registration: Registration, wall: WallTime): Desired {
  return { ...to(desired, 'refused', wall, registration, reason), tries: 0 };
}

/** Nothing came back. */
export function tried(desired: Desired, reason: string, registration: Registration, wall: WallTime): Desired {
  const before = desired.state === 'pending' && desired.tries < maxTries ? desired.tries : 0;
  return { ...to(desired, 'pending', wall, registration, reason), tries: before + 1 };
}

function to(
  desired: Desired,
  state: DesiredState,
  wall: WallTime,
  { registeredAt, lastContact }: Registration,
  reason: string | undefined,
): Desired {
  return {
    ...desired,
    version: desired.version + 1,
    state,
    since: wall,
    during: { registeredAt, lastContact },
    reason,
  };
}

/** Whether the device took the value a short while ago, and has another one already. */
function isQuarrel(desired: Desired, registration: Registration, wall: WallTime): boolean {
  return desired.state === 'delivered' && isOfNow(desired, registration) && wall - desired.since < seconds(3600);
}

/** For each device. */
export const maxDesired = 64;
/** As it is written on the wire. */
export const maxDesiredBytes = 16_384;
export const maxTries = 3;
const maxAgain = 3;
