import type { Milliseconds } from '../../src/base/time.ts';
import { DeviceObjects } from '../../src/device/objects.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import { instancePath, type Path, resourcePath, type ValuePath } from '../../src/lwm2m/path.ts';
import type { ResourceValue } from '../../src/lwm2m/value.ts';
import type { Clock } from './clock.ts';

/** What the device measures, by itself. */
export const measured = resourcePath(3303, 0, 5700);
/** What operators write by commands, execute, and want it to have. */
export const written = resourcePath(3303, 0, 5750);
export const executable = resourcePath(3303, 0, 5605);
export const desirable: readonly ValuePath[] = [resourcePath(3308, 0, 5900), resourcePath(3, 0, 15)];
export const sensor = instancePath(3303, 0);

/**
 * The objects of a simulated device, and since when each value was there and until when: whatever anybody says of them
 * can be held against it.
 */
export class SimResources {
  readonly #clock: Clock;
  readonly #witness: Witness;
  #objects: DeviceObjects;
  /** By path and value, until when it was so; infinite while it is. */
  readonly #heldUntil = new Map<ValuePath, Map<ResourceValue, Milliseconds>>();
  #measurements = 0;

  constructor(clock: Clock, witness: Witness) {
    this.#clock = clock;
    this.#witness = witness;
    this.#objects = freshObjects();
    for (const path of Object.keys(initial) as ValuePath[]) this.#note(path);
  }

  get objects(): DeviceObjects {
    return this.#objects;
  }

  /** The device was without power, and had no other place for its values. */
  forget(): void {
    this.#objects = freshObjects();
    for (const path of this.#heldUntil.keys()) this.#note(path);
  }

  /** What is measured next: never what was measured before. */
  measure(): number {
    return ++this.#measurements / 16;
  }

  /** The device itself changed a value. */
  changed(path: ValuePath): void {
    this.#note(path);
  }

  /** The server wrote. */
  written(paths: readonly Path[]): void {
    for (const path of paths as readonly ValuePath[]) {
      const value = this.#objects.get(path);
      if (value === undefined) continue;
      this.#note(path);
      this.#witness.written(path, value);
    }
  }

  /** The server executed, with `0='tag'`. */
  executed(args: string): void {
    this.#witness.executed(args.slice(3, -1));
  }

  /** Until when the device had this value; `undefined` if it never had it. */
  heldUntil(path: ValuePath, value: ResourceValue): Milliseconds | undefined {
    return this.#heldUntil.get(path)?.get(value);
  }

  #note(path: ValuePath): void {
    const history = this.#heldUntil.get(path) ?? new Map<ResourceValue, Milliseconds>();
    for (const [value, until] of history) if (until === stillHeld) history.set(value, this.#clock.now);
    const value = this.#objects.get(path);
    if (value !== undefined) history.set(value, stillHeld);
    this.#heldUntil.set(path, history);
  }
}

/** Sees what is done to a device at the moment when it is done. */
export interface Witness {
  executed(tag: string): void;
  written(path: ValuePath, value: ResourceValue): void;
}

function freshObjects(): DeviceObjects {
  return new DeviceObjects(definitions, initial);
}

const definitions = Definitions.registry();
const initial: Readonly<Record<ValuePath, ResourceValue>> = {
  [resourcePath(1, 0, 1)]: 300,
  [resourcePath(3, 0, 0)]: 'ACME',
  [resourcePath(3, 0, 15)]: 'UTC',
  [measured]: 0,
  [written]: 'none',
  [resourcePath(3308, 0, 5900)]: 20,
};
export const stillHeld = Number.POSITIVE_INFINITY;
