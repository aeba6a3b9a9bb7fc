import { assertNever } from '../../base/unreachable.ts';
import type { ResourceDefinition, ResourceType } from '../definition.ts';
import type { ResourceTypes } from '../definitions.ts';
import { objectOf, type Path, pathIds, type ValuePath } from '../path.ts';
import type { EnablerVersion } from '../registrationRequest.ts';
import { type Entry, isBytes, isObjectLink, isTime, parseObjectLink, type ResourceValue } from '../value.ts';
import { wrongType } from './fault.ts';
import { parseDateTime } from './time.ts';

/** The definitions of one payload: which type stands where. */
export class Typing {
  readonly #definitions: ResourceTypes;
  readonly #object: number | undefined;
  readonly #version: EnablerVersion | undefined;
  /** Codecs ask more than once about one value. */
  #last: { readonly path: ValuePath; readonly definition: ResourceDefinition | undefined } | undefined;

  constructor(definitions: ResourceTypes, base: Path, version: EnablerVersion | undefined) {
    this.#definitions = definitions;
    this.#object = objectOf(base);
    this.#version = version;
  }

  definition(path: ValuePath): ResourceDefinition | undefined {
    if (this.#last?.path === path) return this.#last.definition;
    const [object, , resource] = pathIds(path);
    const version = object === this.#object ? this.#version : undefined;
    const definition = this.#definitions.resource(object!, version, resource!);
    this.#last = { path, definition };
    return definition;
  }

  type(path: ValuePath): ResourceType | undefined {
    return this.definition(path)?.type;
  }

  /**
   * What a self-describing format said, as a value of the definition's type; throws if it is none. A value that nobody
   * defined stays as it was on the wire.
   */
  conform(path: ValuePath, wire: ResourceValue): ResourceValue {
    const type = this.type(path);
    if (type === undefined) return wire;
    const value = conform(type, wire);
    if (value === undefined) throw wrongType(path, type);
    return value;
  }

  /** Throws if a value that is to be sent is not of its resource's type: the device would refuse it. */
  check({ path, value }: Entry): void {
    const type = this.type(path);
    if (type !== undefined && !isOfType(type, value)) throw wrongType(path, type);
  }
}

function conform(type: ResourceType, wire: ResourceValue): ResourceValue | undefined {
  switch (type) {
    case 'string':
    case 'corelnk':
      return typeof wire === 'string' ? wire : undefined;
    case 'integer':
    case 'unsigned integer':
      return isIntegerOf(type, wire) ? wire : undefined;
    case 'float':
      return typeof wire === 'number' ? wire : typeof wire === 'bigint' ? Number(wire) : undefined;
    case 'boolean':
      return typeof wire === 'boolean' ? wire : undefined;
    case 'opaque':
      return isBytes(wire) ? wire : undefined;
    case 'time':
      if (typeof wire === 'number') return Number.isSafeInteger(wire) ? { unix: wire } : undefined;
      return typeof wire === 'string' ? parseDateTime(wire) : isTime(wire) ? wire : undefined;
    case 'objlnk':
      return typeof wire === 'string' ? parseObjectLink(wire) : isObjectLink(wire) ? wire : undefined;
    case 'none':
      return undefined;
    default:
      return assertNever(type);
  }
}

export function isOfType(type: ResourceType, value: ResourceValue): boolean {
  switch (type) {
    case 'string':
    case 'corelnk':
      return typeof value === 'string';
    case 'integer':
    case 'unsigned integer':
      return isIntegerOf(type, value);
    case 'float':
      return typeof value === 'number';
    case 'boolean':
      return typeof value === 'boolean';
    case 'opaque':
      return isBytes(value);
    case 'time':
      return isTime(value) && Number.isSafeInteger(value.unix);
    case 'objlnk':
      return isObjectLink(value);
    case 'none':
      return false;
    default:
      return assertNever(type);
  }
}

/** 64 bits, with or without sign; a `bigint` only where a number is not exact, so that equal values are the same. */
function isIntegerOf(type: 'integer' | 'unsigned integer', value: unknown): value is number | bigint {
  if (typeof value === 'number') return Number.isSafeInteger(value) && (value >= 0 || type === 'integer');
  if (typeof value !== 'bigint' || isSafe(value)) return false;
  return type === 'integer' ? BigInt.asIntN(64, value) === value : BigInt.asUintN(64, value) === value;
}

/** A number where that is exact, else the `bigint` itself. */
export function narrowed(value: bigint): number | bigint {
  return isSafe(value) ? Number(value) : value;
}

function isSafe(value: bigint): boolean {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
}
