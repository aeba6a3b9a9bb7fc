import type { WallTime } from '../base/time.ts';
import type { Description } from '../lwm2m/registrationRequest.ts';
import { formatVersion } from '../lwm2m/version.ts';
import { type Allocation, decodeAllocation } from './allocation.ts';
import { decodeDescription } from './description.ts';
import type { DeviceRecord } from './device.ts';
import { effectiveExpiry, type FleetRules } from './registration.ts';

export type DeviceState = 'registered' | 'lapsed' | 'none';

/** A device as operators see it, in JSON: times in ISO 8601, what is unknown left out. */
export interface DeviceView {
  readonly endpoint: string;
  readonly sector?: string;
  /** `lapsed`: the lifetime is over, and an update can still revive it. `none`: known by its credential only. */
  readonly state: DeviceState;
  readonly registrationId?: string;
  readonly dialect?: string;
  readonly lwm2m?: string;
  readonly transport?: string;
  readonly address?: string;
  readonly port?: number;
  /** In seconds; 0 is infinite. */
  readonly lifetime?: number;
  readonly expires?: string;
  readonly registeredAt?: string;
  readonly lastContact?: string;
  readonly binding?: string;
  readonly queueMode?: boolean;
  readonly sms?: string;
  readonly allocation?: Allocation;
  readonly description?: Description;
}

export function deviceView(record: DeviceRecord, rules: FleetRules, now: WallTime): DeviceView {
  const { registration: r } = record;
  const names = { endpoint: record.name, ...(record.sector === undefined ? {} : { sector: record.sector }) };
  if (r === undefined) return { ...names, state: 'none' };
  const expires = effectiveExpiry(rules, r);
  return {
    ...names,
    state: deviceState(record, rules, now),
    registrationId: rules.registrationId(record.row, record.generation),
    dialect: r.dialect,
    ...(r.version === undefined ? {} : { lwm2m: formatVersion(r.version) }),
    transport: r.transport,
    address: r.address,
    port: r.port,
    lifetime: r.lifetime,
    ...(expires === undefined ? {} : { expires: iso(expires) }),
    registeredAt: iso(r.registeredAt),
    lastContact: iso(r.lastContact),
    binding: r.binding,
    queueMode: r.queueMode,
    ...(r.sms === undefined ? {} : { sms: r.sms }),
    allocation: decodeAllocation(r.allocation),
    description: decodeDescription(r.description),
  };
}

export function deviceState({ registration }: DeviceRecord, rules: FleetRules, now: WallTime): DeviceState {
  if (registration === undefined) return 'none';
  const expires = effectiveExpiry(rules, registration);
  return expires !== undefined && expires <= now ? 'lapsed' : 'registered';
}

function iso(time: WallTime): string {
  return new Date(time).toISOString();
}
