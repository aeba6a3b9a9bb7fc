import type { Path } from '../path.ts';

/** Why a payload says nothing to us, or why nothing can be said in a format. What the peer hears, others decide. */
export interface ContentFault {
  readonly kind: 'content-fault';
  readonly reason: ContentFaultReason;
  /** For the log only. May quote the peer, shortened; never sent. */
  readonly detail: string | undefined;
}

/** Stable words, for log, metric and documentation (`docs/content.md`). */
export type ContentFaultReason =
  /** A Content-Format that we do not speak. */
  | 'unknown-format'
  /** The bytes are not of the format: they end early, or do not add up. */
  | 'malformed'
  /** The value is none of the type that the object's definition gives the resource. */
  | 'wrong-type'
  /** A value for something below which no values stand, or that does not lie under the path that was asked for. */
  | 'wrong-path'
  /** The same path twice, without a time that tells them apart. */
  | 'duplicate-path'
  /** More entries, deeper nesting or longer texts than we accept. */
  | 'too-many-entries'
  | 'too-deep'
  | 'too-long'
  /** RFC 8428 §4.4: a version above 10, or a field that must be understood and is not. */
  | 'unsupported-senml'
  /** Text, opaque and CBOR hold one value, and there are none or several. */
  | 'not-one-value'
  /** The format has no way to write this value, e.g. a NaN in JSON. */
  | 'not-representable';

export function contentFault(reason: ContentFaultReason, detail?: string): ContentFault {
  return { kind: 'content-fault', reason, detail: detail?.slice(0, 200) };
}

export function isContentFault(value: object): value is ContentFault {
  return (value as Partial<ContentFault>).kind === 'content-fault';
}

/** What the codecs throw; the functions of `select.ts` catch it: it crosses no layer. */
export class ContentError extends Error {
  readonly fault: ContentFault;

  constructor(reason: ContentFaultReason, detail?: string) {
    super(reason);
    this.fault = contentFault(reason, detail);
  }
}

export function wrongType(path: Path, expected: string): ContentError {
  return new ContentError('wrong-type', `${path} is of type ${expected}`);
}
