import type { ResourceDefinition } from '../lwm2m/definition.ts';
import type { Definitions } from '../lwm2m/definitions.ts';
import {
  comparePaths,
  containsPath,
  type InstancePath,
  instancePath,
  isValuePath,
  levelOf,
  maxPathId,
  objectPath,
  type Path,
  parentOf,
  parsePath,
  pathIds,
  resourceOf,
  type ValuePath,
} from '../lwm2m/path.ts';
import { isInRange } from '../lwm2m/range.ts';
import type { EnablerVersion, ObjectEntry } from '../lwm2m/registrationRequest.ts';
import type { Entry, ResourceValue } from '../lwm2m/value.ts';

/** Why an operation is not done, by the response code it leads to (LwM2M Core 1.2 §6.3). */
export type ObjectRefusal = 'bad-request' | 'not-found' | 'not-allowed';

/**
 * The objects that a device has, and their values: what a server's operations act on. Values have the types of their
 * definitions; an object that nobody defined takes any. Each change is whole or is refused.
 */
export class DeviceObjects {
  readonly definitions: Definitions;
  readonly #values = new Map<ValuePath, ResourceValue>();
  readonly #instances = new Set<InstancePath>();
  readonly #versions: ReadonlyMap<number, EnablerVersion>;

  /** By path: `{ '/3/0/0': 'ACME', '/3303/0/5700': 21.5 }`. Instances are there as soon as they have a value. */
  constructor(
    definitions: Definitions,
    values: Readonly<Record<string, ResourceValue>>,
    versions: ReadonlyMap<number, EnablerVersion> = new Map(),
  ) {
    this.definitions = definitions;
    this.#versions = versions;
    for (const [text, value] of Object.entries(values)) {
      const path = parsePath(text);
      if (path === undefined || !isValuePath(path)) throw new Error(`${text} is no path of a value`);
      this.set(path, value);
    }
  }

  /** What a registration says of them: objects with their versions and instances. */
  entries(): readonly ObjectEntry[] {
    const objects = new Map<number, number[]>();
    for (const path of this.#sortedInstances()) {
      const [object, instance] = pathIds(path) as [number, number];
      objects.set(object, [...(objects.get(object) ?? []), instance]);
    }
    return Array.from(objects, ([id, instances]) => ({ id, version: this.#versions.get(id), instances }));
  }

  get(path: ValuePath): ResourceValue | undefined {
    return this.#values.get(path);
  }

  /** The device itself changes a value, whatever a server may do with it. */
  set(path: ValuePath, value: ResourceValue): void {
    const [object, instance] = pathIds(path) as [number, number];
    this.#instances.add(instancePath(object, instance));
    this.#values.set(path, value);
  }

  definition(path: Path): ResourceDefinition | undefined {
    const [object, , resource] = pathIds(path);
    return object === undefined || resource === undefined
      ? undefined
      : this.definitions.resource(object, this.#versions.get(object), resource);
  }

  version(object: number): EnablerVersion | undefined {
    return this.#versions.get(object);
  }

  has(path: Path): boolean {
    const level = levelOf(path);
    if (level === 'root') return true;
    if (level === 'instance') return this.#instances.has(path as InstancePath);
    if (level === 'object') return [...this.#instances].some(instance => containsPath(path, instance));
    if (this.isExecutable(path)) return this.#instances.has(parentOf(path) as InstancePath);
    return [...this.#values.keys()].some(value => containsPath(path, value));
  }

  isExecutable(path: Path): boolean {
    return levelOf(path) === 'resource' && this.definition(path)?.operations === 'E';
  }

  /** All that stands at or below a path, without values, in the order of the tree. */
  paths(below: Path): readonly Path[] {
    const found = new Set<Path>();
    for (const instance of this.#instances) {
      found.add(objectPath(pathIds(instance)[0]!)).add(instance);
      for (const executable of this.#executables(instance)) found.add(executable);
    }
    for (const value of this.#values.keys()) found.add(resourceOf(value)).add(value);
    return [...found].filter(path => containsPath(below, path)).sort(comparePaths);
  }

  /** Read: what a server may not read is left out of an object or an instance, and refused by itself. */
  read(path: Path): readonly Entry[] | ObjectRefusal {
    if (!this.has(path)) return 'not-found';
    const values = this.#valuesBelow(path);
    const readable = values.filter(value => this.#allows(value, 'R'));
    if (isValuePath(path) && (readable.length === 0 || this.isExecutable(path))) return 'not-allowed';
    return readable.map(value => ({ path: value, value: this.#values.get(value)! }));
  }

  /**
   * Write: `replace` takes away what a server may write at or below `path` and is not written now; else the rest stays
   * (LwM2M Core 1.2 §6.3.3). Returns what changed.
   */
  write(path: Path, entries: readonly Entry[], replace: boolean): readonly ValuePath[] | ObjectRefusal {
    if (!this.has(path) && !(isValuePath(path) && this.has(instanceOf(path)))) return 'not-found';
    for (const entry of entries) {
      const refusal = this.#refusal(entry);
      if (refusal !== undefined) return refusal;
    }
    const gone = replace ? this.#valuesBelow(path).filter(value => this.#allows(value, 'W')) : [];
    for (const value of gone) this.#values.delete(value);
    for (const { path: at, value } of entries) this.#values.set(at, value);
    return [...new Set([...gone, ...entries.map(entry => entry.path)])];
  }

  /** Create: an instance with what is written into it at once. */
  create(path: InstancePath, entries: readonly Entry[]): 'created' | ObjectRefusal {
    const [object] = pathIds(path) as [number];
    const definition = this.definitions.object(object, this.#versions.get(object));
    if (this.#instances.has(path)) return 'bad-request';
    if (definition?.multiple === false && this.has(objectPath(object))) return 'not-allowed';
    this.#instances.add(path);
    const refusal = entries.map(entry => this.#refusal(entry)).find(found => found !== undefined);
    if (refusal !== undefined) {
      this.#instances.delete(path);
      return refusal;
    }
    for (const { path: at, value } of entries) this.#values.set(at, value);
    return 'created';
  }

  /** Delete: an instance, or an instance of a resource. */
  delete(path: Path): 'deleted' | ObjectRefusal {
    const level = levelOf(path);
    if (level !== 'instance' && level !== 'resource-instance') return 'not-allowed';
    if (!this.has(path)) return 'not-found';
    const [object] = pathIds(path) as [number];
    const definition = this.definitions.object(object, this.#versions.get(object));
    // What a device cannot be without: Device, Server (LwM2M Core 1.2 §6.3.7).
    if (level === 'instance' && definition?.mandatory === true) return 'not-allowed';
    if (level === 'resource-instance' && !this.#allows(path as ValuePath, 'W')) return 'not-allowed';
    for (const value of this.#valuesBelow(path)) this.#values.delete(value);
    this.#instances.delete(path as InstancePath);
    return 'deleted';
  }

  /** The lowest number that no instance of the object has. */
  freeInstance(object: number): InstancePath | undefined {
    for (let id = 0; id <= maxPathId; id++) {
      const path = instancePath(object, id);
      if (!this.#instances.has(path)) return path;
    }
    return undefined;
  }

  #refusal({ path, value }: Entry): ObjectRefusal | undefined {
    const [object] = pathIds(path) as [number];
    const known = this.definitions.object(object, this.#versions.get(object));
    const definition = this.definition(path);
    if (!this.#instances.has(instanceOf(path))) return 'not-found';
    if (known !== undefined && definition === undefined) return 'not-found';
    if (!this.#allows(path, 'W')) return 'not-allowed';
    if (definition === undefined) return undefined;
    if (definition.multiple !== (levelOf(path) === 'resource-instance')) return 'bad-request';
    return isInRange(definition, value) ? undefined : 'bad-request';
  }

  #allows(path: ValuePath, operation: 'R' | 'W'): boolean {
    const operations = this.definition(path)?.operations;
    return operations === undefined || operations.includes(operation);
  }

  #valuesBelow(path: Path): readonly ValuePath[] {
    return [...this.#values.keys()].filter(value => containsPath(path, value)).sort(comparePaths);
  }

  #executables(instance: InstancePath): readonly Path[] {
    const [object] = pathIds(instance) as [number];
    const definition = this.definitions.object(object, this.#versions.get(object));
    const executable = [...(definition?.resources.values() ?? [])].filter(({ operations }) => operations === 'E');
    return executable.map(({ id }) => parsePath(`${instance}/${id}`)!);
  }

  #sortedInstances(): readonly InstancePath[] {
    return [...this.#instances].sort(comparePaths);
  }
}

function instanceOf(path: ValuePath): InstancePath {
  const [object, instance] = pathIds(path) as [number, number];
  return instancePath(object, instance);
}
