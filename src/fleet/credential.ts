import type { Bytes } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import type { CredentialId, EndpointName, Row, Sector } from './names.ts';

/** A pre-shared key, the PSK identity that names it, and the one endpoint name it may speak for. */
export interface Credential {
  readonly id: CredentialId;
  /** 1 to 128 arbitrary bytes (RFC 4279 §5.3). */
  readonly identity: Bytes;
  /** 1 to 64 bytes. Sealed at rest, never logged, never returned by an API. */
  readonly key: Bytes;
  readonly endpoint: EndpointName;
  readonly sector: Sector | undefined;
  /** The row of that endpoint name. */
  readonly row: Row;
  readonly createdAt: WallTime;
  /** A revoked credential is kept, so that the operator can be told why a device fails; it opens nothing. */
  readonly revokedAt: WallTime | undefined;
}

/** Who sent a request: proved by a verified Finished, or nobody in particular (plain CoAP). */
export type Principal =
  | { readonly kind: 'anonymous' }
  | {
      readonly kind: 'psk';
      readonly credential: CredentialId;
      /** The row of the one endpoint name it may speak for; its record, which always exists, says which name that is. */
      readonly row: Row;
    };

export const maxIdentityBytes = 128;
export const maxKeyBytes = 64;
