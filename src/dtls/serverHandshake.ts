import { type Bytes, concatBytes, noBytes, sameBytes } from '../base/bytes.ts';
import type { RandomSource } from '../base/random.ts';
import { AlertDescription, encodeAlert } from './codec/alert.ts';
import { type CipherSuite, cipherSuiteName, emptyRenegotiationInfoScsv } from './codec/cipherSuite.ts';
import { type ClientHello, decodeClientHello } from './codec/clientHello.ts';
import { type Extensions, ExtensionType } from './codec/extension.ts';
import { encodeHandshake, type Fragment, HandshakeType, handshakeHeaderLength } from './codec/handshake.ts';
import { decodeClientKeyExchange } from './codec/keyExchange.ts';
import { ContentType, type DtlsRecord, dtls12, encodePlainRecord } from './codec/record.ts';
import { encodeServerHello } from './codec/serverHello.ts';
import type { Hmac } from './crypto/hmac.ts';
import { KeySchedule, type SessionKeys, verifyDataLength } from './crypto/keySchedule.ts';
import type { HandshakeFault } from './fault.ts';
import { type CookieVerified, FinishedVerified } from './proof.ts';
import { openRecord, sealRecord } from './protection.ts';
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
 * It only ever answers through what its methods return. The last flight does not leave before `lastFlight` is asked
 * for: the session has to be durable first. An identity that nobody knows gets a key that nobody has, so that it fails
 * in the same step, in the same way and in about the same time as a wrong key does.
 */
export class ServerHandshake {
  /** The random of the ClientHello that it began with: a hello with another one is another handshake. */
  readonly clientRandom: Bytes;
  state: State = 'client-hello';
  /** Whether the operator was told already why this one fails. */
  reported = false;
  identity: Bytes | undefined;

  readonly #policy: HandshakePolicy;
  readonly #random: RandomSource;
  readonly #reassembly: Reassembly;
  /** Sequence number of our next record in epoch 0. */
  #plainSequence: number;
  #transcript: Bytes[] = [];
  #suite: CipherSuite | undefined;
  #extended = false;
  #serverRandom: Bytes = noBytes;
  #owner: Owner | undefined;
  #schedule: KeySchedule | undefined;
  #keys: SessionKeys | undefined;
  #flight: readonly { type: number; body: Bytes }[] = [];
  /** Protected records that overtook ClientKeyExchange or ChangeCipherSpec. */
  #early: DtlsRecord[] = [];
  #changeCipherSpec = false;
  #alerted = false;

  /**
   * `recordSequence` and `messageSequence` of the ClientHello with the cookie: ours continue from them, since the
   * exchange before was stateless (RFC 6347 §4.2.1, §4.2.2).
   */
  constructor(
    _address: CookieVerified,
    policy: HandshakePolicy,
    random: RandomSource,
    clientRandom: Bytes,
    recordSequence: number,
    messageSequence: number,
  ) {
    this.#policy = policy;
    this.#random = random;
    this.clientRandom = clientRandom.slice();
    this.#plainSequence = recordSequence;
    this.#reassembly = new Reassembly(messageSequence, maxMessageLength);
  }

  /** Takes the fragments of one record in the clear. */
  receive(fragments: readonly Fragment[]): HandshakeStep {
    let old = false;
    for (const fragment of fragments) {
      const result = this.#reassembly.add(fragment);
      if (result === 'invalid') return this.#fail('malformed', AlertDescription.illegalParameter);
      if (result === 'old') old = true;
    }
    let step: HandshakeStep = nothing;
    for (let message = this.#reassembly.take(); message !== undefined; message = this.#reassembly.take()) {
      step = this.#message(message);
      if (step.kind !== 'nothing') break;
    }
    if (step.kind !== 'nothing') return step;
    // The client sends its hello again: our flight was lost (RFC 6347 §4.2.4).
    if (old && this.state === 'client-key-exchange') return this.retransmission();
    return this.#drainEarly();
  }

  /** ChangeCipherSpec is no handshake message, has no place in the order, and means nothing where it is not expected. */
  receiveChangeCipherSpec(): HandshakeStep {
    this.#changeCipherSpec = true;
    return this.#drainEarly();
  }

  /** Takes a record of epoch 1: it can only be the client's Finished. */
  receiveProtected(record: DtlsRecord): HandshakeStep {
    if (this.state === 'established' || this.state === 'failed') return nothing;
    if (this.state !== 'finished' || !this.#changeCipherSpec) {
      if (this.#early.length < maxEarlyRecords) {
        this.#early.push({ ...record, fragment: record.fragment.slice() });
      }
      return nothing;
    }
    return this.#finished(record);
  }

  /** Our last flight before the Finished once more, each record with a new sequence number. */
  retransmission(): HandshakeStep {
    if (this.state !== 'client-key-exchange') return nothing;
    return { kind: 'send', datagram: this.#flightDatagram() };
  }

  #message(message: HandshakeMessage): HandshakeStep {
    switch (this.state) {
      case 'client-hello':
        if (message.type !== HandshakeType.clientHello) break;
        return this.#clientHello(message);
      case 'client-key-exchange':
        if (message.type !== HandshakeType.clientKeyExchange) break;
        return this.#clientKeyExchange(message);
      default:
        break;
    }
    return this.#fail('unexpected-message', AlertDescription.unexpectedMessage);
  }

  #clientHello(message: HandshakeMessage): HandshakeStep {
    const hello = decodeClientHello(message.body);
    // The cookie bound the random of the first fragment: a hello that says otherwise now is somebody else's.
    if (hello === undefined || !sameBytes(hello.random, this.clientRandom)) {
      return this.#fail('malformed', AlertDescription.decodeError);
    }
    if (hello.version > dtls12) return this.#fail('protocol-version', AlertDescription.protocolVersion);
    const suite = this.#policy.suites.find(({ id }) => hello.cipherSuites.includes(id));
    if (suite === undefined) {
      const offered = hello.cipherSuites.slice(0, maxNamedSuites).map(cipherSuiteName).join(' ');
      return this.#fail('no-common-suite', AlertDescription.handshakeFailure, offered);
    }
    const renegotiation = hello.extensions.get(ExtensionType.renegotiationInfo);
    // On a first handshake the client's part must be empty (RFC 5746 §3.6).
    if (renegotiation !== undefined && (renegotiation.length !== 1 || renegotiation[0] !== 0)) {
      return this.#fail('malformed', AlertDescription.handshakeFailure);
    }
    this.#suite = suite;
    this.#extended = hello.extensions.has(ExtensionType.extendedMasterSecret);
    this.#serverRandom = this.#random.bytes(32);
    const serverHello = encodeServerHello({
      version: dtls12,
      random: this.#serverRandom,
      sessionId: noBytes,
      cipherSuite: suite.id,
      compressionMethod: 0,
      extensions: this.#answerExtensions(hello),
    });
    const sequence = message.messageSequence;
    const answer = encodeHandshake(HandshakeType.serverHello, sequence, serverHello);
    const done = encodeHandshake(HandshakeType.serverHelloDone, sequence + 1, noBytes);
    this.#transcript = [message.transcript, answer, done];
    this.#flight = [
      { type: ContentType.handshake, body: answer },
      { type: ContentType.handshake, body: done },
    ];
    this.state = 'client-key-exchange';
    return { kind: 'send', datagram: this.#flightDatagram() };
  }

  #answerExtensions(hello: ClientHello): Extensions {
    const extensions = new Map<number, Bytes>();
    if (
      hello.extensions.has(ExtensionType.renegotiationInfo) ||
      hello.cipherSuites.includes(emptyRenegotiationInfoScsv)
    ) {
      extensions.set(ExtensionType.renegotiationInfo, Uint8Array.of(0));
    }
    if (this.#extended) extensions.set(ExtensionType.extendedMasterSecret, noBytes);
    return extensions;
  }

  #clientKeyExchange(message: HandshakeMessage): HandshakeStep {
    const decoded = decodeClientKeyExchange(message.body);
    if (decoded === undefined) return this.#fail('malformed', AlertDescription.decodeError);
    this.identity = decoded.identity.slice(0, maxReportedIdentity);
    const fake = this.#policy.fakeKeys.tag(decoded.identity).subarray(0, 16);
    const entry = decoded.identity.length <= maxIdentityLength ? this.#policy.psk.find(decoded.identity) : undefined;
    this.#owner = entry?.owner;
    this.#transcript.push(message.transcript);
    const schedule = new KeySchedule(
      this.#suite!,
      entry?.key ?? fake,
      { client: this.clientRandom, server: this.#serverRandom },
      this.#extended,
      concatBytes(...this.#transcript),
    );
    this.#schedule = schedule;
    this.#keys = schedule.keys();
    this.#flight = [];
    this.state = 'finished';
    return nothing;
  }

  #drainEarly(): HandshakeStep {
    if (this.state !== 'finished' || !this.#changeCipherSpec) return nothing;
    const records = this.#early;
    this.#early = [];
    let step: HandshakeStep = nothing;
    for (const record of records) {
      if (step.kind !== 'nothing') break;
      step = this.#finished(record);
    }
    return step;
  }

  #finished(record: DtlsRecord): HandshakeStep {
    const plaintext = openRecord(this.#suite!, this.#keys!.client, record);
    if (plaintext === undefined) return this.#notAuthentic();
    // Authentic, so whoever holds the key broke the protocol.
    const transcript = concatBytes(...this.#transcript);
    const expected = this.#schedule!.verifyData('client', transcript);
    const message = encodeHandshake(HandshakeType.finished, this.#reassembly.next, expected);
    if (record.type !== ContentType.handshake || plaintext.length !== handshakeHeaderLength + verifyDataLength) {
      return this.#fail('unexpected-message', AlertDescription.unexpectedMessage);
    }
    const proof = FinishedVerified.check(message, plaintext);
    if (proof === undefined || this.#owner === undefined) {
      return this.#fail('wrong-key', AlertDescription.decryptError);
    }
    const verifyData = this.#schedule!.verifyData('server', concatBytes(transcript, message));
    this.state = 'established';
    const result: Established = {
      proof,
      suite: this.#suite!,
      keys: this.#keys!,
      owner: this.#owner,
      identity: this.identity!,
      readSequence: record.sequence,
      finished: encodeHandshake(HandshakeType.finished, this.#reassembly.next, verifyData),
      plainSequence: this.#plainSequence,
    };
    this.#transcript = [];
    this.#schedule = undefined;
    return { kind: 'established', result };
  }

  /**
   * The first record that does not open is answered, once, in the clear; the handshake stays, so that a forged record
   * kills nothing (RFC 6347 §4.1.2.7).
   */
  #notAuthentic(): HandshakeStep {
    if (this.#alerted) return nothing;
    this.#alerted = true;
    return {
      kind: 'alert',
      fault: this.#owner === undefined ? 'unknown-identity' : 'wrong-key',
      datagram: this.#alertDatagram(AlertDescription.badRecordMac),
    };
  }

  #fail(fault: HandshakeFault, description: number, detail?: string): HandshakeStep {
    this.state = 'failed';
    return { kind: 'failed', fault, detail, datagram: this.#alertDatagram(description) };
  }

  #alertDatagram(description: number): Bytes {
    const alert = encodeAlert({ level: 'fatal', description });
    return encodePlainRecord(ContentType.alert, dtls12, this.#plainSequence++, alert);
  }

  #flightDatagram(): Bytes {
    return concatBytes(
      ...this.#flight.map(({ type, body }) => encodePlainRecord(type, dtls12, this.#plainSequence++, body)),
    );
  }
}

/** Named for what it waits for. */
type State = 'client-hello' | 'client-key-exchange' | 'finished' | 'established' | 'failed';

export interface HandshakePolicy {
  /** What we agree to, most wanted first. */
  readonly suites: readonly CipherSuite[];
  readonly psk: PskPort;
  /** Makes the key that stands in for an unknown identity's: the same at each attempt, as a real one would be. */
  readonly fakeKeys: Hmac;
}

/** What one input led to. */
export type HandshakeStep =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'send'; readonly datagram: Bytes }
  | { readonly kind: 'alert'; readonly fault: HandshakeFault; readonly datagram: Bytes }
  | {
      readonly kind: 'failed';
      readonly fault: HandshakeFault;
      readonly detail: string | undefined;
      readonly datagram: Bytes;
    }
  | { readonly kind: 'established'; readonly result: Established };

/** A session as the handshake leaves it. */
export interface Established {
  readonly proof: FinishedVerified;
  readonly suite: CipherSuite;
  readonly keys: SessionKeys;
  readonly owner: Owner;
  readonly identity: Bytes;
  /** The sequence number of the client's Finished: the first that the replay window knows. */
  readonly readSequence: number;
  /** Our Finished, for the last flight and its retransmissions. */
  readonly finished: Bytes;
  /** Sequence number of our next record in epoch 0. */
  readonly plainSequence: number;
}

/** ChangeCipherSpec, then Finished under the new keys (flight 6); `sequence` counts in epoch 1. */
export function lastFlight(established: Established, plainSequence: number, sequence: number): Bytes {
  const { suite, keys, finished } = established;
  return concatBytes(
    encodePlainRecord(ContentType.changeCipherSpec, dtls12, plainSequence, Uint8Array.of(1)),
    sealRecord(suite, keys.server, ContentType.handshake, 1, sequence, finished),
  );
}

const nothing: HandshakeStep = { kind: 'nothing' };
/** A ClientHello with every suite and extension there is stays below this. */
const maxMessageLength = 2048;
const maxIdentityLength = 128;
const maxReportedIdentity = 128;
const maxEarlyRecords = 2;
const maxNamedSuites = 32;
