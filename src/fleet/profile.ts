import { type Refusal, refusal } from '../lwm2m/refusal.ts';
import type { Description, EnablerVersion } from '../lwm2m/registrationRequest.ts';
import type { EndpointName } from './names.ts';
import { hasAttributes, type NotificationAttributes, type Wish } from './observation.ts';
import type { ProfileFile } from './profileFile.generated.ts';

/** A profile with its metadata schema compiled. */
export interface Profile {
  readonly file: ProfileFile;
  /** What is wrong with the metadata, if anything. */
  metadataFault(metadata: Description['metadata']): MetadataFault | undefined;
}

export interface MetadataFault {
  /** The field, e.g. `serial`. */
  readonly field: string;
  /** For the operator, e.g. `must match pattern "^A"`. */
  readonly message: string;
}

/**
 * All profiles. A device has the one that asks for its model id, else one that asks for its metadata, else one that
 * asks for its name, else the default; among equals the one whose name comes first. What it says of itself decides,
 * which is no proof: a profile limits what a device may claim and costs, it does not say who the device is.
 */
export class ProfileSet {
  readonly #ranked: readonly Profile[];
  readonly #default: Profile;

  constructor(profiles: readonly Profile[]) {
    const byName = [...profiles].sort((a, b) => (a.file.name < b.file.name ? -1 : 1));
    this.#ranked = byName
      .filter(({ file }) => file.match !== undefined)
      .sort((a, b) => rankOf(a.file.match!) - rankOf(b.file.match!));
    this.#default = byName.find(({ file }) => file.name === defaultName) ?? permissive;
  }

  choose(name: EndpointName, description: Pick<Description, 'model' | 'metadata'>): Profile {
    return this.#ranked.find(({ file }) => matches(file.match!, name, description)) ?? this.#default;
  }
}

/** Whether the device may be what it says it is. The refusal names the field, to the operator only. */
export function checkAgainst(profile: Profile, { metadata, objects }: Description): Refusal | undefined {
  const { name, objects: rules } = profile.file;
  const fault = profile.metadataFault(metadata);
  if (fault !== undefined) return refusal('profile-metadata', `${name}: ${fault.field} ${fault.message}`);
  const has = new Set(objects.map(({ id }) => id));
  const foreign = rules?.allowed && [...has].find(id => !rules.allowed!.includes(id));
  if (foreign !== undefined) return refusal('profile-object', `${name}: object ${foreign} is not allowed`);
  const missing = rules?.required?.find(id => !has.has(id));
  if (missing !== undefined) return refusal('profile-object-missing', `${name}: object ${missing} is required`);
  return undefined;
}

/** In seconds; `0` is infinite. */
export function clampLifetime({ file: { lifetime } }: Profile, wanted: number): number {
  if (lifetime?.max !== undefined && (wanted === 0 || wanted > lifetime.max)) return lifetime.max;
  if (lifetime?.min !== undefined && wanted !== 0 && wanted < lifetime.min) return lifetime.min;
  return wanted;
}

/** What is to be observed: what the profile and the device wish, as far as the device has it. */
export function wishesFor(
  { file }: Profile,
  description: Pick<Description, 'objects' | 'observations'>,
  version: EnablerVersion | undefined,
): Wish[] {
  const composite = version !== undefined && (version[0] > 1 || version[1] >= 2);
  const wishes: Wish[] = [];
  for (const { path, paths, ...attributes } of file.observe ?? []) {
    const found = (paths ?? [path!]).flatMap(pattern => expand(pattern, description.objects));
    if (paths !== undefined && composite && found.length > 1)
      wishes.push({ paths: found, attributes, source: 'profile' });
    else for (const one of found) wishes.push({ paths: [one], attributes, source: 'profile' });
  }
  for (const { path, pmin, pmax } of description.observations) {
    for (const one of expand(path, description.objects)) {
      const attributes: NotificationAttributes = { pmin, pmax };
      wishes.push({ paths: [one], attributes: hasAttributes(attributes) ? attributes : {}, source: 'device' });
    }
  }
  return wishes;
}

/** The paths that a pattern stands for on a device with these objects: none if it has no such object or instance. */
function expand(pattern: string, objects: Description['objects']): string[] {
  const [, object, instance, ...below] = pattern.split('/');
  const entry = objects.find(({ id }) => id === Number(object));
  if (entry === undefined) return [];
  if (instance === undefined) return [pattern];
  const instances = instance === '*' ? entry.instances : entry.instances.filter(id => id === Number(instance));
  return instances.map(id => ['', object, id, ...below].join('/'));
}

function matches(
  match: NonNullable<ProfileFile['match']>,
  name: EndpointName,
  { model, metadata }: Pick<Description, 'model' | 'metadata'>,
): boolean {
  if (match.models !== undefined && (model === undefined || !match.models.includes(model))) return false;
  for (const [field, pattern] of Object.entries(match.metadata ?? {})) {
    const value = Object.hasOwn(metadata, field) ? metadata[field] : undefined;
    if (value === undefined || !matchesGlob(pattern, value)) return false;
  }
  return match.names === undefined || match.names.some(pattern => matchesGlob(pattern, name));
}

/** `*` stands for any text, also none. Linear: parts are found one after the other, from the left. */
export function matchesGlob(pattern: string, text: string): boolean {
  const parts = pattern.split('*');
  const first = parts.shift()!;
  const last = parts.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}

function rankOf({ models, metadata }: NonNullable<ProfileFile['match']>): number {
  if (models !== undefined) return 0;
  return metadata !== undefined ? 1 : 2;
}

const defaultName = 'default';
const permissive: Profile = { file: { name: defaultName }, metadataFault: () => undefined };

/** No profiles but the default one, which allows everything and observes what the device wishes. */
export const noProfiles = new ProfileSet([]);
