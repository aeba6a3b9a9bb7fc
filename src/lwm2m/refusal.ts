/** Why a request is not carried out. What the peer hears, `service/answer` decides. */
export interface Refusal {
  readonly kind: 'refusal';
  readonly reason: RefusalReason;
  /** For the log only. May quote the peer, shortened; never a secret, never sent. */
  readonly detail: string | undefined;
}

/** Stable words, for log, metric and documentation. */
export type RefusalReason =
  | 'bad-query'
  | 'unknown-parameter'
  | 'bad-lifetime'
  | 'bad-version'
  | 'bad-binding'
  | 'unsupported-version'
  | 'unknown-profile-id'
  | 'content-format'
  | 'not-acceptable'
  | 'bad-links'
  | 'bad-cbor'
  | 'bad-map'
  | 'query-contradicts-map'
  | 'payload-not-expected'
  | 'update-of-identity'
  | 'bad-endpoint-name'
  | 'missing-endpoint-name'
  | 'foreign-endpoint-name'
  | 'foreign-sector'
  | 'name-needs-credential'
  | 'name-taken'
  | 'names-too-fast'
  | 'registration-needs-dtls'
  | 'credential-revoked'
  | 'not-a-device'
  | 'not-the-owner'
  | 'out-of-order'
  | 'unknown-registration'
  | 'address-not-proved'
  | 'links-not-read'
  | 'lookup-needs-dtls'
  | 'values-need-operator'
  | 'no-values'
  | 'bad-search'
  | 'search-too-wide'
  | 'profile-metadata'
  | 'profile-object'
  | 'profile-object-missing'
  | 'send-without-registration'
  | 'send-unreadable'
  | 'values-full';

export function refusal(reason: RefusalReason, detail?: string): Refusal {
  return { kind: 'refusal', reason, detail: detail?.slice(0, 200) };
}

export function isRefusal(value: object): value is Refusal {
  return (value as Partial<Refusal>).kind === 'refusal';
}
