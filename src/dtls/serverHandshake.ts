import { type Bytes, concatBytes, noBytes, sameBytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import { type Instant, type Milliseconds, type Now, wallAfter } from '../base/time.ts';
import { assertNever } from '../base/unreachable.ts';
import { AlertDescription, encodeAlert } from './codec/alert.ts';
import { type ClientHello, decodeClientHello } from './codec/clientHello.ts';
import { decodeClientKeyExchange } from './codec/clientKeyExchange.ts';
import { ExtensionType, encodeConnectionId } from './codec/extension.ts';
import { encodeHandshake, type Fragment, HandshakeType, handshakeHeaderLength } from './codec/handshake.ts';
import { ContentType, changeCipherSpec, type DtlsRecord, dtls12, encodePlainRecord } from './codec/record.ts';
import { encodeServerHello } from './codec/serverHello.ts';
import { encodeServerKeyExchange } from './codec/serverKeyExchange.ts';
import type { ConnectionIds, NegotiatedCids } from './connectionId.ts';
import { type EphemeralKey, ephemeralKey } from './crypto/ecdhe.ts';
import type { Hmac } from './crypto/hmac.ts';
import { KeySchedule, premasterSecret, type SessionKeys, verifyDataLength } from './crypto/keySchedule.ts';
import type { Established } from './established.ts';
import type { HandshakeFault } from './fault.ts';
import type { KeyLog } from './keyLog.ts';
import { answerTo, type NegotiationPolicy, negotiate, type Terms } from './negotiation.ts';
import { type CookieVerified, FinishedVerified } from './proof.ts';
import { openRecord, protectedLength, sealRecord } from './protection.ts';
import type { Owner } from './psk.ts';
import { type HandshakeMessage, Reassembly } from './reassembly.ts';
import type { ResumableSession, Resumption } from './resumption.ts';

/**
 * The server's side of one PSK handshake after its cookie was verified (RFC 6347 §4.2.4, RFC 4279 §2, RFC 5489 §2):
 *
 * ```
 *   Client                                   Server
 *   ClientHello + cookie   -------->                          Flight 3
 *                                       ServerHello        \
 *                                       ServerKeyExchange*  \  Flight 4     * only in ECDHE_PSK suites
 *                          <--------    ServerHelloDone     /
 *   ClientKeyExchange (identity) \
 *   [ChangeCipherSpec]            \                           Flight 5
 *   Finished               --------/ -->
 *                                       [ChangeCipherSpec] \  Flight 6
 *                          <--------    Finished           /
 * ```
 *
 * or, if the hello names a session that may be resumed (RFC 5246 §7.3, figure 2):
 *
 * ```
 *   ClientHello (session id) + cookie -->                     Flight 3
 *                                       ServerHello        \
 *                                       [ChangeCipherSpec]  \  Flight 4
 *                          <--------    Finished            /
 *   [ChangeCipherSpec] \                                      Flight 5
 *   Finished     ------/ -->
 * ```
 *
 * It answers only by what its methods return, and never sends flight 6: the session has to be durable first, and whoever
 * keeps it sends that flight, and sends it again. An identity that nobody knows gets a key that nobody has, so that it
 * fails in the same step, in the same way and in about the same time as a wrong key does. Resumption proves the same as
 * a full handshake: the session stands only once the client's Finished verified.
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
  readonly #at: Now;
  readonly #reassembly: Reassembly;
  /** Sequence numbers of our next records, in epoch 0 and in epoch 1. */
  #plainSequence: number;
  #sealedSequence = 0;
  #state: State = { expects: 'client-hello' };
  #alerted = false;

  constructor(_address: CookieVerified, peer: Peer, policy: HandshakePolicy, random: RandomSource, hello: FirstHello) {
    this.peer = peer;
    this.#policy = policy;
    this.#random = random;
    this.#at = hello.at;
    this.clientRandom = hello.clientRandom.slice();
    this.#plainSequence = hello.recordSequence;
    // A client has one message at a time to send in clear: nothing can rightly overtake it.
    this.#reassembly = new Reassembly(hello.messageSequence, maxMessageLength, 1);
  }

  /** Whose key the client has to prove, once it has named somebody we know. */
  get owner(): Owner | undefined {
    return this.#state.expects === 'change-cipher-spec' || this.#state.expects === 'finished'
      ? this.#state.keyed.owner
      : undefined;
  }

  /** Takes the handshake messages of one record in clear. */
  receive(fragments: readonly Fragment[]): HandshakeStep {
    // Once there are keys only a hello that is sent again rightly comes in clear, and nothing there ends a handshake.
    const inClear = this.#state.expects === 'client-hello' || this.#state.expects === 'client-key-exchange';
    let retransmitted = false;
    for (const fragment of fragments) {
      if (!inClear && fragment.type !== HandshakeType.clientHello) continue;
      const added = this.#reassembly.add(fragment);
      if (added === 'too-long' && this.#state.expects === 'client-hello') {
        return this.#fail('malformed', AlertDescription.decodeError, `a ClientHello of ${fragment.length} bytes`);
      }
      if (added === 'retransmitted') retransmitted = true;
    }
    for (let message = inClear ? this.#reassembly.take() : undefined; message; message = this.#reassembly.take()) {
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
    const { terms, cids } = state.expects === 'client-key-exchange' ? state.agreed : state.keyed;
    const finishedLength = protectedLength(terms.suite, handshakeHeaderLength + verifyDataLength);
    // What was agreed to holds from the first protected record on (RFC 9146 §3); the type behind it may be padded.
    if (!sameBytes(record.cid, cids?.server ?? noBytes)) return nothing;
    const padding = record.fragment.length - finishedLength;
    const mayPad = cids !== undefined || terms.suite.cipher === 'aes-128-cbc';
    const fits =
      (cids !== undefined || record.type === ContentType.handshake) &&
      padding >= 0 &&
      padding <= (mayPad ? maxFinishedPadding : 0);
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
    const state = this.#state;
    if (state.expects === 'client-key-exchange') return { kind: 'send', datagram: this.#inClear(state.flight) };
    if (state.expects !== 'change-cipher-spec' && state.expects !== 'finished') return nothing;
    const { keyed } = state;
    return keyed.resumed === undefined
      ? nothing
      : { kind: 'send', datagram: this.#resumedFlight(keyed, keyed.resumed) };
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
    const terms = negotiate(hello, this.#policy, this.#at.wall);
    if (terms.kind === 'refused') return this.#fail(terms.fault, terms.description, terms.detail);
    return terms.session === undefined
      ? this.#answerInFull(message, hello, terms)
      : this.#resume(message, hello, terms, terms.session);
  }

  #answerInFull(message: HandshakeMessage, hello: ClientHello, terms: Terms): HandshakeStep {
    // A session without extended master secret must not be resumed, so it needs no name (RFC 7627 §5.3).
    const sessionId = terms.extended ? this.#policy.resumption?.idOf(this.peer) : undefined;
    const { body, serverRandom, cids } = this.#serverHello(hello, terms, sessionId ?? noBytes);
    const flight = [encodeHandshake(HandshakeType.serverHello, message.messageSequence, body)];
    const send = (type: number, body: Bytes): void =>
      void flight.push(encodeHandshake(type, message.messageSequence + flight.length, body));
    const ephemeral = terms.group && ephemeralKey(terms.group, this.#random);
    if (ephemeral !== undefined) {
      send(HandshakeType.serverKeyExchange, encodeServerKeyExchange({ hint: noBytes, share: ephemeral }));
    }
    send(HandshakeType.serverHelloDone, noBytes);
    const transcript = concatBytes(message.transcript, ...flight);
    this.#state = {
      expects: 'client-key-exchange',
      agreed: {
        terms,
        serverRandom,
        cids,
        ephemeral,
        transcript,
        messageSequence: message.messageSequence + flight.length,
      },
      flight,
      overtook: { changeCipherSpec: false, finished: undefined },
    };
    return { kind: 'send', datagram: this.#inClear(flight) };
  }

  /** The server's Finished comes first here: it covers the two hellos, and the client's covers it too. */
  #resume(message: HandshakeMessage, hello: ClientHello, terms: Terms, session: ResumableSession): HandshakeStep {
    const { owner, identity } = session;
    // Who has heard our Finished believes in the session: so it is now or never that a limit says no.
    if (!this.#policy.mayComplete(this.#at.instant, owner)) {
      this.#state = { expects: 'nothing' };
      return { kind: 'held-off', identity };
    }
    const { body, serverRandom, cids } = this.#serverHello(hello, terms, hello.sessionId);
    const answer = encodeHandshake(HandshakeType.serverHello, message.messageSequence, body);
    const hellos = concatBytes(message.transcript, answer);
    const randoms = { client: this.clientRandom, server: serverRandom };
    const schedule = new KeySchedule(terms.suite, session.masterSecret, randoms);
    const verifyData = schedule.verifyData('server', hellos);
    const finished = encodeHandshake(HandshakeType.finished, message.messageSequence + 1, verifyData);
    const keyed: Keyed = {
      terms,
      schedule,
      keys: schedule.keys(),
      owner,
      cids,
      transcript: concatBytes(hellos, finished),
      messageSequence: message.messageSequence + 2,
      resumed: { answer, finished },
    };
    this.identity = identity;
    this.#state = { expects: 'change-cipher-spec', keyed, early: undefined };
    return this.retransmission();
  }

  #serverHello(hello: ClientHello, terms: Terms, sessionId: Bytes) {
    const serverRandom = this.#random.bytes(32);
    const cids = this.#cidsFor(terms);
    const extensions = answerTo(hello, terms);
    if (cids !== undefined) extensions.set(ExtensionType.connectionId, encodeConnectionId(cids.server));
    if (cids?.returnRoutability === true) extensions.set(ExtensionType.returnRoutability, noBytes);
    const body = encodeServerHello({
      version: dtls12,
      random: serverRandom,
      sessionId,
      cipherSuite: terms.suite.id,
      compressionMethod: 0,
      extensions,
    });
    return { body, serverRandom, cids };
  }

  #clientKeyExchange({ agreed, overtook }: ExpectsClientKeyExchange, message: HandshakeMessage): HandshakeStep {
    const { terms, ephemeral, cids } = agreed;
    const decoded = decodeClientKeyExchange(message.body, terms.suite);
    if (decoded === undefined) return this.#fail('malformed', AlertDescription.decodeError);
    const { identity, point } = decoded;
    this.identity = identity.slice(0, maxIdentityLength);
    const shared = point && ephemeral?.agree(point);
    if (ephemeral !== undefined && shared === undefined) {
      return this.#fail('malformed', AlertDescription.illegalParameter, 'no point of the curve');
    }
    // Made for a known identity too, so that both take the same time.
    const fake = this.#policy.fakeKeys.tag(identity).subarray(0, fakeKeyLength);
    const entry = identity.length <= maxIdentityLength ? this.#policy.psk.find(identity) : undefined;
    const transcript = concatBytes(agreed.transcript, message.transcript);
    const randoms = { client: this.clientRandom, server: agreed.serverRandom };
    const premaster = premasterSecret(entry?.key ?? fake, shared);
    const schedule = KeySchedule.full(terms.suite, premaster, randoms, terms.extended, transcript);
    const keys = schedule.keys();
    const { messageSequence } = agreed;
    const owner = entry?.owner;
    const keyed: Keyed = { terms, schedule, keys, owner, cids, transcript, messageSequence, resumed: undefined };
    this.#state = { expects: 'change-cipher-spec', keyed, early: overtook.finished };
    return overtook.changeCipherSpec ? this.receiveChangeCipherSpec() : nothing;
  }

  #finished(keyed: Keyed, record: DtlsRecord): HandshakeStep | { readonly kind: 'not-authentic' } {
    const { terms, schedule, keys, owner } = keyed;
    const opened = openRecord(terms.suite, keys.client, record);
    if (opened === undefined) return notAuthentic;
    // Who resumes may speak as soon as it heard our Finished: that its own is late, or was lost, is no lie.
    if (opened.type !== ContentType.handshake) return nothing;
    const verifyData = schedule.verifyData('client', keyed.transcript);
    const expected = encodeHandshake(HandshakeType.finished, this.#reassembly.next, verifyData);
    const proof = FinishedVerified.check(expected, opened.plaintext);
    // The record is authentic, so whoever holds the key made it and says something else than we do about what was said.
    if (proof === undefined || owner === undefined) {
      return this.#fail('transcript-differs', AlertDescription.decryptError);
    }
    this.#state = { expects: 'nothing' };
    this.#policy.keyLog?.secret(this.clientRandom, schedule.masterSecret);
    const lastFlight = {
      verifyData: schedule.verifyData('server', concatBytes(keyed.transcript, expected)),
      messageSequence: keyed.messageSequence,
      plainSequence: this.#plainSequence,
    };
    const result: Established = {
      proof,
      suite: terms.suite,
      keys,
      owner,
      identity: this.identity!,
      maxPlaintext: terms.maxPlaintext,
      cids: keyed.cids,
      clientRandom: this.clientRandom,
      readSequence: record.sequence,
      writeSequence: this.#sealedSequence,
      lastFlight: keyed.resumed === undefined ? lastFlight : undefined,
      resumption: this.#resumptionOf(keyed),
    };
    return { kind: 'established', result };
  }

  #resumptionOf({ terms, schedule }: Keyed): Resumption | undefined {
    if (terms.session !== undefined) return terms.session;
    if (!terms.extended || this.#policy.resumption === undefined) return undefined;
    const until = wallAfter(this.#at.wall, this.#policy.resumptionLifetime);
    return { origin: this.peer, masterSecret: schedule.masterSecret, until };
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
      fault: faultOf(keyed),
      datagram: this.#alertDatagram(AlertDescription.badRecordMac),
    };
  }

  /** Agreed on anew in each handshake, in one that resumes a session too (RFC 9146 §3). */
  #cidsFor({ clientCid, returnRoutability }: Terms): NegotiatedCids | undefined {
    const { cids } = this.#policy;
    if (cids === undefined || clientCid === undefined) return undefined;
    return { server: cids.of(this.peer), client: clientCid.slice(), returnRoutability };
  }

  #fail(fault: HandshakeFault, description: number, detail?: string): HandshakeStep {
    this.#state = { expects: 'nothing' };
    return { kind: 'failed', fault, detail, datagram: this.#alertDatagram(description) };
  }

  #alertDatagram(description: number): Bytes {
    const alert = encodeAlert({ level: 'fatal', description });
    return encodePlainRecord(ContentType.alert, dtls12, this.#plainSequence++, alert);
  }

  #inClear(messages: readonly Bytes[]): Bytes {
    return concatBytes(
      ...messages.map(message => encodePlainRecord(ContentType.handshake, dtls12, this.#plainSequence++, message)),
    );
  }

  #resumedFlight({ terms, keys, cids }: Keyed, { answer, finished }: Resumed): Bytes {
    const hello = this.#inClear([answer]);
    const change = encodePlainRecord(ContentType.changeCipherSpec, dtls12, this.#plainSequence++, changeCipherSpec);
    const { suite } = terms;
    const sequence = this.#sealedSequence++;
    const sealed = sealRecord(suite, keys.server, ContentType.handshake, 1, sequence, finished, cids?.client);
    return concatBytes(hello, change, sealed);
  }
}

export interface HandshakePolicy extends NegotiationPolicy {
  /** `undefined`: connection IDs are not offered to anybody. */
  readonly cids: ConnectionIds | undefined;
  /** Makes the key that stands in for an unknown identity's: the same at each attempt, as a real one would be. */
  readonly fakeKeys: Hmac;
  /** `undefined`: nobody is told the secrets. */
  readonly keyLog: KeyLog | undefined;
  /** For how long after its full handshake a session may be resumed. */
  readonly resumptionLifetime: Milliseconds;
  /** Whether this owner may complete one more handshake. Asks, and charges nothing. */
  mayComplete(now: Instant, owner: Owner): boolean;
}

/**
 * The ClientHello with the cookie, and when it came. Our numbers continue from its own, since the exchange before was
 * stateless (RFC 6347 §4.2.1, §4.2.2).
 */
export interface FirstHello {
  readonly at: Now;
  readonly clientRandom: Bytes;
  readonly recordSequence: number;
  readonly messageSequence: number;
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
  | { readonly kind: 'established'; readonly result: Established }
  /** The hello is to stay unanswered: the session that it names belongs to somebody who has handshaken too often of late. */
  | { readonly kind: 'held-off'; readonly identity: Bytes };

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
  readonly terms: Terms;
  readonly serverRandom: Bytes;
  readonly cids: NegotiatedCids | undefined;
  /** Our half of the ephemeral exchange, if the suite has one. */
  readonly ephemeral: EphemeralKey | undefined;
  readonly transcript: Bytes;
  /** Of our next message: what we sent decides it, and ServerKeyExchange is not always there. */
  readonly messageSequence: number;
}

interface Keyed {
  readonly terms: Terms;
  readonly schedule: KeySchedule;
  readonly keys: SessionKeys;
  /** `undefined`: the key is one that nobody has. */
  readonly owner: Owner | undefined;
  readonly cids: NegotiatedCids | undefined;
  /** All that comes before the client's Finished. */
  readonly transcript: Bytes;
  /** Of our next message. */
  readonly messageSequence: number;
  /** Our flight, if it is a session that is resumed; else the client has all of it. */
  readonly resumed: Resumed | undefined;
}

/** ServerHello and Finished, as messages. */
interface Resumed {
  readonly answer: Bytes;
  readonly finished: Bytes;
}

/** Why a Finished does not open. */
function faultOf({ owner, resumed }: Keyed): HandshakeFault {
  if (resumed !== undefined) return 'wrong-session-secret';
  return owner === undefined ? 'unknown-identity' : 'wrong-key';
}

function copyOf(record: DtlsRecord): DtlsRecord {
  return { ...record, fragment: record.fragment.slice() };
}

const nothing: HandshakeStep = { kind: 'nothing' };
const notAuthentic = { kind: 'not-authentic' } as const;
/** A ClientHello with every suite and extension there is stays below this. */
const maxMessageLength = 2048;
/** RFC 4279 §5.3 */
const maxIdentityLength = 128;
const fakeKeyLength = 16;
/** Some blocks, or the type and some zeros, if the client likes to hide how long a Finished is. */
const maxFinishedPadding = 64;
