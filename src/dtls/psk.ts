import type { Bytes } from '../base/bytes.ts';

/** Where the server looks pre-shared keys up. Synchronous: a lookup that waits would stop the road (or reorder it). */
export interface PskPort {
  /** `undefined`: nobody goes by this identity, or its credential was revoked. The handshake goes on with a fake key. */
  find(identity: Bytes): PskEntry | undefined;
  /** Whether there was a credential once: asked about a handshake that failed, for the operator. */
  isRevoked?(identity: Bytes): boolean;
}

export interface PskEntry {
  readonly key: Bytes;
  readonly owner: Owner;
}

/** Two numbers that mean something to whoever answered `find`, and nothing here except which of them are equal. */
export interface Owner {
  /** The one thing this key may speak for: an owner has at most one association for it. */
  readonly row: number;
  readonly credential: number;
}

/** The same text for equal owners, and for no others. */
export function ownerKey({ row, credential }: Owner): string {
  return `${row} ${credential}`;
}
