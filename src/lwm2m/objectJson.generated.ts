// Generated from schemas/lwm2mObject.schema.json by "npm run generate". Do not edit.

export type Id = number;
export type Name = string;

/**
 * An LwM2M object in one of its versions: the form of schemas/lwm2m, and of files under serve --objects.
 */
export interface ObjectJson {
  id: Id;
  name: Name;
  /**
   * Major and minor number; 1.0 if absent.
   */
  version?: string;
  urn?: string;
  /**
   * The lowest version of LwM2M that the object needs.
   */
  lwm2m?: string;
  /**
   * Whether there may be several instances; no if absent.
   */
  multiple?: boolean;
  mandatory?: boolean;
  /**
   * @maxItems 1000
   */
  resources: ResourceJson[];
}
export interface ResourceJson {
  id: Id;
  name: Name;
  /**
   * What a server may do: read, write, execute, or nothing but bootstrap.
   */
  operations: 'R' | 'W' | 'RW' | 'E' | '';
  /**
   * The data type (LwM2M Core 1.2 appendix C); none is what an executable resource has.
   */
  type:
    'string' | 'integer' | 'unsigned integer' | 'float' | 'boolean' | 'opaque' | 'time' | 'objlnk' | 'corelnk' | 'none';
  /**
   * Whether it has instances of its own; no if absent.
   */
  multiple?: boolean;
  mandatory?: boolean;
  /**
   * Mostly a SenML unit (RFC 8428, RFC 8798).
   */
  unit?: string;
  /**
   * Range or enumeration: 0..255, 16,32,48.
   */
  range?: string;
}
