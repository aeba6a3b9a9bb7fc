import type { Brand } from '../base/brand.ts';
import { utf8 } from '../base/bytes.ts';

/**
 * An endpoint name: 1 to 63 bytes of UTF-8 without control characters (RFC 9176 §5; LwM2M Core 1.2 §6.2.1). Nor has it
 * angle brackets: no device needs them, and whoever prints a name into link-format or HTML without care is safe.
 */
export type EndpointName = Brand<string, 'EndpointName'>;

/** A sector (RFC 9176 §5, `d`): same form as an endpoint name. Absent means the default sector. */
export type Sector = Brand<string, 'Sector'>;

/** The last segment of a registration's location, at most 16 ASCII characters; not guessable (fleet/registrationId). */
export type RegistrationId = Brand<string, 'RegistrationId'>;

/** The number under which the store keeps everything about one endpoint name. */
export type Row = Brand<number, 'Row'>;

/** Numbers a credential for good, whatever becomes of its identity's bytes or its key. Never used again. */
export type CredentialId = Brand<number, 'CredentialId'>;

export const maxNameBytes = 63;

export function parseEndpointName(text: string): EndpointName | undefined {
  return isName(text) ? (text as EndpointName) : undefined;
}

export function parseSector(text: string): Sector | undefined {
  return isName(text) ? (text as Sector) : undefined;
}

function isName(text: string): boolean {
  if (text.length === 0 || text.length > maxNameBytes || /[\p{Control}\p{Surrogate}<>]/u.test(text)) return false;
  return utf8(text).length <= maxNameBytes;
}
