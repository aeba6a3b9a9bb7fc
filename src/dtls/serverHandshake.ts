import { type Bytes, concatBytes, noBytes, sameBytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import { type Now, wallAfter } from '../base/time.ts';
import { assertNever } from '../base/unreachable.ts';
import { AlertDescription } from './codec/alert.ts';
import { decodeClientHello } from './codec/clientHello.ts';
import { decodeClientKeyExchange } from './codec/clientKeyExchange.ts';
import { encodeHandshake, type Fragment, HandshakeType, handshakeHeaderLength } from './codec/handshake.ts';
import { ContentType, type DtlsRecord } from './codec/record.ts';
import { KeySchedule, premasterSecret, verifyDataLength } from './crypto/keySchedule.ts';
import type { Established } from './established.ts';
import type { HandshakeFault } from './fault.ts';
import { HandshakeRecords, maxRepeated } from './handshakeRecords.ts';
import type { FirstHello, HandshakePolicy, HandshakeStep } from './handshakeStep.ts';
import { negotiate } from './negotiation.ts';
import { type CookieVerified, FinishedVerified } from './proof.ts';
import { openRecord, protectedLength } from './protection.ts';
import type { Owner } from './psk.ts';
import { type HandshakeMessage, Reassembly } from './reassembly.ts';
import type { ResumableSession, Resumption } from './resumption.ts';
import { answerInFull, answerResumed, type HeardHello } from './serverAnswer.ts';
import type { ExpectsClientKeyExchange, Keyed, Resumed, ServerState } from './serverState.ts';

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
  readonly #records: HandshakeRecords;
  #state: ServerState = { expects: 'client-hello' };
  #alerted = false;
  /** How often the client asked for our flight again. */
  #repeated = 0;

  constructor(_address: CookieVerified, peer: Peer, policy: HandshakePolicy, random: RandomSource, hello: FirstHello) {
    this.peer = peer;
    this.#policy = policy;
    this.#random = random;
    this.#at = hello.at;
    this.clientRandom = hello.clientRandom.slice();
    this.#records = new HandshakeRecords(hello.recordSequence);
    // A client has one message at a time to send in clear: nothing can rightly overtake it.
    this.#reassembly = new Reassembly(hello.messageSequence, maxMessageLength, 1);
  }

  /** Whose key the client has to prove, once it has named somebody we know. */
  get owner(): Owner | undefined {
    return this.#state.expects === 'change-cipher-spec' || this.#state.expects === 'finished'
      ? this.#state.keyed.owner
      : undefined;
  }

  /** Whose session it resumes, if that is what it does. */
  get resuming(): Owner | undefined {
    const state = this.#state;
    if (state.expects !== 'change-cipher-spec' && state.expects !== 'finished') return undefined;
    return state.keyed.resumed === undefined ? undefined : state.keyed.owner;
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
    // The client sends its hello again: our flight was lost (RFC 6347 §4.2.4). Not without end: in clear it may be anybody
    // who has our flight, which is longer, sent to somebody else.
    return retransmitted && this.#repeated++ < maxRepeated ? this.retransmission() : nothing;
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
    if (state.expects === 'client-key-exchange')
      return { kind: 'send', datagram: this.#records.messages(state.flight) };
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
    const heard = { message, hello, terms };
    return terms.session === undefined ? this.#answer(heard) : this.#resume(heard, terms.session);
  }

  #answer(heard: HeardHello): HandshakeStep {
    const answered = answerInFull(this.#policy, this.#random, this.peer, heard);
    const overtook = { changeCipherSpec: false, finished: undefined };
    this.#state = { expects: 'client-key-exchange', ...answered, overtook };
    return { kind: 'send', datagram: this.#records.messages(answered.flight) };
  }

  #resume(heard: HeardHello, session: ResumableSession): HandshakeStep {
    const { owner, identity } = session;
    // Who has heard our Finished believes in the session: so it is now or never that a limit says no.
    if (!this.#policy.mayComplete(this.#at.instant, owner)) {
      this.#state = { expects: 'nothing' };
      return { kind: 'held-off', identity };
    }
    this.identity = identity;
    const keyed = answerResumed(this.#policy, this.#random, this.peer, heard, session);
    this.#state = { expects: 'change-cipher-spec', keyed, early: undefined };
    return this.retransmission();
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
      plainSequence: this.#records.plainSequence,
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
      writeSequence: this.#records.sealedSequence,
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
      datagram: this.#records.alert(AlertDescription.badRecordMac),
    };
  }

  #fail(fault: HandshakeFault, description: number, detail?: string): HandshakeStep {
    this.#state = { expects: 'nothing' };
    return { kind: 'failed', fault, detail, datagram: this.#records.alert(description) };
  }

  #resumedFlight({ terms, keys, cids }: Keyed, { answer, finished }: Resumed): Bytes {
    return concatBytes(
      this.#records.messages([answer]),
      this.#records.changeCipherSpec(),
      this.#records.sealed(terms.suite, keys.server, finished, cids?.client),
    );
  }
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
