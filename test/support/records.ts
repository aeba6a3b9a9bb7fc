import { noBytes } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import { encodeDescription } from '../../src/fleet/description.ts';
import type { DeviceRecord, Registration } from '../../src/fleet/device.ts';
import type { EndpointName, RegistrationId, Row, Sector } from '../../src/fleet/names.ts';
import { noProfiles } from '../../src/fleet/profile.ts';
import { defaultGrace, type FleetRules } from '../../src/fleet/registration.ts';
import { type Description, emptyDescription } from '../../src/lwm2m/registrationRequest.ts';

/** A moment in a test's life, at noon so that a minute more or less is the same day. */
export const wall = Date.UTC(2026, 0, 15, 12) as WallTime;

export const rules: FleetRules = {
  grace: defaultGrace,
  outages: [],
  profiles: noProfiles,
  registrationId: (row, generation) => `${row}-${generation}` as RegistrationId,
};

export interface SampleOptions extends Partial<Omit<Registration, 'description'>> {
  readonly name?: string;
  readonly sector?: string;
  readonly version?: undefined;
  readonly description?: Partial<Description>;
}

/** A registered device, on plain CoAP, version 1 of its record. */
export function sampleRecord(row: number, options: SampleOptions = {}): DeviceRecord {
  const { name = `node-${row}`, sector, description = {}, ...registration } = options;
  const lifetime = registration.lifetime ?? 86_400;
  const lastContact = registration.lastContact ?? wall;
  return {
    ...unregistered(row, name),
    sector: sector as Sector | undefined,
    registration: {
      owner: undefined,
      dialect: 'cbor',
      version: undefined,
      binding: 'U',
      queueMode: false,
      sms: undefined,
      transport: 'coap',
      address: `192.0.2.${row % 256}`,
      port: 5683,
      registeredAt: lastContact,
      allocation: noBytes,
      ...registration,
      lifetime,
      expires: lifetime === 0 ? undefined : ((lastContact + 1000 * lifetime) as WallTime),
      lastContact,
      description: encodeDescription({ ...emptyDescription, ...description }),
    },
  };
}

/** A device that is known by its name only. */
export function unregistered(row: number, name: string): DeviceRecord {
  return {
    row: row as Row,
    generation: 0,
    version: 1,
    name: name as EndpointName,
    sector: undefined,
    registration: undefined,
    lastExchange: undefined,
  };
}
