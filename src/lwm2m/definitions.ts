import { definitionVersion, type ObjectDefinition, objectDefinition, type ResourceDefinition } from './definition.ts';
import type { ObjectJson } from './objectJson.generated.ts';
import { registeredObjects } from './objects.generated.ts';
import { maxPathId, type Path, parsePath, pathIds, pathOf } from './path.ts';
import type { EnablerVersion, ObjectEntry } from './registrationRequest.ts';

/** What the codecs ask: the definition behind a value's path, or `undefined` if nobody defined it. */
export interface ResourceTypes {
  resource(object: number, version: EnablerVersion | undefined, id: number): ResourceDefinition | undefined;
}

/**
 * The objects we know: those of the OMA registry, and the operator's own on top. A definition of the registry is parsed
 * when it is first asked for, since a fleet uses a dozen of the 347. Immutable.
 */
export class Definitions implements ResourceTypes {
  readonly #versions: ReadonlyMap<number, readonly KnownObject[]>;
  /** Object ids by normal name; made when somebody first asks by name. */
  #names: ReadonlyMap<string, readonly number[]> | undefined;

  private constructor(versions: ReadonlyMap<number, readonly KnownObject[]>) {
    this.#versions = versions;
  }

  /** The definitions of the OMA registry (`schemas/lwm2m`). */
  static registry(): Definitions {
    return new Definitions(
      byObject(registeredObjects.map(([id, version, name, json]) => lazy(id, version, name, json))),
    );
  }

  /** These definitions and more: one with the same id and version replaces the one that was there. */
  with(more: readonly ObjectDefinition[]): Definitions {
    const known = [...this.#versions.values()].flat();
    const added = more.map(definition => ({ ...definition, definition: () => definition }));
    const replaced = new Set(added.map(key));
    return new Definitions(byObject([...known.filter(object => !replaced.has(key(object))), ...added]));
  }

  /** All objects, in the order of their ids, each in its newest version. */
  *objects(): Iterable<ObjectDefinition> {
    for (const id of [...this.#versions.keys()].sort((a, b) => a - b)) yield this.object(id)!;
  }

  /**
   * The definition of an object in the version that a device says it has. A version that nobody defined is read by its
   * nearest relative: the newest of the same major number, else the newest at all. So is an object without a version,
   * since most devices leave it out.
   */
  object(id: number, version?: EnablerVersion): ObjectDefinition | undefined {
    const versions = this.#versions.get(id);
    if (versions === undefined) return undefined;
    if (version === undefined || versions.length === 1) return versions[0]!.definition();
    const [major, minor] = version;
    const sameMajor = versions.filter(known => known.version[0] === major);
    const chosen = sameMajor.find(known => known.version[1] === minor) ?? sameMajor[0] ?? versions[0]!;
    return chosen.definition();
  }

  resource(object: number, version: EnablerVersion | undefined, id: number): ResourceDefinition | undefined {
    return this.object(object, version)?.resources.get(id);
  }

  /** The same, where every object has the version that a device registered it with. */
  forObjects(objects: readonly Pick<ObjectEntry, 'id' | 'version'>[]): ResourceTypes {
    const versions = new Map(objects.map(({ id, version }) => [id, version]));
    return { resource: (object, version, id) => this.resource(object, version ?? versions.get(object), id) };
  }

  /**
   * The path that a person means: `/3303/0/5700`, `Temperature/0/Sensor Value`, or names and numbers mixed. Upper and
   * lower case are one, and so are `LwM2M Server` and `Server`. A name that fits several things is a fault with all of them.
   */
  resolve(text: string): Path | NameFault {
    const path = parsePath(text);
    if (path !== undefined) return path;
    if (text.length > maxNameLength) return nameFault(text.slice(0, 64), 'is too long', [], true);
    const [, objectName, instance, resourceName, resourceInstance] = named.exec(text) ?? [];
    if (objectName === undefined) return nameFault(text, 'is no path', [], true);
    const objects = isNumber(objectName) ? [Number(objectName)] : this.#objectsNamed(objectName);
    const found = objects.flatMap(object => this.#resourcesNamed(object, resourceName).map(ids => [object, ...ids]));
    const paths = found.map(([object, resource]) =>
      pathOf([object, instance, resource, resourceInstance].filter(id => id !== undefined).map(Number)),
    );
    if (paths.length === 1 && paths[0] !== undefined) return paths[0];
    if (paths.includes(undefined)) return nameFault(text, `has a number above ${maxPathId}`, [], true);
    if (paths.length > 1) return nameFault(text, 'may be each of', paths as Path[]);
    return objects.length === 0
      ? nameFault(objectName, 'is the name of no known object', [])
      : nameFault(resourceName ?? text, `is the name of no resource of object ${objects.join(' or ')}`, []);
  }

  /** `Temperature/0/Sensor Value` for `/3303/0/5700`: what has no name keeps its number. */
  nameOf(path: Path, version?: EnablerVersion): string {
    const [object, instance, resource, resourceInstance] = pathIds(path);
    if (object === undefined) return path;
    const definition = this.object(object, version);
    const words: (string | number)[] = [definition?.name ?? object];
    if (instance !== undefined) words.push(instance);
    if (resource !== undefined) words.push(definition?.resources.get(resource)?.name ?? resource);
    if (resourceInstance !== undefined) words.push(resourceInstance);
    return words.join('/');
  }

  #objectsNamed(name: string): readonly number[] {
    this.#names ??= this.#nameIndex();
    return this.#names.get(normal(name)) ?? [];
  }

  /** Ids of the resources that a name fits, each in a list of its own; one empty list if there is no name. */
  #resourcesNamed(object: number, name: string | undefined): number[][] {
    if (name === undefined) return [[]];
    if (isNumber(name)) return [[Number(name)]];
    for (const known of this.#versions.get(object) ?? []) {
      const fitting = [...known.definition().resources.values()].filter(
        ({ name: other }) => normal(other) === normal(name),
      );
      if (fitting.length > 0) return fitting.map(({ id }) => [id]);
    }
    return [];
  }

  #nameIndex(): ReadonlyMap<string, readonly number[]> {
    const index = new Map<string, number[]>();
    for (const [id, versions] of this.#versions) {
      for (const name of new Set(versions.map(({ name }) => normal(name)))) {
        const ids = index.get(name);
        if (ids === undefined) index.set(name, [id]);
        else ids.push(id);
      }
    }
    return index;
  }
}

/** Why a text names no path, with the paths it might have meant. */
export interface NameFault {
  readonly kind: 'name-fault';
  readonly text: string;
  readonly message: string;
  readonly candidates: readonly Path[];
  /** It is no path, whatever objects are known. */
  readonly isUnreadable: boolean;
}

export function isNameFault(value: Path | NameFault): value is NameFault {
  return typeof value === 'object';
}

/** What the index holds: enough to be found, and the way to the rest. */
interface KnownObject {
  readonly id: number;
  readonly name: string;
  readonly version: EnablerVersion;
  definition(): ObjectDefinition;
}

function lazy(id: number, version: string, name: string, json: string): KnownObject {
  let parsed: ObjectDefinition | undefined;
  return {
    id,
    name,
    version: definitionVersion(version),
    definition: () => (parsed ??= objectDefinition(JSON.parse(json) as ObjectJson)),
  };
}

/** By id; of each the newest version first. */
function byObject(objects: readonly KnownObject[]): ReadonlyMap<number, readonly KnownObject[]> {
  const index = new Map<number, KnownObject[]>();
  for (const object of objects) {
    const versions = index.get(object.id);
    if (versions === undefined) index.set(object.id, [object]);
    else versions.push(object);
  }
  for (const versions of index.values()) {
    versions.sort((a, b) => b.version[0] - a.version[0] || b.version[1] - a.version[1]);
  }
  return index;
}

function key({ id, version }: Pick<KnownObject, 'id' | 'version'>): string {
  return `${id} ${version[0]}.${version[1]}`;
}

function nameFault(text: string, message: string, candidates: readonly Path[], isUnreadable = false): NameFault {
  return {
    kind: 'name-fault',
    text,
    message: `"${text}" ${message}${candidates.map(path => ` ${path}`).join(',')}`,
    candidates,
    isUnreadable,
  };
}

function normal(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .replace(/^lwm2m /, '');
}

function isNumber(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text);
}

/** Longer than any path in names; whoever asks may be a stranger to the operator. */
const maxNameLength = 512;
// Names may contain slashes (`DTLS/TLS Ciphersuite`): instances are numbers, and so tell where a name ends.
const named = /^\/?([^/].*?)(?:\/(\d{1,5})(?:\/(.+?)(?:\/(\d{1,5}))?)?)?$/;
