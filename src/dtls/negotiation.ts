import { type Bytes, noBytes, sameBytes } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import { AlertDescription } from './codec/alert.ts';
import { type CipherSuite, cipherSuiteName, emptyRenegotiationInfoScsv } from './codec/cipherSuite.ts';
import type { ClientHello } from './codec/clientHello.ts';
import { decodeConnectionId, type Extensions, ExtensionType, maxFragmentLengths } from './codec/extension.ts';
import {
  decodeGroups,
  decodePointFormats,
  NamedGroup,
  namedGroups,
  uncompressed,
  uncompressedOnly,
} from './codec/namedGroup.ts';
import { dtls12, maxPlaintextLength } from './codec/record.ts';
import type { HandshakeFault } from './fault.ts';
import type { Owner, PskPort } from './psk.ts';
import type { ResumableSession, ResumptionPort } from './resumption.ts';

/** What a ClientHello leads to: the terms of the session, or why there is none. `at` is the time of the hello. */
export function negotiate(hello: ClientHello, policy: NegotiationPolicy, at: WallTime): Terms | Refusal {
  // Versions count down: what is larger is older, what is smaller is newer and knows ours too.
  if (hello.version > dtls12) return refusal('protocol-version', AlertDescription.protocolVersion);
  const asked = readExtensions(hello);
  if (asked.kind === 'refused') return asked;
  const session = sessionToResume(hello, asked, policy, at);
  if (session !== undefined && 'kind' in session) return session;
  const { extended, maxPlaintext, clientCid, returnRoutability } = asked;
  const common = { kind: 'agreed', extended, maxPlaintext, clientCid, returnRoutability } as const;
  if (session !== undefined) return { ...common, suite: session.suite, group: undefined, session };
  const suite = policy.suites.find(candidate => isCommon(candidate, hello, asked));
  if (suite === undefined) {
    const offered = hello.cipherSuites.slice(0, maxNamedSuites).map(cipherSuiteName).join(' ');
    return refusal('no-common-suite', AlertDescription.handshakeFailure, offered);
  }
  const group = suite.keyExchange === 'ecdhe-psk' ? asked.group : undefined;
  return { ...common, suite, group, session: undefined };
}

/** What the client asked for and we grant; what we do not know is left out (RFC 5246 §7.4.1.4). */
export function answerTo({ cipherSuites, extensions }: ClientHello, { suite }: Terms): Map<number, Bytes> {
  const answer = new Map<number, Bytes>();
  if (extensions.has(ExtensionType.renegotiationInfo) || cipherSuites.includes(emptyRenegotiationInfoScsv)) {
    answer.set(ExtensionType.renegotiationInfo, emptyRenegotiationInfo);
  }
  if (extensions.has(ExtensionType.extendedMasterSecret)) answer.set(ExtensionType.extendedMasterSecret, noBytes);
  // To an AEAD suite it must not be answered (RFC 7366 §3).
  if (suite.cipher === 'aes-128-cbc') answer.set(ExtensionType.encryptThenMac, noBytes);
  if (suite.keyExchange === 'ecdhe-psk' && extensions.has(ExtensionType.ecPointFormats)) {
    answer.set(ExtensionType.ecPointFormats, uncompressedOnly);
  }
  const fragmentLength = extensions.get(ExtensionType.maxFragmentLength);
  if (fragmentLength !== undefined) answer.set(ExtensionType.maxFragmentLength, fragmentLength);
  return answer;
}

/**
 * The session that the client wants to go on with, if everything still fits; if it does not, a full handshake follows,
 * as it does for an id that nobody knows. One case is refused: whoever leaves the extended master secret out of a hello
 * that resumes a session with it may be somebody in between (RFC 7627 §5.3).
 */
function sessionToResume(
  hello: ClientHello,
  asked: Asked,
  policy: NegotiationPolicy,
  at: WallTime,
): ResumableSession | Refusal | undefined {
  if (hello.sessionId.length === 0) return undefined;
  const session = policy.resumption?.find(hello.sessionId);
  if (session === undefined || at >= session.until) return undefined;
  if (!asked.extended) return refusal('malformed', AlertDescription.handshakeFailure, 'resumes without its extension');
  const { suite, maxPlaintext, identity, owner } = session;
  if (!policy.suites.includes(suite) || !hello.cipherSuites.includes(suite.id)) return undefined;
  if (suite.cipher === 'aes-128-cbc' && !asked.encryptThenMac) return undefined;
  if (maxPlaintext !== asked.maxPlaintext) return undefined;
  // The credential as it is now: one that was revoked, or belongs to another device, resumes nothing.
  const entry = policy.psk.find(identity);
  const same = entry?.owner.row === owner.row && entry.owner.credential === owner.credential;
  return same && !policy.isResuming(owner) ? session : undefined;
}

function isCommon(suite: CipherSuite, { cipherSuites }: ClientHello, asked: Asked): boolean {
  if (!cipherSuites.includes(suite.id)) return false;
  // Decrypting before the MAC was checked has been an oracle again and again: such a CBC is not spoken.
  if (suite.cipher === 'aes-128-cbc' && !asked.encryptThenMac) return false;
  return suite.keyExchange === 'psk' || asked.group !== undefined;
}

function readExtensions({ extensions }: ClientHello): Asked | Refusal {
  // On a first handshake the client's part must be empty (RFC 5746 §3.6).
  const renegotiation = extensions.get(ExtensionType.renegotiationInfo);
  if (renegotiation !== undefined && !sameBytes(renegotiation, emptyRenegotiationInfo)) {
    return refusal('malformed', AlertDescription.handshakeFailure);
  }
  const fragmentLength = extensions.get(ExtensionType.maxFragmentLength);
  const maxPlaintext = fragmentLength === undefined ? maxPlaintextLength : fragmentLengthOf(fragmentLength);
  if (maxPlaintext === undefined) return refusal('malformed', AlertDescription.illegalParameter);
  for (const type of [ExtensionType.extendedMasterSecret, ExtensionType.encryptThenMac]) {
    if ((extensions.get(type)?.length ?? 0) > 0) return refusal('malformed', AlertDescription.decodeError);
  }
  const offeredCid = extensions.get(ExtensionType.connectionId);
  const clientCid = offeredCid && decodeConnectionId(offeredCid);
  if (offeredCid !== undefined && clientCid === undefined) return refusal('malformed', AlertDescription.decodeError);
  const group = groupFrom(extensions);
  if (typeof group === 'object') return group;
  return {
    kind: 'asked',
    extended: extensions.has(ExtensionType.extendedMasterSecret),
    encryptThenMac: extensions.has(ExtensionType.encryptThenMac),
    maxPlaintext,
    clientCid,
    returnRoutability: extensions.get(ExtensionType.returnRoutability)?.length === 0,
    group,
  };
}

/** The curve for an ephemeral exchange, by our preference; `undefined` if the client has none of ours. */
function groupFrom(extensions: Extensions): NamedGroup | Refusal | undefined {
  const groupList = extensions.get(ExtensionType.supportedGroups);
  const formatList = extensions.get(ExtensionType.ecPointFormats);
  const groups = groupList && decodeGroups(groupList);
  const formats = formatList && decodePointFormats(formatList);
  if ((groupList !== undefined && groups === undefined) || (formatList !== undefined && formats === undefined)) {
    return refusal('malformed', AlertDescription.decodeError);
  }
  // A client that does not say leaves the choice to us (RFC 8422 §4): this one everybody has.
  const group = groups === undefined ? NamedGroup.secp256r1 : namedGroups.find(ours => groups.includes(ours));
  if (groups !== undefined && group !== undefined && formats !== undefined && !formats.includes(uncompressed)) {
    return refusal('malformed', AlertDescription.illegalParameter, 'no uncompressed points'); // RFC 8422 §5.1.2
  }
  return group;
}

function fragmentLengthOf(extension: Bytes): number | undefined {
  return extension.length === 1 ? maxFragmentLengths.get(extension[0]!) : undefined;
}

function refusal(fault: HandshakeFault, description: number, detail?: string): Refusal {
  return { kind: 'refused', fault, description, detail };
}

export interface NegotiationPolicy {
  /** What we agree to, most wanted first. */
  readonly suites: readonly CipherSuite[];
  readonly psk: PskPort;
  /** `undefined`: no session is resumed. */
  readonly resumption: ResumptionPort | undefined;
  /**
   * Whether a session of this owner is being resumed at the moment: a second time at once it is not, since a limit has to
   * speak before the server's Finished, and counts what has come to its end.
   */
  isResuming(owner: Owner): boolean;
}

/** What the two sides agreed to. */
export interface Terms {
  readonly kind: 'agreed';
  readonly suite: CipherSuite;
  /** The curve of the ephemeral exchange; `undefined` if there is none. */
  readonly group: NamedGroup | undefined;
  /** Whether the master secret covers the handshake (RFC 7627). */
  readonly extended: boolean;
  /** How many bytes of plaintext a record may hold. */
  readonly maxPlaintext: number;
  /** What the client would like to see in records to it; `undefined` to do without connection IDs. */
  readonly clientCid: Bytes | undefined;
  readonly returnRoutability: boolean;
  /** The session that is resumed; `undefined` in a full handshake. */
  readonly session: ResumableSession | undefined;
}

export interface Refusal {
  readonly kind: 'refused';
  readonly fault: HandshakeFault;
  /** Of the alert that the client hears. */
  readonly description: number;
  readonly detail: string | undefined;
}

/** What the extensions of a hello say. */
interface Asked {
  readonly kind: 'asked';
  readonly extended: boolean;
  readonly encryptThenMac: boolean;
  readonly maxPlaintext: number;
  readonly clientCid: Bytes | undefined;
  readonly returnRoutability: boolean;
  readonly group: NamedGroup | undefined;
}

const emptyRenegotiationInfo: Bytes = Uint8Array.of(0);
const maxNamedSuites = 64;
