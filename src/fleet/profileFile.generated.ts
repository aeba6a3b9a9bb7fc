// Generated from schemas/profile.schema.json by "npm run generate". Do not edit.

export type Id = number;
export type Path = string;

/**
 * What a kind of device may say of itself, and what is allocated for it when it registers. Written in YAML or JSON.
 */
export interface ProfileFile {
  /**
   * Names the profile. The one called default serves whatever no other one matches.
   */
  name: string;
  /**
   * Which devices it is for: all that is given here must hold. A profile that asks for a model outranks one that asks for metadata, and that outranks one that asks for a name only. Without it a profile matches nothing, unless it is the default.
   */
  match?: {
    /**
     * Model ids of the registration map.
     *
     * @minItems 1
     * @maxItems 256
     */
    models?: [string | number, ...(string | number)[]];
    /**
     * Metadata fields and what they must be; * stands for anything.
     */
    metadata?: {
      [k: string]: string;
    };
    /**
     * Endpoint names; * stands for anything.
     *
     * @minItems 1
     * @maxItems 64
     */
    names?: [string, ...string[]];
  };
  /**
   * A JSON Schema (draft 7) that the metadata of the device must satisfy, an object of texts.
   */
  metadata?: {
    [k: string]: unknown;
  };
  /**
   * LwM2M objects by number.
   */
  objects?: {
    /**
     * The device may have these and no others.
     *
     * @maxItems 1024
     */
    allowed?: Id[];
    /**
     * The device must have all of these.
     *
     * @maxItems 256
     */
    required?: Id[];
  };
  /**
   * In seconds. What a device asks for is moved into this range; an infinite lifetime becomes the maximum.
   */
  lifetime?: {
    min?: number;
    max?: number;
  };
  /**
   * Observations to make, as far as the device has what they name.
   *
   * @maxItems 64
   */
  observe?: ({
    [k: string]: unknown;
  } & {
    /**
     * An object, an instance, a resource or a resource instance; * for every instance of the object.
     */
    path?: string;
    /**
     * Several at once: one Observe-Composite with LwM2M 1.2, an observation each before.
     *
     * @minItems 1
     * @maxItems 32
     */
    paths?: [Path, ...Path[]];
    /**
     * Seconds between notifications at least.
     */
    pmin?: number;
    /**
     * Seconds between notifications at most.
     */
    pmax?: number;
    /**
     * Notify when the value crosses it upwards.
     */
    gt?: number;
    /**
     * Notify when the value crosses it downwards.
     */
    lt?: number;
    /**
     * Notify when the value moved by so much.
     */
    st?: number;
  })[];
  /**
   * The command queue of each device.
   */
  queue?: {
    /**
     * Commands that may wait.
     */
    limit?: number;
    /**
     * For how many seconds a device in queue mode listens after its last message. What the device itself says counts instead.
     */
    awake?: number;
  };
  /**
   * How much of each device's history is kept.
   */
  events?: {
    count?: number;
    /**
     * In seconds.
     */
    age?: number;
    bytes?: number;
  };
  /**
   * Last values of each device.
   */
  values?: {
    limit?: number;
  };
  /**
   * Words that the record of each device carries.
   *
   * @maxItems 16
   */
  tags?:
    | []
    | [string]
    | [string, string]
    | [string, string, string]
    | [string, string, string, string]
    | [string, string, string, string, string]
    | [string, string, string, string, string, string]
    | [string, string, string, string, string, string, string]
    | [string, string, string, string, string, string, string, string]
    | [string, string, string, string, string, string, string, string, string]
    | [string, string, string, string, string, string, string, string, string, string]
    | [string, string, string, string, string, string, string, string, string, string, string]
    | [string, string, string, string, string, string, string, string, string, string, string, string]
    | [string, string, string, string, string, string, string, string, string, string, string, string, string]
    | [string, string, string, string, string, string, string, string, string, string, string, string, string, string]
    | [
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string
      ]
    | [
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string,
        string
      ];
}
