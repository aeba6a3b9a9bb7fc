import { type Bytes, noBytes } from '../base/bytes.ts';
import type { Remote } from '../base/peer.ts';
import { Reader } from '../base/reader.ts';
import type { WallTime } from '../base/time.ts';
import { Writer } from '../base/writer.ts';
import { cipherSuite } from '../dtls/codec/cipherSuite.ts';
import type { Session } from '../dtls/out.ts';
import type { ResumableSession } from '../dtls/resumption.ts';
import type { SessionState } from '../dtls/sessionState.ts';
import type { CredentialId } from '../fleet/names.ts';
import type { SessionRow } from '../fleet/session.ts';

/**
 * A DTLS session as the store keeps it. The first part is written once and sealed; the second, where the device is, may
 * change while the session lives. Of a session that ended, the secret part still serves to resume it.
 *
 * ```
 *  secret: form 1 | suite 2 | device row 6 | created 6 | max plaintext 2 | hello 4
 *          | client key <1> | client iv <1> | client MAC key <1> | server key <1> | server iv <1> | server MAC key <1>
 *          | verify_data <1>, empty if the last flight was not ours | message_seq 2 | epoch-0 sequence 6
 *          | 0, or 1 with connection IDs, or 3 if the client checks return routability too | server cid <1> | client cid <1>
 *          | master secret <1>, empty if it cannot be resumed
 *  state:  form 1 | socket 1 | port 2 | address <1>
 * ```
 */
export function sessionRow(session: Session): SessionRow {
  const { peer, owner, identity, writeMark, readMark, remote, resumption } = session;
  return {
    peer,
    credential: owner.credential as CredentialId,
    identity,
    secret: writeSecret(session),
    state: writeState(remote),
    writeMark,
    readMark,
    resumable: resumption && { origin: resumption.origin, until: resumption.until },
  };
}

/** `undefined` for a form or a suite that this version does not know: the device handshakes anew. */
export function readSession(row: SessionRow): SessionState | undefined {
  const remote = readState(row.state);
  const secret = readSecret(row);
  if (remote === undefined || secret === undefined) return undefined;
  const { masterSecret: _, ...session } = secret;
  const { peer, writeMark, readMark } = row;
  return { ...session, peer, remote, writeMark, readMark, writeSequence: writeMark };
}

/** What is left of a session for whoever resumes it; `undefined` if it cannot be resumed. */
export function readResumable(row: SessionRow): ResumableSession | undefined {
  const secret = readSecret(row);
  if (secret === undefined || row.resumable === undefined || secret.masterSecret.length === 0) return undefined;
  const { suite, owner, maxPlaintext, masterSecret } = secret;
  return { ...row.resumable, suite, owner, maxPlaintext, masterSecret: masterSecret.slice(), identity: row.identity };
}

function writeSecret({ suite, owner, createdAt, keys, lastFlight, cids, resumption, ...session }: Session): Bytes {
  const writer = new Writer(256).u8(secretForm).u16(suite.id).u48(owner.row).u48(createdAt);
  writer.u16(session.maxPlaintext).u32(session.helloStart);
  for (const { key, iv, mac } of [keys.client, keys.server]) writer.vector8(key).vector8(iv).vector8(mac);
  writer.vector8(lastFlight?.verifyData ?? noBytes);
  writer.u16(lastFlight?.messageSequence ?? 0).u48(lastFlight?.plainSequence ?? 0);
  writer.u8(cids === undefined ? 0 : hasCids | (cids.returnRoutability ? checksPath : 0));
  writer.vector8(cids?.server ?? noBytes).vector8(cids?.client ?? noBytes);
  return writer.vector8(resumption?.masterSecret ?? noBytes).finish();
}

function readSecret({ secret, credential }: SessionRow): Secret | undefined {
  const reader = new Reader(secret);
  if (reader.u8() !== secretForm) return undefined;
  const suite = cipherSuite(reader.u16());
  if (suite === undefined) return undefined;
  const owner = { row: reader.u48(), credential };
  const createdAt = reader.u48() as WallTime;
  const maxPlaintext = reader.u16();
  const helloStart = reader.u32();
  const client = { key: reader.vector8(), iv: reader.vector8(), mac: reader.vector8() };
  const server = { key: reader.vector8(), iv: reader.vector8(), mac: reader.vector8() };
  const verifyData = reader.vector8();
  const messageSequence = reader.u16();
  const plainSequence = reader.u48() + plainSequencesAhead;
  const flags = reader.u8();
  const cids = { server: reader.vector8(), client: reader.vector8(), returnRoutability: (flags & checksPath) !== 0 };
  return {
    owner,
    suite,
    keys: { client, server },
    maxPlaintext,
    cids: (flags & hasCids) === 0 ? undefined : cids,
    createdAt,
    helloStart,
    lastFlight: verifyData.length === 0 ? undefined : { verifyData, messageSequence, plainSequence },
    masterSecret: reader.vector8(),
  };
}

export function writeState({ socket, port, address }: Remote): Bytes {
  return new Writer(24).u8(stateForm).u8(socket).u16(port).vector8(new TextEncoder().encode(address)).finish();
}

export function readState(bytes: Bytes): Remote | undefined {
  const reader = new Reader(bytes);
  if (reader.u8() !== stateForm) return undefined;
  return { socket: reader.u8(), port: reader.u16(), address: new TextDecoder().decode(reader.vector8()) };
}

interface Secret extends Omit<SessionState, 'peer' | 'remote' | 'writeSequence' | 'writeMark' | 'readMark'> {
  readonly masterSecret: Bytes;
}

const hasCids = 1;
const checksPath = 2;
const secretForm = 2;
const stateForm = 1;
/** More last flights than an earlier process sent again: their numbers protect nothing, but some clients look at them. */
const plainSequencesAhead = 1000;
