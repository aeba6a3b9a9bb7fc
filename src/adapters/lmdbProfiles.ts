import { Decoder, Encoder } from 'cbor-x';
import type { Bytes } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import type { EventType } from '../fleet/event.ts';
import type { EndpointName, Row } from '../fleet/names.ts';
import { type Profile, ProfileSet } from '../fleet/profile.ts';
import { changeAndRing } from './doorbell.ts';
import { type Environment, lastSequence } from './lmdbEnvironment.ts';
import { encodeEvent } from './lmdbForms.ts';
import { parseProfile, readProfileFiles } from './profiles.ts';

/**
 * Profiles in the store, each as the text that the operator wrote. The store is what the server and every command look
 * at; a directory of files is read into it when the server starts.
 */
export interface StoredProfile {
  readonly name: string;
  readonly text: string;
  /** `file`: from the server's directory of profiles, and gone when its file is. */
  readonly origin: 'file' | 'operator';
  readonly setAt: WallTime;
}

export function readProfiles({ profiles }: Environment): StoredProfile[] {
  return Array.from(profiles.getRange(), ({ key, value }) => decodeProfile(key, value));
}

export function decodeProfile(name: string, bytes: Bytes): StoredProfile {
  const [text, origin, setAt] = decoder.decode(bytes) as [string, StoredProfile['origin'], WallTime];
  return { name, text, origin, setAt };
}

export function profileSet(environment: Environment): ProfileSet {
  return new ProfileSet(readProfiles(environment).map(({ text, name }) => parseProfile(text, `profile ${name}`)));
}

/** Stores a profile that was parsed; with its event, from which a running server learns of it. */
export async function setProfile(
  environment: Environment,
  wall: WallTime,
  { file: { name } }: Profile,
  text: string,
  origin: StoredProfile['origin'],
): Promise<void> {
  await change(environment, wall, 'profile-set', name, () => {
    void environment.profiles.put(name, encoder.encode([text, origin, wall]));
  });
}

/** Whether it was there. */
export async function removeProfile(environment: Environment, wall: WallTime, name: string): Promise<boolean> {
  if (!environment.profiles.doesExist(name)) return false;
  await change(environment, wall, 'profile-removed', name, () => {
    void environment.profiles.remove(name);
  });
  return true;
}

/** Makes the profiles of origin `file` those of a directory; a file wins over a profile of the operator's. */
export async function syncProfiles(environment: Environment, directory: string, wall: WallTime): Promise<void> {
  const files = await readProfileFiles(directory);
  const present = readProfiles(environment);
  for (const { text, profile } of files) {
    const before = present.find(({ name }) => name === profile.file.name);
    if (before?.text === text && before.origin === 'file') continue;
    await setProfile(environment, wall, profile, text, 'file');
  }
  for (const { name, origin } of present) {
    if (origin === 'operator' || files.some(({ profile }) => profile.file.name === name)) continue;
    await removeProfile(environment, wall, name);
  }
}

async function change(
  environment: Environment,
  at: WallTime,
  type: EventType,
  profile: string,
  write: () => void,
): Promise<void> {
  await changeAndRing(environment, () => {
    write();
    // About no device in particular.
    const event = { type, at, row: 0 as Row, name: '' as EndpointName, details: { profile } };
    void environment.events.put(lastSequence(environment) + 1, encodeEvent(event));
  });
}

const encoder = new Encoder({ useRecords: false });
const decoder = new Decoder({ useRecords: false });
