import { formatVersion } from './version.ts';
import type { MapContent } from './writeRegistrationMap.ts';

/** The Uri-Query options of a registration or an update in LwM2M's own dialect: the mirror of `parseRegisterQuery`. */
export function writeRegisterQuery({
  endpoint,
  sector,
  lifetime,
  version,
  binding,
  queueMode,
  sms,
  description: { base, endpointType, extra } = {},
}: MapContent): string[] {
  const parameters: Readonly<Record<string, unknown>> = {
    ep: endpoint,
    lt: lifetime,
    lwm2m: version && formatVersion(version),
    b: binding,
    d: sector,
    sms,
    base,
    et: endpointType,
    ...extra,
  };
  const query = Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) =>
      (Array.isArray(value) ? value : [value]).map(one => `${name}=${one as string | number}`),
    );
  return queueMode === true ? [...query, 'Q'] : query;
}
