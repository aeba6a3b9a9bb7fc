import type { WallTime } from '../base/time.ts';
import type { EndpointName, RegistrationId, Row, Sector } from './names.ts';

/** What happened, for those who follow the fleet. Written in the transaction of the change that it tells. */
export interface FleetEvent {
  readonly type: EventType;
  readonly at: WallTime;
  readonly row: Row;
  readonly name: EndpointName;
  readonly sector?: Sector;
  readonly registrationId?: RegistrationId;
  /** What differs by type, e.g. `{ reason: 'expired' }`. Small: a few hundred bytes at most. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Stored by position: append, never reorder. */
export const eventTypes = [
  'registered',
  'updated',
  'deregistered',
  'expired',
  'forgotten',
  'credential-added',
  'credential-revoked',
  'refused',
  'allocated',
  'profile-set',
  'profile-removed',
  'address-changed',
  'awake',
  'asleep',
  'command',
  'observation',
  'value',
  'restored',
  'desired',
] as const;

export type EventType = (typeof eventTypes)[number];

/** An event as stored. Sequence numbers start at 1 and have no gaps but those that retention or a restored backup made. */
export interface StoredEvent extends FleetEvent {
  readonly sequence: number;
}
