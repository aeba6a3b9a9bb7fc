import type { Keyring } from '../adapters/keyring.ts';
import { BlockPermutation } from '../adapters/registrationIds.ts';
import type { ProfileSet } from '../fleet/profile.ts';
import { defaultGrace, type FleetRules } from '../fleet/registration.ts';
import { RegistrationIds } from '../fleet/registrationId.ts';

/** The rules that a server on the same store decides by. */
export function fleetRules(keyring: Keyring, outages: FleetRules['outages'], profiles: ProfileSet): FleetRules {
  const ids = new RegistrationIds(new BlockPermutation(keyring.registrationIds));
  return { grace: defaultGrace, outages, profiles, registrationId: (row, generation) => ids.of(row, generation) };
}
