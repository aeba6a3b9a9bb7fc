import { type Bytes, noBytes, sameBytes } from '../base/bytes.ts';
import type { ClientFault, ClientHandshakeOptions } from './clientStep.ts';
import { AlertDescription } from './codec/alert.ts';
import { type CipherSuite, cipherSuite } from './codec/cipherSuite.ts';
import {
  decodeConnectionId,
  type Extensions,
  ExtensionType,
  encodeConnectionId,
  maxFragmentLengths,
} from './codec/extension.ts';
import { decodePointFormats, encodeGroups, namedGroups, uncompressed, uncompressedOnly } from './codec/namedGroup.ts';
import { dtls12 } from './codec/record.ts';
import type { ServerHello } from './codec/serverHello.ts';
import type { NegotiatedCids } from './connectionId.ts';

/** The extensions of a client's hello. */
export function offersOf({
  suites,
  groups,
  cid,
  returnRoutability,
  maxFragmentLength,
}: ClientHandshakeOptions): Extensions {
  const offers = new Map([[ExtensionType.extendedMasterSecret as number, noBytes]]);
  if (suites.some(({ keyExchange }) => keyExchange === 'ecdhe-psk')) {
    offers.set(ExtensionType.supportedGroups, encodeGroups(groups ?? namedGroups));
    offers.set(ExtensionType.ecPointFormats, uncompressedOnly);
  }
  for (const [code, length] of maxFragmentLengths) {
    if (length === maxFragmentLength) offers.set(ExtensionType.maxFragmentLength, Uint8Array.of(code));
  }
  if (suites.some(({ cipher }) => cipher === 'aes-128-cbc')) offers.set(ExtensionType.encryptThenMac, noBytes);
  if (cid !== undefined) offers.set(ExtensionType.connectionId, encodeConnectionId(cid));
  if (cid !== undefined && returnRoutability === true) offers.set(ExtensionType.returnRoutability, noBytes);
  return offers;
}

/** What a ServerHello agrees to, if that is something that was offered. */
export function termsOf(hello: ServerHello, options: ClientHandshakeOptions): ClientTerms | ClientRefusal {
  if (hello.version !== dtls12) return refusal('protocol-version', AlertDescription.protocolVersion);
  const suite = cipherSuite(hello.cipherSuite);
  if (suite === undefined || !options.suites.includes(suite) || hello.compressionMethod !== 0) {
    return refusal('not-offered', AlertDescription.illegalParameter);
  }
  const offers = offersOf(options);
  for (const [type, data] of hello.extensions) {
    // What we did not ask for must not be answered (RFC 5246 §7.4.1.4); the suite value asks for renegotiation_info.
    if (!(offers.has(type) && isAnswered(type)) && type !== ExtensionType.renegotiationInfo) {
      return refusal('not-offered', AlertDescription.unsupportedExtension);
    }
    if (!isWellFormed(type, data)) return refusal('malformed', AlertDescription.handshakeFailure);
    // The same length, or the extension is not answered (RFC 6066 §4).
    if (type === ExtensionType.maxFragmentLength && !sameBytes(data, offers.get(type)!)) {
      return refusal('not-offered', AlertDescription.illegalParameter);
    }
  }
  // CBC is spoken with encrypt-then-MAC only, and nothing else with it (RFC 7366 §3).
  if ((suite.cipher === 'aes-128-cbc') !== hello.extensions.has(ExtensionType.encryptThenMac)) {
    return refusal('not-offered', AlertDescription.handshakeFailure);
  }
  const serverCid = hello.extensions.get(ExtensionType.connectionId);
  return {
    kind: 'agreed',
    suite,
    extended: hello.extensions.has(ExtensionType.extendedMasterSecret),
    serverRandom: hello.random,
    sessionId: hello.sessionId.slice(),
    cids: serverCid && {
      server: decodeConnectionId(serverCid)!.slice(),
      client: options.cid!,
      returnRoutability: hello.extensions.has(ExtensionType.returnRoutability),
    },
  };
}

/** What the ServerHello says is agreed. */
export interface ClientTerms {
  readonly kind: 'agreed';
  readonly suite: CipherSuite;
  readonly extended: boolean;
  readonly serverRandom: Bytes;
  /** What the server calls the session; empty if it will not be resumed. */
  readonly sessionId: Bytes;
  readonly cids: NegotiatedCids | undefined;
}

export interface ClientRefusal {
  readonly kind: 'refused';
  readonly fault: ClientFault;
  /** Of the alert that the server hears. */
  readonly description: number;
}

function refusal(fault: ClientFault, description: number): ClientRefusal {
  return { kind: 'refused', fault, description };
}

/** The groups are the client's to name, and no answer to a hello (RFC 8422 §5.2). */
function isAnswered(type: number): boolean {
  return type !== ExtensionType.supportedGroups;
}

/** On a first handshake the server's renegotiation_info must be empty (RFC 5746 §3.4); most others have no content at all. */
function isWellFormed(type: number, data: Bytes): boolean {
  if (type === ExtensionType.ecPointFormats) return decodePointFormats(data)?.includes(uncompressed) === true;
  if (type === ExtensionType.renegotiationInfo) return data.length === 1 && data[0] === 0;
  if (type === ExtensionType.connectionId) return decodeConnectionId(data) !== undefined;
  if (type === ExtensionType.maxFragmentLength) return data.length === 1;
  return data.length === 0;
}
