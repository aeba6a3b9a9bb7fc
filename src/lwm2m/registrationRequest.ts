/**
 * The normal form of a registration, whatever it looked like on the wire: LwM2M's query and link-format, our CBOR map,
 * or a plain Resource Directory registration (RFC 9176). Parsing ends here; deciding begins in `fleet/`.
 */
export interface RegistrationRequest {
  readonly dialect: Dialect;
  /** `ep`; absent means the endpoint name of the credential. Checked for its form by the fleet. */
  readonly endpoint: string | undefined;
  /** `d` (RFC 9176 §5). */
  readonly sector: string | undefined;
  /** `lt` in seconds; `0` is infinite. Absent means the dialect's default. */
  readonly lifetime: number | undefined;
  /** LwM2M enabler version: `[1, 1]`, so that 1.10 is not 1.1. */
  readonly version: EnablerVersion | undefined;
  /** The letters of `b`, without the `Q` that LwM2M 1.0 puts in front of or behind them. */
  readonly binding: string | undefined;
  readonly queueMode: boolean;
  readonly sms: string | undefined;
  readonly description: Description;
}

/** What an Update may change: everything absent stays as it was. */
export interface UpdateRequest {
  readonly lifetime: number | undefined;
  readonly binding: string | undefined;
  readonly queueMode: boolean | undefined;
  readonly sms: string | undefined;
  /** A complete new object list replaces the old one; metadata and the rest are merged by the fleet. */
  readonly description: Partial<Description> | undefined;
}

export type Dialect = 'lwm2m' | 'cbor' | 'rd';

export type EnablerVersion = readonly [major: number, minor: number];

/** What a device says it is. */
export interface Description {
  /** The path all objects stand under: `/` unless the device named an alternate root. */
  readonly root: string;
  /** Content-Formats that the device can produce. */
  readonly contentFormats: readonly number[];
  readonly objects: readonly ObjectEntry[];
  /** Links that are not LwM2M objects. */
  readonly links: readonly CoreLink[];
  /** By field name: `manufacturer`, `model`, `serial`, `firmware`, `type`, `hardware`, `software`, or `x-…`/a negative number. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly observations: readonly WantedObservation[];
  /** Query parameters or private map keys that we store and show, and do not interpret. */
  readonly extra: Readonly<Record<string, unknown>>;
  readonly endpointType: string | undefined;
  readonly base: string | undefined;
  readonly model: string | number | undefined;
  /** How long the device listens after its last message, in seconds. */
  readonly awake: number | undefined;
  /** New at each boot of the device, hexadecimal. */
  readonly bootId: string | undefined;
}

export interface ObjectEntry {
  readonly id: number;
  readonly version: EnablerVersion | undefined;
  readonly instances: readonly number[];
}

export interface CoreLink {
  readonly href: string;
  /** In the order given; a value-less attribute is `true`. */
  readonly attributes: Readonly<Record<string, string | true>>;
}

export interface WantedObservation {
  readonly path: string;
  /** In seconds. */
  readonly pmin: number | undefined;
  readonly pmax: number | undefined;
}

export const emptyDescription: Description = {
  root: '/',
  contentFormats: [],
  objects: [],
  links: [],
  metadata: {},
  observations: [],
  extra: {},
  endpointType: undefined,
  base: undefined,
  model: undefined,
  awake: undefined,
  bootId: undefined,
};
