import { parseProfile } from '../../src/adapters/profiles.ts';
import { DeviceObjects } from '../../src/device/objects.ts';
import type { Operation } from '../../src/fleet/command.ts';
import { ProfileSet } from '../../src/fleet/profile.ts';
import { Definitions } from '../../src/lwm2m/definitions.ts';
import type { ResourceValue } from '../../src/lwm2m/value.ts';
import { SmallWorld } from './smallWorld.ts';

export const definitions = Definitions.registry();
/** Of the temperature. */
export const read: Operation = { kind: 'read', paths: ['/3303/0/5700'] };
export const reboot: Operation = { kind: 'execute', paths: ['/3/0/4'] };

/** A device with a temperature that can be observed, and more if a test wants it. */
export function thermometer(more: Record<string, ResourceValue> = {}) {
  return new DeviceObjects(definitions, { '/1/0/1': 300, '/3/0/0': 'ACME', '/3303/0/5700': 21.5, ...more });
}

/** One profile for everybody, that observes so. */
export function profiles(observe: string): ProfileSet {
  return new ProfileSet([parseProfile(`{name: default, observe: [${observe}]}`, 'default')]);
}

/** A world in which each thermometer is observed. */
export const observing = () => new SmallWorld({ profiles: profiles("{path: '/3303/0/5700', pmin: 0, pmax: 60}") });
