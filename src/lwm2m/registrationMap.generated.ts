// Generated from schemas/registration.schema.json by "npm run generate". Do not edit.

/**
 * LwM2M enabler version.
 *
 * @minItems 2
 * @maxItems 2
 */
export type Version = [number, number];
/**
 * This interface was referenced by `undefined`'s JSON-Schema definition
 * via the `patternProperty` "^(x-.+|-[0-9]+)$".
 */
export type Text = string;
export type Id = number;
/**
 * @minItems 2
 * @maxItems 2
 */
export type Version1 = [number, number];
export type Path = string;
export type Seconds = number;

/**
 * The registration map in its text form, after decoding: what Content-Format 60 carries, whether the device used integer or text keys. Byte strings appear in hexadecimal. Lengths are counted in characters here; endpoint name and sector are limited to 63 bytes besides.
 */
export interface RegistrationMap {
  /**
   * Version of this map.
   */
  v: 1;
  /**
   * Endpoint name; absent means the name of the credential.
   */
  ep?: string;
  /**
   * Lifetime in seconds.
   */
  lt?: number;
  lwm2m?: Version;
  /**
   * Binding: letters of UTSNMH.
   */
  b?: string;
  /**
   * Queue mode.
   */
  q?: boolean;
  /**
   * What the device says of itself. Private fields begin with x- or are negative numbers.
   */
  meta?: {
    manufacturer?: Text;
    model?: Text;
    serial?: Text;
    firmware?: Text;
    type?: Text;
    hardware?: Text;
    software?: Text;
    [k: string]: Text | undefined;
  };
  /**
   * Content-Formats that the device can produce.
   *
   * @minItems 1
   * @maxItems 16
   */
  ct?:
    | [Id]
    | [Id, Id]
    | [Id, Id, Id]
    | [Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id];
  /**
   * LwM2M objects with their instances.
   *
   * @maxItems 256
   */
  obj?: {
    id: Id;
    v?: Version1;
    /**
     * @maxItems 256
     */
    i: Id[];
  }[];
  /**
   * Observations that the device wishes for.
   *
   * @maxItems 64
   */
  obs?: {
    p: Path;
    pmin?: Seconds;
    pmax?: Seconds;
  }[];
  /**
   * CoRE links that are no LwM2M objects.
   *
   * @maxItems 128
   */
  links?: {
    href: string;
    [k: string]: string | number | boolean;
  }[];
  /**
   * Enrolment token, in hexadecimal.
   */
  token?: string;
  /**
   * Sector.
   */
  d?: string;
  /**
   * Base URI.
   */
  base?: string;
  /**
   * Endpoint type.
   */
  et?: string;
  /**
   * Number that wakes the device.
   */
  sms?: string;
  /**
   * Model id in the server's catalogue.
   */
  model?: string | number;
  /**
   * How long the device listens after its last message.
   */
  awake?: number;
  /**
   * New at each boot, in hexadecimal.
   */
  boot?: string;
  /**
   * Private fields, and even integer keys of later versions: stored as they are.
   *
   * This interface was referenced by `RegistrationMap`'s JSON-Schema definition
   * via the `patternProperty` "^(x-.+|-?[0-9]+)$".
   */
  [k: string]:
    | {
        [k: string]: unknown;
      }
    | 1
    | string
    | number
    | Version
    | boolean
    | {
        manufacturer?: Text;
        model?: Text;
        serial?: Text;
        firmware?: Text;
        type?: Text;
        hardware?: Text;
        software?: Text;
        [k: string]: Text | undefined;
      }
    | [Id]
    | [Id, Id]
    | [Id, Id, Id]
    | [Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | [Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id, Id]
    | {
        id: Id;
        v?: Version1;
        /**
         * @maxItems 256
         */
        i: Id[];
      }[]
    | {
        p: Path;
        pmin?: Seconds;
        pmax?: Seconds;
      }[]
    | {
        href: string;
        [k: string]: string | number | boolean;
      }[]
    | undefined;
}
