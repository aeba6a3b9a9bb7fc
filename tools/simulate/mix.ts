import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { OperatorError } from '../../src/adapters/operatorError.ts';

/** A part of a fleet whose devices behave alike. Times are in seconds; what is left out does not happen. */
export interface Group {
  readonly name: string;
  /** How many devices, in proportion to the other groups. */
  readonly share: number;
  /** Between two updates of the registration. */
  readonly update?: number;
  /** Between two reports of values to `/dp`. */
  readonly send?: number;
  /** Between two changes of the address, as a NAT makes them. */
  readonly roam?: number;
  /** Listens for so long after each message, as in queue mode. */
  readonly awake?: number;
  /** Between two registrations, each on a new session: firmware that is stuck in a loop. */
  readonly reregister?: number;
  /** Everybody loses power this long after the start, and comes back at once. */
  readonly powerCutAt?: number;
  /** The key is not the one that the server knows. */
  readonly wrongKey?: boolean;
  /** ClientHellos a second of each device, that it never goes on with. */
  readonly flood?: number;
  /** The share of datagrams that get lost, each way. */
  readonly loss?: number;
  /** How long a datagram takes, each way, in milliseconds. */
  readonly delay?: number;
}

/** What a mix file may refer to with `like`, and `--mix NAME` may name. */
export const presets: Readonly<Record<string, Omit<Group, 'name' | 'share'>>> = {
  steady: { update: 60 },
  sleepy: { update: 300, awake: 5 },
  chatty: { update: 60, send: 5 },
  roaming: { update: 30, roam: 60 },
  'wrong-key': { wrongKey: true },
  herd: { update: 60, powerCutAt: 30 },
  loop: { reregister: 5 },
  flood: { flood: 10 },
  lossy: { update: 60, loss: 0.1, delay: 200 },
};

/** Reads a mix file (YAML or JSON), or a preset by its name. Throws `OperatorError` that says where it is wrong. */
export function readMix(source: string): Group[] {
  const preset = presets[source];
  if (preset !== undefined) return [{ name: source, share: 1, ...preset }];
  let text: string;
  try {
    text = readFileSync(source, 'utf8');
  } catch {
    throw new OperatorError(`no mix file ${source}, nor a preset of that name: ${Object.keys(presets).join(', ')}`);
  }
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw new OperatorError(`${source}: ${(error as Error).message}`);
  }
  if (!validate(document)) {
    const problem = validate.errors?.[0];
    throw new OperatorError(`${source}: ${problem?.instancePath || 'the file'} ${problem?.message}`);
  }
  return (document as MixEntry[]).map(({ like, ...own }, index) => ({
    name: like ?? `group ${index + 1}`,
    ...(like !== undefined && presets[like]),
    ...own,
  }));
}

/** Which group each device belongs to: in proportion, and mixed, so that numbers tell nothing. */
export function assign(groups: readonly Group[], devices: number, below: (bound: number) => number): Uint8Array {
  const total = groups.reduce((sum, { share }) => sum + share, 0);
  const assigned = new Uint8Array(devices);
  let from = 0;
  let shares = 0;
  for (const [index, { share }] of groups.entries()) {
    shares += share;
    const to = Math.round((devices * shares) / total);
    assigned.fill(index, from, to);
    from = to;
  }
  for (let i = devices - 1; i > 0; i--) {
    const j = below(i + 1);
    [assigned[i], assigned[j]] = [assigned[j]!, assigned[i]!];
  }
  return assigned;
}

type MixEntry = Partial<Group> & { readonly like?: string; readonly share: number };

const time = { type: 'number', exclusiveMinimum: 0 } as const;
const validate = new Ajv({ strict: true }).compile({
  type: 'array',
  minItems: 1,
  maxItems: 255,
  items: {
    type: 'object',
    required: ['share'],
    additionalProperties: false,
    properties: {
      like: { type: 'string', enum: Object.keys(presets) },
      name: { type: 'string', minLength: 1 },
      share: time,
      update: time,
      send: time,
      roam: time,
      awake: time,
      reregister: time,
      powerCutAt: time,
      wrongKey: { type: 'boolean' },
      flood: time,
      loss: { type: 'number', minimum: 0, maximum: 0.9 },
      delay: { type: 'number', minimum: 0 },
    },
  },
});
