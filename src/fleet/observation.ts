import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { WallTime } from '../base/time.ts';
import type { Row } from './names.ts';
import { firstVersion } from './version.ts';

/**
 * An observation of ours on a device (RFC 7641; LwM2M Core 1.2 §6.4), as the registry keeps it: what it is on, who
 * wished for it, and the token that its notifications carry, so that they still match after a restart of the server.
 */
export interface Observation {
  /** Numbers the observations of a device, from 1 on. */
  readonly id: number;
  /** Raised by one with every write; see `firstVersion`. */
  readonly version: number;
  /** One path; or several, which is an Observe-Composite (LwM2M 1.2). */
  readonly paths: readonly string[];
  readonly attributes: NotificationAttributes;
  readonly source: ObservationSource;
  readonly state: ObservationState;
  /** Why the device does not do it, e.g. `4.04`. */
  readonly reason: string | undefined;
  /** The association that it was made on: on another one it has to be made again (RFC 7252 §9.1). */
  readonly peer: Peer | undefined;
  readonly token: Bytes | undefined;
  /** When it came to this state. */
  readonly since: WallTime;
}

/** When to notify (LwM2M Core 1.2 §7.3.2): periods in seconds, thresholds in the unit of the resource. */
export interface NotificationAttributes {
  readonly pmin?: number | undefined;
  readonly pmax?: number | undefined;
  readonly gt?: number | undefined;
  readonly lt?: number | undefined;
  readonly st?: number | undefined;
}

export type ObservationSource = 'profile' | 'device' | 'operator';

/**
 * `wanted`: still to be made. `active`: the device accepted it on `peer`. `refused`: it answered that it will not; it
 * is asked again when it registers again. `ending`: an operator wants it no more, and the device is still to hear of it.
 * `split`: the device does not observe these paths together, so that each is observed by itself, for as long as it stays.
 */
export type ObservationState = 'wanted' | 'active' | 'refused' | 'ending' | 'split';

/** What somebody wishes to be observed. */
export type Wish = Pick<Observation, 'paths' | 'attributes' | 'source'>;

/** A change of one observation; an `observation` of `undefined` removes it. A conflict if its version is another one. */
export interface ObservationChange {
  readonly row: Row;
  /** Of the registration: a conflict if that is over. */
  readonly generation: number;
  readonly id: number;
  /** `0` if there was none. */
  readonly expected: number;
  readonly observation: Observation | undefined;
}

/**
 * What becomes of a device's observations when they are wished anew, at a registration or when its objects change. All
 * that is still wished is to be made again, since nobody knows what the device remembers; the operator's own stay.
 */
export function replaceObservations(
  row: Row,
  generation: number,
  before: readonly Observation[],
  wishes: readonly Wish[],
  wall: WallTime,
): ObservationChange[] {
  if (before.length === 0 && wishes.length === 0) return [];
  const kept = before
    .filter(({ source, state }) => source === 'operator' && state !== 'ending')
    .slice(0, maxObservations);
  const split = new Set(before.filter(({ state }) => state === 'split').map(({ paths }) => paths.join(' ')));
  const wished = new Map<string, Wish>();
  for (const wish of [...kept, ...wishes]) {
    const parts = split.has(wish.paths.join(' ')) ? wish.paths.map(path => ({ ...wish, paths: [path] })) : [];
    for (const each of [wish, ...parts]) {
      const key = each.paths.join(' ');
      if (!wished.has(key) && wished.size < maxObservations) wished.set(key, each);
    }
  }
  const changes: ObservationChange[] = [];
  const change = (id: number, expected: number, observation: Observation | undefined) =>
    changes.push({ row, generation, id, expected, observation });
  for (const observation of before) {
    const key = observation.paths.join(' ');
    const wish = wished.get(key);
    wished.delete(key);
    if (wish !== undefined && observation.state === 'split') continue;
    change(observation.id, observation.version, wish && wanted(wish, observation.id, observation.version + 1, wall));
  }
  let id = before.at(-1)?.id ?? 0;
  for (const wish of wished.values()) change(++id, 0, wanted(wish, id, firstVersion(wall), wall));
  return changes;
}

/**
 * A device will not observe some paths together (Observe-Composite): each is wanted by itself from now on, as far as there
 * is room. That it was split stays stored, so that the next registration does not begin with the same refusal.
 */
export function splitObservation(
  row: Row,
  generation: number,
  before: readonly Observation[],
  composite: Observation,
  reason: string,
  wall: WallTime,
): ObservationChange[] {
  const split: Observation = {
    ...composite,
    version: composite.version + 1,
    state: 'split',
    reason,
    peer: undefined,
    token: undefined,
    since: wall,
  };
  const present = new Set(before.map(({ paths }) => paths.join(' ')));
  let id = before.at(-1)?.id ?? composite.id;
  const parts = composite.paths
    .filter(path => !present.has(path))
    .slice(0, Math.max(0, maxObservations - before.length))
    .map(path => ({
      row,
      generation,
      id: ++id,
      expected: 0,
      observation: wanted({ ...composite, paths: [path] }, id, firstVersion(wall), wall),
    }));
  return [{ row, generation, id: composite.id, expected: composite.version, observation: split }, ...parts];
}

export function wanted({ paths, attributes, source }: Wish, id: number, version: number, since: WallTime): Observation {
  return {
    id,
    version,
    paths,
    attributes,
    source,
    state: 'wanted',
    reason: undefined,
    peer: undefined,
    token: undefined,
    since,
  };
}

export function hasAttributes({ pmin, pmax, gt, lt, st }: NotificationAttributes): boolean {
  return [pmin, pmax, gt, lt, st].some(attribute => attribute !== undefined);
}

/** For each device, whoever wished for them. */
export const maxObservations = 64;
