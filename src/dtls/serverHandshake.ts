import { type Bytes, concatBytes, noBytes, sameBytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import { assertNever } from '../base/unreachable.ts';
import { AlertDescription, encodeAlert } from './codec/alert.ts';
import { type CipherSuite, cipherSuiteName, emptyRenegotiationInfoScsv } from './codec/cipherSuite.ts';
import { type ClientHello, decodeClientHello } from './codec/clientHello.ts';
import { decodeClientKeyExchange } from './codec/clientKeyExchange.ts';
import {
  decodeConnectionId,
  type Extensions,
  ExtensionType,
  encodeConnectionId,
  maxFragmentLengths,
} from './codec/extension.ts';
import { encodeHandshake, type Fragment, HandshakeType, handshakeHeaderLength } from './codec/handshake.ts';
import { ContentType, type DtlsRecord, dtls12, encodePlainRecord, maxPlaintextLength } from './codec/record.ts';
import { encodeServerHello } from './codec/serverHello.ts';
import type { ConnectionIds, NegotiatedCids } from './connectionId.ts';
import type { Hmac } from './crypto/hmac.ts';
import { KeySchedule, type SessionKeys, verifyDataLength } from './crypto/keySchedule.ts';
import type { HandshakeFault } from './fault.ts';
import { type CookieVerified, FinishedVerified } from './proof.ts';
import { openRecord, protectionOverhead } from './protection.ts';
import type { Owner, PskPort } from './psk.ts';
import { type HandshakeMessage, Reassembly } from './reassembly.ts';

/**
 * The server's side of one PSK handshake after its cookie was verified (RFC 6347 §4.2.4, RFC 4279 §2):
 *
 * ```
 *   Client                                   Server
 *   ClientHello + cookie   -------->                        Flight 3
 *                                       ServerHello    \    Flight 4
 *                          <--------    ServerHelloDone /
 *   ClientKeyExchange (identity) \
 *   [ChangeCipherSpec]            \                         Flight 5
 *   Finished               --------/ -->
 *                                       [ChangeCipherSpec] \ Flight 6
 *                          <--------    Finished           /
 * ```
 *
 * It answers only by what its methods return, and never sends flight 6: the session has to be durable first, and whoever
 * keeps it sends that flight, and sends it again. An identity that nobody knows gets a key that nobody has, so that it
 * fails in the same step, in the same way and in about the same time as a wrong key does.
 */
export class ServerHandshake {
  /** The association that it becomes if it succeeds. */
  readonly peer: Peer;
  /** The random of the ClientHello that it began with: a hello with another one is another handshake. */
  readonly clientRandom: Bytes;
  /** Whom the client says it is, once it has said so: the first 128 bytes of it. */
  identity: Bytes | undefined;
  /** What an alert in clear said. Anybody could have sent it, so it is worth a line in the log and nothing else. */
  alertInClear: number | undefined;
  /** Whether the operator was told already why this one fails. */
  reported = false;

  readonly #policy: HandshakePolicy;
  readonly #random: RandomSource;
  readonly #reassembly: Reassembly;
  /** Sequence number of our next record in epoch 0. */
  #plainSequence: number;
  #state: State = { expects: 'client-hello' };
  #alerted = false;

  /**
   * `recordSequence` and `messageSequence` of the ClientHello with the cookie: ours continue from them, since the
   * exchange before was stateless (RFC 6347 §4.2.1, §4.2.2).
   */
  constructor(
    _address: CookieVerified,
    peer: Peer,
    policy: HandshakePolicy,
    random: RandomSource,
    clientRandom: Bytes,
    recordSequence: number,
    messageSequence: number,
  ) {
    this.peer = peer;
    this.#policy = policy;
    this.#random = random;
    this.clientRandom = clientRandom.slice();
    this.#plainSequence = recordSequence;
    // A client has one message at a time to send in clear: nothing can rightly overtake it.
    this.#reassembly = new Reassembly(messageSequence, maxMessageLength, 1);
  }

  /** Whose key the client has to prove, once it has named somebody we know. */
  get owner(): Owner | undefined {
    return this.#state.expects === 'change-cipher-spec' || this.#state.expects === 'finished'
      ? this.#state.keyed.owner
      : undefined;
  }

  /** Takes the handshake messages of one record in clear. */
  receive(fragments: readonly Fragment[]): HandshakeStep {
    // After ClientKeyExchange nothing rightly comes in clear, and what anybody may have sent ends no handshake.
    if (this.#state.expects !== 'client-hello' && this.#state.expects !== 'client-key-exchange') return nothing;
    let retransmitted = false;
    for (const fragment of fragments) {
      const added = this.#reassembly.add(fragment);
      if (added === 'too-long' && this.#state.expects === 'client-hello') {
        return this.#fail('malformed', AlertDescription.decodeError, `a ClientHello of ${fragment.length} bytes`);
      }
      if (added === 'retransmitted') retransmitted = true;
    }
    for (let message = this.#reassembly.take(); message !== undefined; message = this.#reassembly.take()) {
      const step = this.#message(message);
      if (step.kind !== 'nothing') return step;
    }
    // The client sends its hello again: our flight was lost (RFC 6347 §4.2.4).
    return retransmitted ? this.retransmission() : nothing;
  }

  /**
   * ChangeCipherSpec stands in no order and carries nothing: it counts where it is expected, is remembered where it may
   * have overtaken ClientKeyExchange, and means nothing anywhere else (RFC 6347 §4.2.5).
   */
  receiveChangeCipherSpec(): HandshakeStep {
    const state = this.#state;
    if (state.expects === 'client-key-exchange') state.overtook.changeCipherSpec = true;
    if (state.expects !== 'change-cipher-spec') return nothing;
    this.#state = { expects: 'finished', keyed: state.keyed };
    if (state.early === undefined) return nothing;
    const step = this.#finished(state.keyed, state.early);
    if (step.kind !== 'not-authentic') return step;
    // Whatever came before its time may have been forged, to have the client hear an alert: the true one is on its way.
    return nothing;
  }

  /** Takes a record of epoch 1. It can only be the client's Finished; one that overtook what it needs is kept. */
  receiveProtected(record: DtlsRecord): HandshakeStep {
    const state = this.#state;
    if (state.expects === 'client-hello' || state.expects === 'nothing') return nothing;
    const { suite, cids } = state.expects === 'client-key-exchange' ? state.agreed : state.keyed;
    const finishedLength = handshakeHeaderLength + verifyDataLength + protectionOverhead(suite);
    // What was agreed to holds from the first protected record on (RFC 9146 §3); the type behind it may be padded.
    if (!sameBytes(record.cid, cids?.server ?? noBytes)) return nothing;
    const fits =
      cids === undefined
        ? record.type === ContentType.handshake && record.fragment.length === finishedLength
        : record.fragment.length > finishedLength && record.fragment.length <= finishedLength + maxFinishedPadding;
    if (!fits) return nothing;
    switch (state.expects) {
      case 'client-key-exchange':
        state.overtook.finished = copyOf(record);
        return nothing;
      case 'change-cipher-spec':
        state.early = copyOf(record);
        return nothing;
      case 'finished': {
        const step = this.#finished(state.keyed, record);
        return step.kind === 'not-authentic' ? this.#notAuthentic(state.keyed) : step;
      }
      default:
        return assertNever(state);
    }
  }

  /** The flight under way once more, each record with a new sequence number. */
  retransmission(): HandshakeStep {
    if (this.#state.expects !== 'client-key-exchange') return nothing;
    return { kind: 'send', datagram: this.#flightDatagram(this.#state.flight) };
  }

  #message(message: HandshakeMessage): HandshakeStep {
    const state = this.#state;
    if (state.expects === 'client-hello' && message.type === HandshakeType.clientHello) {
      return this.#clientHello(message);
    }
    if (state.expects === 'client-key-exchange' && message.type === HandshakeType.clientKeyExchange) {
      return this.#clientKeyExchange(state, message);
    }
    return this.#fail('unexpected-message', AlertDescription.unexpectedMessage);
  }

  #clientHello(message: HandshakeMessage): HandshakeStep {
    const hello = decodeClientHello(message.body);
    // The cookie bound the random of the first fragment: a hello that says otherwise now is somebody else's.
    if (hello === undefined || !sameBytes(hello.random, this.clientRandom)) {
      return this.#fail('malformed', AlertDescription.decodeError);
    }
    // Versions count down: what is larger is older, what is smaller is newer and knows ours too.
    if (hello.version > dtls12) return this.#fail('protocol-version', AlertDescription.protocolVersion);
    const suite = this.#policy.suites.find(({ id }) => hello.cipherSuites.includes(id));
    if (suite === undefined) {
      const offered = hello.cipherSuites.slice(0, maxNamedSuites).map(cipherSuiteName).join(' ');
      return this.#fail('no-common-suite', AlertDescription.handshakeFailure, offered);
    }
    const { extensions } = hello;
    // On a first handshake the client's part must be empty (RFC 5746 §3.6).
    const renegotiation = extensions.get(ExtensionType.renegotiationInfo);
    if (renegotiation !== undefined && !sameBytes(renegotiation, emptyRenegotiationInfo)) {
      return this.#fail('malformed', AlertDescription.handshakeFailure);
    }
    const fragmentLength = extensions.get(ExtensionType.maxFragmentLength);
    const maxPlaintext = fragmentLength === undefined ? maxPlaintextLength : fragmentLengthOf(fragmentLength);
    if (maxPlaintext === undefined) return this.#fail('malformed', AlertDescription.illegalParameter);
    const extended = extensions.get(ExtensionType.extendedMasterSecret);
    if (extended !== undefined && extended.length > 0) return this.#fail('malformed', AlertDescription.decodeError);

    const offeredCid = extensions.get(ExtensionType.connectionId);
    const clientCid = offeredCid && decodeConnectionId(offeredCid);
    if (offeredCid !== undefined && clientCid === undefined) {
      return this.#fail('malformed', AlertDescription.decodeError);
    }
    const cids = clientCid && this.#cidsFor(clientCid, extensions);

    const serverRandom = this.#random.bytes(32);
    const body = encodeServerHello({
      version: dtls12,
      random: serverRandom,
      sessionId: noBytes,
      cipherSuite: suite.id,
      compressionMethod: 0,
      extensions: answerTo(hello, cids),
    });
    const answer = encodeHandshake(HandshakeType.serverHello, message.messageSequence, body);
    const done = encodeHandshake(HandshakeType.serverHelloDone, message.messageSequence + 1, noBytes);
    const flight = [answer, done];
    const transcript = concatBytes(message.transcript, answer, done);
    this.#state = {
      expects: 'client-key-exchange',
      agreed: { suite, serverRandom, extended: extended !== undefined, maxPlaintext, cids, transcript },
      flight,
      overtook: { changeCipherSpec: false, finished: undefined },
    };
    return { kind: 'send', datagram: this.#flightDatagram(flight) };
  }

  #clientKeyExchange({ agreed, overtook }: ExpectsClientKeyExchange, message: HandshakeMessage): HandshakeStep {
    const decoded = decodeClientKeyExchange(message.body);
    if (decoded === undefined) return this.#fail('malformed', AlertDescription.decodeError);
    const { identity } = decoded;
    this.identity = identity.slice(0, maxIdentityLength);
    // Made for a known identity too, so that both take the same time.
    const fake = this.#policy.fakeKeys.tag(identity).subarray(0, fakeKeyLength);
    const entry = identity.length <= maxIdentityLength ? this.#policy.psk.find(identity) : undefined;
    const { suite, extended, maxPlaintext, cids } = agreed;
    const transcript = concatBytes(agreed.transcript, message.transcript);
    const randoms = { client: this.clientRandom, server: agreed.serverRandom };
    const schedule = new KeySchedule(suite, entry?.key ?? fake, randoms, extended, transcript);
    const keyed = { suite, schedule, keys: schedule.keys(), owner: entry?.owner, maxPlaintext, cids, transcript };
    this.#state = { expects: 'change-cipher-spec', keyed, early: overtook.finished };
    return overtook.changeCipherSpec ? this.receiveChangeCipherSpec() : nothing;
  }

  #finished(keyed: Keyed, record: DtlsRecord): HandshakeStep | { readonly kind: 'not-authentic' } {
    const opened = openRecord(keyed.suite, keyed.keys.client, record);
    if (opened === undefined) return notAuthentic;
    const messageSequence = this.#reassembly.next;
    const verifyData = keyed.schedule.verifyData('client', keyed.transcript);
    const expected = encodeHandshake(HandshakeType.finished, messageSequence, verifyData);
    const proof =
      opened.type === ContentType.handshake ? FinishedVerified.check(expected, opened.plaintext) : undefined;
    // The record is authentic, so whoever holds the key made it and says something else than we do about what was said.
    if (proof === undefined || keyed.owner === undefined) {
      return this.#fail('transcript-differs', AlertDescription.decryptError);
    }
    this.#state = { expects: 'nothing' };
    const result: Established = {
      proof,
      suite: keyed.suite,
      keys: keyed.keys,
      owner: keyed.owner,
      identity: this.identity!,
      maxPlaintext: keyed.maxPlaintext,
      cids: keyed.cids,
      clientRandom: this.clientRandom,
      readSequence: record.sequence,
      verifyData: keyed.schedule.verifyData('server', concatBytes(keyed.transcript, expected)),
      messageSequence,
      plainSequence: this.#plainSequence,
    };
    return { kind: 'established', result };
  }

  /**
   * The first record that does not open is answered, once, in clear: else a device with a wrong key would only see its
   * time run out. RFC 6347 §4.1.2.1 would have us end the handshake with it; we keep it, since the record may have been
   * forged, and a forged record must not keep out a device whose key is right.
   */
  #notAuthentic(keyed: Keyed): HandshakeStep {
    if (this.#alerted) return nothing;
    this.#alerted = true;
    return {
      kind: 'alert',
      fault: keyed.owner === undefined ? 'unknown-identity' : 'wrong-key',
      datagram: this.#alertDatagram(AlertDescription.badRecordMac),
    };
  }

  #cidsFor(client: Bytes, extensions: Extensions): NegotiatedCids | undefined {
    const returnRoutability = extensions.get(ExtensionType.returnRoutability)?.length === 0;
    return this.#policy.cids && { server: this.#policy.cids.of(this.peer), client: client.slice(), returnRoutability };
  }

  #fail(fault: HandshakeFault, description: number, detail?: string): HandshakeStep {
    this.#state = { expects: 'nothing' };
    return { kind: 'failed', fault, detail, datagram: this.#alertDatagram(description) };
  }

  #alertDatagram(description: number): Bytes {
    const alert = encodeAlert({ level: 'fatal', description });
    return encodePlainRecord(ContentType.alert, dtls12, this.#plainSequence++, alert);
  }

  #flightDatagram(flight: readonly Bytes[]): Bytes {
    return concatBytes(
      ...flight.map(message => encodePlainRecord(ContentType.handshake, dtls12, this.#plainSequence++, message)),
    );
  }
}

export interface HandshakePolicy {
  /** What we agree to, most wanted first. */
  readonly suites: readonly CipherSuite[];
  readonly psk: PskPort;
  /** `undefined`: connection IDs are not offered to anybody. */
  readonly cids: ConnectionIds | undefined;
  /** Makes the key that stands in for an unknown identity's: the same at each attempt, as a real one would be. */
  readonly fakeKeys: Hmac;
}

/** What one input led to. */
export type HandshakeStep =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'send'; readonly datagram: Bytes }
  /** Something to tell, and the handshake stays. */
  | { readonly kind: 'alert'; readonly fault: HandshakeFault; readonly datagram: Bytes }
  | {
      readonly kind: 'failed';
      readonly fault: HandshakeFault;
      readonly detail: string | undefined;
      readonly datagram: Bytes;
    }
  | { readonly kind: 'established'; readonly result: Established };

/** A session as the handshake leaves it. There is none without the proof. */
export interface Established {
  readonly proof: FinishedVerified;
  readonly suite: CipherSuite;
  readonly keys: SessionKeys;
  readonly owner: Owner;
  readonly identity: Bytes;
  /** How many bytes of plaintext a record may hold. */
  readonly maxPlaintext: number;
  /** If connection IDs are in use. */
  readonly cids: NegotiatedCids | undefined;
  readonly clientRandom: Bytes;
  /** The sequence number of the client's Finished: the first that the replay window knows. */
  readonly readSequence: number;
  /** What our Finished says, for the last flight and its retransmissions, and its message_seq. */
  readonly verifyData: Bytes;
  readonly messageSequence: number;
  /** Sequence number of our next record in epoch 0. */
  readonly plainSequence: number;
}

/** Named for what it waits for, and holding what that needs. */
type State =
  | { readonly expects: 'client-hello' }
  | ExpectsClientKeyExchange
  | { readonly expects: 'change-cipher-spec'; readonly keyed: Keyed; early: DtlsRecord | undefined }
  | { readonly expects: 'finished'; readonly keyed: Keyed }
  /** It succeeded or failed. */
  | { readonly expects: 'nothing' };

interface ExpectsClientKeyExchange {
  readonly expects: 'client-key-exchange';
  readonly agreed: Agreed;
  readonly flight: readonly Bytes[];
  /** What arrived before the ClientKeyExchange that it follows. */
  readonly overtook: { changeCipherSpec: boolean; finished: DtlsRecord | undefined };
}

interface Agreed {
  readonly suite: CipherSuite;
  readonly serverRandom: Bytes;
  readonly extended: boolean;
  readonly maxPlaintext: number;
  readonly cids: NegotiatedCids | undefined;
  readonly transcript: Bytes;
}

interface Keyed {
  readonly suite: CipherSuite;
  readonly schedule: KeySchedule;
  readonly keys: SessionKeys;
  /** `undefined`: the key is one that nobody has. */
  readonly owner: Owner | undefined;
  readonly maxPlaintext: number;
  readonly cids: NegotiatedCids | undefined;
  /** From the ClientHello to the ClientKeyExchange, both included. */
  readonly transcript: Bytes;
}

/** What the client asked for and we grant; what we do not know is left out (RFC 5246 §7.4.1.4). */
function answerTo({ cipherSuites, extensions }: ClientHello, cids: NegotiatedCids | undefined): Extensions {
  const answer = new Map<number, Bytes>();
  if (extensions.has(ExtensionType.renegotiationInfo) || cipherSuites.includes(emptyRenegotiationInfoScsv)) {
    answer.set(ExtensionType.renegotiationInfo, emptyRenegotiationInfo);
  }
  if (extensions.has(ExtensionType.extendedMasterSecret)) answer.set(ExtensionType.extendedMasterSecret, noBytes);
  const fragmentLength = extensions.get(ExtensionType.maxFragmentLength);
  if (fragmentLength !== undefined) answer.set(ExtensionType.maxFragmentLength, fragmentLength);
  if (cids !== undefined) answer.set(ExtensionType.connectionId, encodeConnectionId(cids.server));
  if (cids?.returnRoutability === true) answer.set(ExtensionType.returnRoutability, noBytes);
  return answer;
}

function fragmentLengthOf(extension: Bytes): number | undefined {
  return extension.length === 1 ? maxFragmentLengths.get(extension[0]!) : undefined;
}

function copyOf(record: DtlsRecord): DtlsRecord {
  return { ...record, fragment: record.fragment.slice() };
}

const nothing: HandshakeStep = { kind: 'nothing' };
const notAuthentic = { kind: 'not-authentic' } as const;
const emptyRenegotiationInfo: Bytes = Uint8Array.of(0);
/** A ClientHello with every suite and extension there is stays below this. */
const maxMessageLength = 2048;
/** RFC 4279 §5.3 */
const maxIdentityLength = 128;
const fakeKeyLength = 16;
const maxNamedSuites = 32;
/** The type, and some zeros if the client likes to hide how long a Finished is. */
const maxFinishedPadding = 64;
