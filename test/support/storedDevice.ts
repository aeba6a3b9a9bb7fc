import { type Bytes, noBytes } from '../../src/base/bytes.ts';
import type { WallTime } from '../../src/base/time.ts';
import type { DeviceRecord } from '../../src/fleet/device.ts';
import type { EndpointName, Row } from '../../src/fleet/names.ts';

/** A record with a registration, for tests of what is kept beside it. */
export function recordOf(row: Row, allocation: Bytes, wall: WallTime): DeviceRecord {
  const registration = {
    owner: undefined,
    dialect: 'cbor',
    version: undefined,
    lifetime: 60,
    expires: undefined,
    binding: 'U',
    queueMode: false,
    sms: undefined,
    transport: 'coap',
    address: '192.0.2.1',
    port: 5683,
    registeredAt: wall,
    lastContact: wall,
    allocation,
    description: noBytes,
  } as const;
  const names = { name: `node-${row}` as EndpointName, sector: undefined };
  return { row, generation: 0, version: 1, ...names, registration, lastExchange: undefined };
}
