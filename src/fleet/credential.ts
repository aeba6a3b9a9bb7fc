import type { Bytes } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import type { CredentialId, EndpointName, Row, Sector } from './names.ts';

/** A pre-shared key, the PSK identity that names it, and the one endpoint name it may speak for; or an operator's name. */
export interface Credential {
  readonly id: CredentialId;
  /** 1 to 128 arbitrary bytes (RFC 4279 §5.3). */
  readonly identity: Bytes;
  /** 1 to 64 bytes. Sealed at rest, never logged, never returned by an API. */
  readonly key: Bytes;
  readonly endpoint: EndpointName;
  readonly sector: Sector | undefined;
  /** The row of that endpoint name; `noRow` of an operator, who speaks for none. */
  readonly row: Row;
  /** For good: whoever is to be something else gets another credential. */
  readonly role: CredentialRole;
  readonly createdAt: WallTime;
  /** A revoked credential is kept, so that the operator can be told why a device fails; it opens nothing. */
  readonly revokedAt: WallTime | undefined;
}

/**
 * What a credential is for. A `device` registers, and sees itself. An `operator` sees the fleet, its lookups and last
 * values, and registers nothing.
 */
export type CredentialRole = 'device' | 'operator';

/** Who sent a request: proved by a verified Finished, or nobody in particular (plain CoAP). */
export type Principal =
  | { readonly kind: 'anonymous' }
  | {
      readonly kind: 'psk';
      readonly credential: CredentialId;
      /** The row of the one endpoint name it may speak for; its record, which always exists, says which name that is. */
      readonly row: Row;
    }
  | { readonly kind: 'operator'; readonly credential: CredentialId };

/** Rows count from 1 on: what belongs to no device has this one. It says for good, also in a stored session, that an operator's key was proved. */
export const noRow = 0 as Row;

export const maxIdentityBytes = 128;
export const maxKeyBytes = 64;
