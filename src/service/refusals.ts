import { FifoMap } from '../base/fifoMap.ts';
import { seconds, type WallTime } from '../base/time.ts';
import type { FleetEvent } from '../fleet/event.ts';
import type { EndpointName, Row, Sector } from '../fleet/names.ts';
import type { Refusal } from '../lwm2m/refusal.ts';

/**
 * Which refusals become an event: those of a profile, which an operator wants to see in a device's history. A device
 * that goes on trying fills no log with them: the same refusal is told once an hour. Bounded: who was refused first is
 * forgotten first.
 */
export class RefusalEvents {
  readonly #told = new FifoMap<Row, { why: string; until: WallTime }>();

  eventOf(
    wall: WallTime,
    row: Row,
    name: EndpointName,
    sector: Sector | undefined,
    why: Refusal,
  ): FleetEvent | undefined {
    if (!why.reason.startsWith('profile-')) return undefined;
    const text = `${why.reason} ${why.detail ?? ''}`;
    const told = this.#told.get(row);
    if (told !== undefined && told.why === text && told.until > wall) return undefined;
    this.#told.set(row, { why: text, until: (wall + seconds(3600)) as WallTime });
    if (this.#told.size > capacity) this.#told.delete(this.#told.oldestKey()!);
    const details = { reason: why.reason, ...(why.detail === undefined ? {} : { detail: why.detail }) };
    return { type: 'refused', at: wall, row, name, ...(sector === undefined ? {} : { sector }), details };
  }
}

const capacity = 10_000;
