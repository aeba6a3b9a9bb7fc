import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import { Reader } from '../base/reader.ts';
import { Writer } from '../base/writer.ts';
import type { CredentialId } from '../fleet/names.ts';
import type { SessionChange, SessionHead, SessionRow } from '../fleet/session.ts';
import type { Keyring } from './keyring.ts';
import type { Environment } from './lmdbEnvironment.ts';
import { decodeCredential } from './lmdbForms.ts';

/**
 * Sessions in LMDB, by credential: an opened one replaces the one before it, which is the point. A raised mark is
 * written over the old one in place, so that the secret is sealed once for a session and never again.
 *
 * ```
 *  form 1 | peer 6 | write mark 6 | read mark 6 | identity <1> | sealed secret <2> | state
 * ```
 */

/** Everything that costs time before the transaction; inside it only reads and writes are left. */
export function prepareSession(change: SessionChange, keyring: Keyring): PreparedSession {
  return { change, value: change.kind === 'opened' ? encode(change.session, keyring) : undefined };
}

/** Inside a transaction: `false` for a session of a credential that was revoked or replaced meanwhile. */
export function maySession({ credentials }: Environment, { change }: PreparedSession): boolean {
  if (change.kind !== 'opened') return true;
  const bytes = credentials.get(change.session.identity);
  if (bytes === undefined) return false;
  const { id, revokedAt } = decodeCredential(bytes);
  return id === change.session.credential && revokedAt === undefined;
}

/** Inside a transaction. What is about a session that is gone changes nothing. */
export function writeSession({ sessions }: Environment, { change, value }: PreparedSession): void {
  if (change.kind === 'opened') {
    void sessions.put(change.session.credential, value!);
    return;
  }
  const present = sessions.get(change.credential);
  if (present === undefined) return;
  if (change.kind === 'ended') {
    if (peerOf(present) <= change.peer) void sessions.remove(change.credential);
    return;
  }
  if (peerOf(present) !== change.peer) return;
  const fields = decodeFields(present);
  const next =
    change.kind === 'reserved'
      ? { ...fields, writeMark: Math.max(fields.writeMark, change.writeMark) }
      : { ...fields, state: change.state, readMark: Math.max(fields.readMark, change.readMark) };
  void sessions.put(change.credential, encodeFields(next));
}

/** All sessions that the keyring can open. */
export function* readSessions({ sessions }: Environment, keyring: Keyring): Iterable<SessionRow> {
  for (const { key, value } of sessions.getRange({ snapshot: true })) {
    const row = open(key as CredentialId, value, keyring);
    if (row !== undefined) yield row;
  }
}

export function readSession(
  { sessions }: Environment,
  keyring: Keyring,
  credential: CredentialId,
): SessionRow | undefined {
  const value = sessions.get(credential);
  return value && open(credential, value, keyring);
}

/** Nothing is unsealed, and the views are valid until the next one. */
export function* readSessionHeads({ sessions }: Environment): Iterable<SessionHead> {
  for (const { key, value } of sessions.getRange({ snapshot: true })) {
    const reader = new Reader(value, 1);
    const peer = reader.u48() as Peer;
    reader.take(12);
    reader.vector8();
    reader.vector16();
    yield { peer, credential: key as CredentialId, state: reader.rest() };
  }
}

function open(credential: CredentialId, value: Bytes, keyring: Keyring): SessionRow | undefined {
  const { peer, writeMark, readMark, identity, sealed, state } = decodeFields(value);
  const secret = keyring.open(sealed, contextOf(peer, identity));
  return secret && { peer, credential, identity, secret, state, writeMark, readMark };
}

/** The same session sealed by another keyring; `undefined` if the old one cannot open it. */
export function resealSession(bytes: Bytes, from: Keyring, to: Keyring): Bytes | undefined {
  const fields = decodeFields(bytes);
  const context = contextOf(fields.peer, fields.identity);
  const secret = from.open(fields.sealed, context);
  return secret && encodeFields({ ...fields, sealed: to.seal(secret, context) });
}

function encode({ peer, identity, secret, state, writeMark, readMark }: SessionRow, keyring: Keyring): Bytes {
  const sealed = keyring.seal(secret, contextOf(peer, identity));
  return encodeFields({ peer, identity, sealed, state, writeMark, readMark });
}

function encodeFields({ peer, writeMark, readMark, identity, sealed, state }: Fields): Bytes {
  const writer = new Writer(24 + identity.length + sealed.length + state.length);
  writer.u8(form).u48(peer).u48(writeMark).u48(readMark).vector8(identity).vector16(sealed).put(state);
  return writer.finish();
}

function decodeFields(bytes: Bytes): Fields {
  const reader = new Reader(bytes);
  const found = reader.u8();
  if (found !== form) throw new Error(`a session in form ${found}, which this version does not know`);
  return {
    peer: reader.u48() as Peer,
    writeMark: reader.u48(),
    readMark: reader.u48(),
    identity: reader.vector8().slice(),
    sealed: reader.vector16().slice(),
    state: reader.rest().slice(),
  };
}

function peerOf(bytes: Bytes): number {
  return new Reader(bytes, 1).u48();
}

/** A sealed secret opens in its own place only. */
function contextOf(peer: Peer, identity: Bytes): Bytes {
  return new Writer(8 + identity.length).u48(peer).put(identity).finish();
}

export interface PreparedSession {
  readonly change: SessionChange;
  readonly value: Bytes | undefined;
}

interface Fields {
  readonly peer: Peer;
  readonly writeMark: number;
  readonly readMark: number;
  readonly identity: Bytes;
  readonly sealed: Bytes;
  readonly state: Bytes;
}

const form = 1;
