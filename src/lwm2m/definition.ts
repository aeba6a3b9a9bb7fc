import type { ObjectJson, ResourceJson } from './objectJson.generated.ts';
import type { EnablerVersion } from './registrationRequest.ts';

/** What an object is, in one of its versions: what the OMA registry, or a file of the operator, says about it. */
export interface ObjectDefinition {
  readonly id: number;
  readonly name: string;
  readonly version: EnablerVersion;
  readonly urn: string | undefined;
  /** Whether there may be several instances. */
  readonly multiple: boolean;
  readonly mandatory: boolean;
  readonly resources: ReadonlyMap<number, ResourceDefinition>;
}

export interface ResourceDefinition {
  readonly id: number;
  readonly name: string;
  readonly operations: Operations;
  readonly type: ResourceType;
  /** Whether the resource has instances of its own. */
  readonly multiple: boolean;
  readonly mandatory: boolean;
  /** As the registry writes it, mostly a SenML unit (RFC 8428 §12.1, RFC 8798): `Cel`, `s`, `%RH`. */
  readonly unit: string | undefined;
  /** Range or enumeration, as the registry writes it: `0..255`, `16,32,48`. `range.ts` reads it. */
  readonly range: string | undefined;
}

/** Which operations a server may do on a resource: readable, writable, executable, or (`''`) bootstrap only. */
export type Operations = ResourceJson['operations'];

/** The data types of LwM2M Core 1.2 appendix C; `none` is what an executable resource has. */
export type ResourceType = ResourceJson['type'];

export function objectDefinition(json: ObjectJson): ObjectDefinition {
  return {
    id: json.id,
    name: json.name,
    version: definitionVersion(json.version),
    urn: json.urn,
    multiple: json.multiple ?? false,
    mandatory: json.mandatory ?? false,
    resources: new Map(json.resources.map(resource => [resource.id, resourceDefinition(resource)])),
  };
}

/** The registry writes `1` as well as `1.0`, and leaves the first version out. */
export function definitionVersion(text = '1.0'): EnablerVersion {
  const [major, minor] = text.split('.').map(Number);
  return [major ?? 1, minor ?? 0];
}

function resourceDefinition(json: ResourceJson): ResourceDefinition {
  return {
    id: json.id,
    name: json.name,
    operations: json.operations,
    type: json.type,
    multiple: json.multiple ?? false,
    mandatory: json.mandatory ?? false,
    unit: json.unit,
    range: json.range,
  };
}
