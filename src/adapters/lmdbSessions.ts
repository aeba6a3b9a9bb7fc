import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import { Reader } from '../base/reader.ts';
import type { WallTime } from '../base/time.ts';
import { Writer } from '../base/writer.ts';
import type { CredentialId } from '../fleet/names.ts';
import type { SessionChange, SessionHead, SessionRow } from '../fleet/session.ts';
import type { Keyring } from './keyring.ts';
import type { Environment } from './lmdbEnvironment.ts';
import { decodeCredential } from './lmdbForms.ts';

/**
 * Sessions in LMDB, by credential: an opened one replaces the one before it, which is the point. A raised mark is
 * written over the old one in place, so that the secret is sealed once for a session and never again. One that ended
 * stays, marked as such, if it may be resumed; `origins` finds it by the association that its secret stems from.
 *
 * ```
 *  form 1 | peer 6 | write mark 6 | read mark 6 | ended 1 | origin 6 | until 6 | identity <1> | sealed secret <2> | state
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
export function writeSession(environment: Environment, { change, value }: PreparedSession): void {
  const { sessions, origins } = environment;
  if (change.kind === 'opened') {
    const { credential, resumable } = change.session;
    const before = sessions.get(credential);
    const replaced = before && originOf(before);
    if (replaced !== resumable?.origin) {
      if (replaced !== undefined) void origins.remove(replaced);
      if (resumable !== undefined) void origins.put(resumable.origin, new Writer(4).u32(credential).finish());
    }
    void sessions.put(credential, value!);
    return;
  }
  const present = sessions.get(change.credential);
  if (present === undefined) return;
  if (change.kind === 'ended') {
    if (peerOf(present) > change.peer) return;
    if (change.forget || originOf(present) === undefined) removeSession(environment, change.credential);
    else void sessions.put(change.credential, encodeFields({ ...decodeFields(present), ended: true }));
    return;
  }
  if (peerOf(present) !== change.peer) return;
  const fields = decodeFields(present);
  const next =
    change.kind === 'reserved'
      ? { writeMark: Math.max(fields.writeMark, change.writeMark) }
      : { readMark: Math.max(fields.readMark, change.readMark) };
  const state = change.kind === 'state' ? change.state : fields.state;
  void sessions.put(change.credential, encodeFields({ ...fields, ...next, state }));
}

/** Inside a transaction: nothing goes on with it, and nothing resumes it. */
export function removeSession({ sessions, origins }: Environment, credential: CredentialId): void {
  const present = sessions.get(credential);
  if (present === undefined) return;
  const origin = originOf(present);
  if (origin !== undefined) void origins.remove(origin);
  void sessions.remove(credential);
}

/** Inside a transaction: what ended and may not be resumed any more goes, and what an older version wrote. */
export function sweepSessions(environment: Environment, now: WallTime): void {
  const over: CredentialId[] = [];
  for (const { key, value } of environment.sessions.getRange()) {
    const isOver = value[0] !== form || (hasEnded(value) && new Reader(value, untilAt).u48() <= now);
    if (isOver) over.push(key as CredentialId);
  }
  for (const credential of over) removeSession(environment, credential);
}

/** All of them, and whatever could be resumed. */
export async function dropSessions({ gate, sessions, origins }: Environment): Promise<void> {
  await gate.pass(() => sessions.clearAsync());
  await gate.pass(() => origins.clearAsync());
}

/** The session of a credential, unless it ended. */
export function readSession(
  { sessions }: Environment,
  keyring: Keyring,
  credential: CredentialId,
): SessionRow | undefined {
  const value = sessions.get(credential);
  return value === undefined || hasEnded(value) ? undefined : open(credential, value, keyring);
}

/** Of all that did not end. Nothing is unsealed, and the views are valid until the next one. */
export function* readSessionHeads({ sessions }: Environment): Iterable<SessionHead> {
  for (const { key, value } of sessions.getRange({ snapshot: true })) {
    if (hasEnded(value)) continue;
    const reader = new Reader(value, 1);
    const peer = reader.u48() as Peer;
    reader.take(identityAt - endOfPeer);
    reader.vector8();
    reader.vector16();
    yield { peer, credential: key as CredentialId, state: reader.rest() };
  }
}

/** The session whose secret stems from this association, ended or not. */
export function resumableSession(
  { sessions, origins }: Environment,
  keyring: Keyring,
  origin: Peer,
): SessionRow | undefined {
  const owner = origins.get(origin);
  const credential = owner && (new Reader(owner).u32() as CredentialId);
  const value = credential && sessions.get(credential);
  return value === undefined || originOf(value) !== origin ? undefined : open(credential!, value, keyring);
}

/** Whether a row can be read, and is that of the credential whose identity it names; and `origins` leads to it. */
export function isSoundSession({ credentials, origins }: Environment, credential: CredentialId, value: Bytes): boolean {
  try {
    const { identity, resumable } = decodeFields(value);
    const owner = credentials.get(identity);
    const way = resumable && origins.get(resumable.origin);
    const isFound = resumable === undefined || (way !== undefined && new Reader(way).u32() === credential);
    return isFound && owner !== undefined && decodeCredential(owner).id === credential;
  } catch {
    return false;
  }
}

/** The same session sealed by another keyring; `undefined` if the old one cannot open it. */
export function resealSession(bytes: Bytes, from: Keyring, to: Keyring): Bytes | undefined {
  const fields = decodeFields(bytes);
  const context = contextOf(fields.peer, fields.identity);
  const secret = from.open(fields.sealed, context);
  return secret && encodeFields({ ...fields, sealed: to.seal(secret, context) });
}

function open(credential: CredentialId, value: Bytes, keyring: Keyring): SessionRow | undefined {
  const { peer, identity, sealed, state, writeMark, readMark, resumable } = decodeFields(value);
  const secret = keyring.open(sealed, contextOf(peer, identity));
  return secret && { peer, credential, identity, secret, state, writeMark, readMark, resumable };
}

function encode({ secret, ...session }: SessionRow, keyring: Keyring): Bytes {
  const sealed = keyring.seal(secret, contextOf(session.peer, session.identity));
  return encodeFields({ ...session, sealed, ended: false });
}

function encodeFields({ peer, ended, writeMark, readMark, resumable, identity, sealed, state }: Fields): Bytes {
  const writer = new Writer(40 + identity.length + sealed.length + state.length);
  writer.u8(form).u48(peer).u48(writeMark).u48(readMark);
  writer.u8(ended ? 1 : 0);
  writer.u48(resumable?.origin ?? 0).u48(resumable?.until ?? 0);
  return writer.vector8(identity).vector16(sealed).put(state).finish();
}

function decodeFields(bytes: Bytes): Fields {
  const reader = new Reader(bytes);
  const found = reader.u8();
  if (found !== form) throw new Error(`a session in form ${found}, which this version does not know`);
  const peer = reader.u48() as Peer;
  const writeMark = reader.u48();
  const readMark = reader.u48();
  const ended = reader.u8() === 1;
  const origin = reader.u48() as Peer;
  const until = reader.u48() as WallTime;
  return {
    peer,
    ended,
    writeMark,
    readMark,
    resumable: origin === 0 ? undefined : { origin, until },
    identity: reader.vector8().slice(),
    sealed: reader.vector16().slice(),
    state: reader.rest().slice(),
  };
}

function peerOf(bytes: Bytes): number {
  return new Reader(bytes, 1).u48();
}

function hasEnded(bytes: Bytes): boolean {
  return bytes[endedAt] === 1;
}

/** Associations are counted from 1. */
function originOf(bytes: Bytes): number | undefined {
  return new Reader(bytes, endedAt + 1).u48() || undefined;
}

/** A sealed secret opens in its own place only. */
function contextOf(peer: Peer, identity: Bytes): Bytes {
  return new Writer(8 + identity.length).u48(peer).put(identity).finish();
}

export interface PreparedSession {
  readonly change: SessionChange;
  readonly value: Bytes | undefined;
}

interface Fields extends Omit<SessionRow, 'credential' | 'secret'> {
  readonly ended: boolean;
  readonly sealed: Bytes;
}

const form = 2;
// Where things stand that are looked at without reading the rest.
const endOfPeer = 7;
const endedAt = endOfPeer + 12;
const untilAt = endedAt + 7;
const identityAt = untilAt + 6;
