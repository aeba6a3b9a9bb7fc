import { type Bytes, concatBytes, noBytes, sameBytes } from '../base/bytes.ts';
import type { RandomSource } from '../base/random.ts';
import { AlertDescription, encodeAlert } from './codec/alert.ts';
import { type CipherSuite, cipherSuite, emptyRenegotiationInfoScsv } from './codec/cipherSuite.ts';
import { encodeClientHello, nullCompression } from './codec/clientHello.ts';
import { encodeClientKeyExchange } from './codec/clientKeyExchange.ts';
import {
  decodeConnectionId,
  type Extensions,
  ExtensionType,
  encodeConnectionId,
  type MaxFragmentLength,
  maxFragmentLengths,
} from './codec/extension.ts';
import { encodeHandshake, type Fragment, HandshakeType } from './codec/handshake.ts';
import { decodeHelloVerifyRequest } from './codec/helloVerifyRequest.ts';
import {
  decodePointFormats,
  encodeGroups,
  type NamedGroup,
  namedGroup,
  namedGroups,
  uncompressed,
  uncompressedOnly,
} from './codec/namedGroup.ts';
import { ContentType, changeCipherSpec, type DtlsRecord, dtls10, dtls12, encodePlainRecord } from './codec/record.ts';
import { decodeServerHello } from './codec/serverHello.ts';
import { decodeServerKeyExchange, type ServerKeyExchange } from './codec/serverKeyExchange.ts';
import type { NegotiatedCids } from './connectionId.ts';
import { ephemeralKey } from './crypto/ecdhe.ts';
import { KeySchedule, premasterSecret, type SessionKeys } from './crypto/keySchedule.ts';
import { FinishedVerified } from './proof.ts';
import { openRecord, sealRecord } from './protection.ts';
import { type HandshakeMessage, Reassembly } from './reassembly.ts';

/** The client's side of one PSK handshake; `serverHandshake.ts` draws the ladder. It answers only by what it returns. */
export class ClientHandshake {
  readonly #options: ClientHandshakeOptions;
  readonly #clientRandom: Bytes;
  readonly #reassembly = new Reassembly(0, maxMessageLength, maxAhead);
  #state: State = { expects: 'server-hello' };
  #flight: readonly Outgoing[] = [];
  #verifyRequests = 0;
  /** The message_seq of our next message. */
  #messageSequence = 0;
  /** Sequence numbers of our next records, in epoch 0 and in epoch 1. */
  #plainSequence = 0;
  #sealedSequence = 0;
  /** The messages of the handshake so far. */
  #transcript: Bytes = noBytes;

  constructor(options: ClientHandshakeOptions) {
    this.#options = options;
    this.#clientRandom = options.random.bytes(32);
  }

  /** The first flight: a hello without a cookie. */
  start(): ClientStep {
    return this.#sendHello(noBytes);
  }

  /** Takes the handshake messages of one record in clear. */
  receive(fragments: readonly Fragment[]): ClientStep {
    let retransmitted = false;
    for (const fragment of fragments) {
      if (this.#reassembly.add(fragment) === 'retransmitted') retransmitted = true;
    }
    for (let message = this.#reassembly.take(); message !== undefined; message = this.#reassembly.take()) {
      const step = this.#message(message);
      if (step.kind !== 'nothing') return step;
    }
    // The server sends its ServerHelloDone again: our last flight was lost (RFC 6347 §4.2.4). Who resumes has sent no flight
    // but its hello, and to send that for each late HelloVerifyRequest would have both sides answer each other for ever.
    const state = this.#state;
    const waits = (state.expects === 'change-cipher-spec' || state.expects === 'finished') && !state.keyed.resumed;
    return retransmitted && waits ? this.retransmission() : nothing;
  }

  /** Counts only where it is expected (RFC 6347 §4.2.5). */
  receiveChangeCipherSpec(): ClientStep {
    const state = this.#state;
    if (state.expects !== 'change-cipher-spec') return nothing;
    this.#state = { expects: 'finished', keyed: state.keyed };
    return state.early === undefined ? nothing : this.#finished(state.keyed, state.early);
  }

  receiveProtected(record: DtlsRecord): ClientStep {
    const state = this.#state;
    if (state.expects === 'finished') return this.#finished(state.keyed, record);
    if (state.expects === 'change-cipher-spec') {
      state.early = { ...record, cid: record.cid.slice(), fragment: record.fragment.slice() };
    }
    return nothing;
  }

  /** The flight under way once more, each record with a new sequence number. */
  retransmission(): ClientStep {
    return { kind: 'send', datagram: concatBytes(...this.#flight.map(outgoing => this.#record(outgoing))) };
  }

  #message(message: HandshakeMessage): ClientStep {
    const { expects } = this.#state;
    if (expects === 'server-hello' && message.type === HandshakeType.helloVerifyRequest) {
      const request = decodeHelloVerifyRequest(message.body);
      if (request === undefined) return this.#fail('malformed', AlertDescription.decodeError);
      // Again if the server's secret has changed in between (RFC 6347 §4.2.1), but not for ever.
      if (this.#verifyRequests++ < maxVerifyRequests) return this.#sendHello(request.cookie);
    }
    // A server may do without the cookie exchange (RFC 6347 §4.2.1).
    if (expects === 'server-hello' && message.type === HandshakeType.serverHello) return this.#serverHello(message);
    if (this.#state.expects === 'server-hello-done') {
      const { agreed, keyExchange } = this.#state;
      if (message.type === HandshakeType.serverHelloDone) return this.#helloDone(agreed, keyExchange, message);
      if (message.type === HandshakeType.serverKeyExchange && keyExchange === undefined) {
        const decoded = decodeServerKeyExchange(message.body, agreed.suite);
        if (decoded === undefined) return this.#fail('malformed', AlertDescription.decodeError);
        this.#state = { ...this.#state, keyExchange: decoded };
        this.#transcript = concatBytes(this.#transcript, message.transcript);
        return nothing;
      }
    }
    return this.#fail('unexpected-message', AlertDescription.unexpectedMessage);
  }

  /** Everything but the cookie stays the same from one hello to the next (RFC 6347 §4.2.1). */
  #sendHello(cookie: Bytes): ClientStep {
    const body = encodeClientHello({
      version: dtls12,
      random: this.#clientRandom,
      sessionId: this.#options.resume?.sessionId ?? noBytes,
      cookie,
      cipherSuites: [...this.#options.suites.map(({ id }) => id), emptyRenegotiationInfoScsv],
      compressionMethods: nullCompression,
      extensions: this.#offers(),
    });
    const hello = encodeHandshake(HandshakeType.clientHello, this.#messageSequence++, body);
    // The hello before and the HelloVerifyRequest are no part of it (RFC 6347 §4.2.1).
    this.#transcript = hello;
    // The first one travels as DTLS 1.0, so that every server can read it.
    const version = cookie.length === 0 ? dtls10 : dtls12;
    this.#flight = [{ kind: 'plain', type: ContentType.handshake, version, body: hello }];
    return this.retransmission();
  }

  #offers(): Extensions {
    const { suites, cid, returnRoutability, maxFragmentLength } = this.#options;
    const offers = new Map([[ExtensionType.extendedMasterSecret as number, noBytes]]);
    if (suites.some(({ keyExchange }) => keyExchange === 'ecdhe-psk')) {
      offers.set(ExtensionType.supportedGroups, encodeGroups(this.#options.groups ?? namedGroups));
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

  #serverHello(message: HandshakeMessage): ClientStep {
    const hello = decodeServerHello(message.body);
    if (hello === undefined) return this.#fail('malformed', AlertDescription.decodeError);
    if (hello.version !== dtls12) return this.#fail('protocol-version', AlertDescription.protocolVersion);
    const suite = cipherSuite(hello.cipherSuite);
    if (suite === undefined || !this.#options.suites.includes(suite) || hello.compressionMethod !== 0) {
      return this.#fail('not-offered', AlertDescription.illegalParameter);
    }
    const offers = this.#offers();
    for (const [type, data] of hello.extensions) {
      // What we did not ask for must not be answered (RFC 5246 §7.4.1.4); the suite value asks for renegotiation_info.
      if (!(offers.has(type) && isAnswered(type)) && type !== ExtensionType.renegotiationInfo) {
        return this.#fail('not-offered', AlertDescription.unsupportedExtension);
      }
      if (!isWellFormed(type, data)) return this.#fail('malformed', AlertDescription.handshakeFailure);
      // The same length, or the extension is not answered (RFC 6066 §4).
      if (type === ExtensionType.maxFragmentLength && !sameBytes(data, offers.get(type)!)) {
        return this.#fail('not-offered', AlertDescription.illegalParameter);
      }
    }
    // CBC is spoken with encrypt-then-MAC only, and nothing else with it (RFC 7366 §3).
    if ((suite.cipher === 'aes-128-cbc') !== hello.extensions.has(ExtensionType.encryptThenMac)) {
      return this.#fail('not-offered', AlertDescription.handshakeFailure);
    }
    const serverCid = hello.extensions.get(ExtensionType.connectionId);
    const agreed: Agreed = {
      suite,
      extended: hello.extensions.has(ExtensionType.extendedMasterSecret),
      serverRandom: hello.random,
      sessionId: hello.sessionId.slice(),
      cids: serverCid && {
        server: decodeConnectionId(serverCid)!.slice(),
        client: this.#options.cid!,
        returnRoutability: hello.extensions.has(ExtensionType.returnRoutability),
      },
    };
    this.#transcript = concatBytes(this.#transcript, message.transcript);
    const { resume } = this.#options;
    if (resume !== undefined && sameBytes(hello.sessionId, resume.sessionId)) return this.#resume(agreed, resume);
    this.#state = { expects: 'server-hello-done', agreed, keyExchange: undefined };
    return nothing;
  }

  /** The server goes on with the session that was offered: its Finished comes next. */
  #resume(agreed: Agreed, { suite, masterSecret }: ClientSession): ClientStep {
    // A session keeps its suite (RFC 5246 §7.4.1.3), and what was extended stays so (RFC 7627 §5.3).
    if (agreed.suite !== suite || !agreed.extended) return this.#fail('not-offered', AlertDescription.illegalParameter);
    const randoms = { client: this.#clientRandom, server: agreed.serverRandom };
    const schedule = new KeySchedule(suite, masterSecret, randoms);
    const keyed: Keyed = { ...agreed, keys: schedule.keys(), schedule, resumed: true };
    this.#state = { expects: 'change-cipher-spec', keyed, early: undefined };
    return nothing;
  }

  #helloDone(agreed: Agreed, keyExchange: ServerKeyExchange | undefined, message: HandshakeMessage): ClientStep {
    if (message.body.length !== 0) return this.#fail('malformed', AlertDescription.decodeError);
    const { suite, extended, serverRandom, cids } = agreed;
    const { identity, key } = this.#options;
    const shared = this.#agree(suite, keyExchange);
    if (shared === undefined) return this.#fail('malformed', AlertDescription.illegalParameter);
    const exchange = encodeHandshake(
      HandshakeType.clientKeyExchange,
      this.#messageSequence++,
      encodeClientKeyExchange({ identity, point: shared.point }),
    );
    const session = concatBytes(this.#transcript, message.transcript, exchange);
    const randoms = { client: this.#clientRandom, server: serverRandom };
    const schedule = KeySchedule.full(suite, premasterSecret(key, shared.secret), randoms, extended, session);
    const keys = schedule.keys();
    const finished = this.#finishedMessage(schedule, session);
    this.#transcript = concatBytes(session, finished);
    const protect = { suite, keys, cid: cids?.server ?? noBytes };
    this.#flight = [
      { kind: 'plain', type: ContentType.handshake, version: dtls12, body: exchange },
      { kind: 'plain', type: ContentType.changeCipherSpec, version: dtls12, body: changeCipherSpec },
      { kind: 'sealed', type: ContentType.handshake, protect, body: finished },
    ];
    const keyed: Keyed = { ...agreed, keys, schedule, resumed: false };
    this.#state = { expects: 'change-cipher-spec', keyed, early: undefined };
    return this.retransmission();
  }

  /** Our half of the ephemeral exchange, if the suite has one; `undefined` if the server's half is none that we take. */
  #agree(
    suite: CipherSuite,
    keyExchange: ServerKeyExchange | undefined,
  ): { point?: Bytes; secret?: Bytes } | undefined {
    if (suite.keyExchange === 'psk') return {};
    const share = keyExchange?.share;
    const group = share && namedGroup(share.group);
    if (share === undefined || group === undefined) return undefined;
    if (!(this.#options.groups ?? namedGroups).includes(group)) return undefined;
    const ours = ephemeralKey(group, this.#options.random);
    const secret = ours.agree(share.point);
    return secret && { point: ours.point, secret };
  }

  #finishedMessage(schedule: KeySchedule, transcript: Bytes): Bytes {
    const verifyData = schedule.verifyData('client', transcript);
    return encodeHandshake(HandshakeType.finished, this.#messageSequence++, verifyData);
  }

  #finished(keyed: Keyed, record: DtlsRecord): ClientStep {
    const { suite, keys, cids, schedule, sessionId, extended, resumed } = keyed;
    if (!sameBytes(record.cid, cids?.client ?? noBytes)) return nothing;
    const opened = openRecord(suite, keys.server, record);
    // A record that does not open may be anybody's: it is dropped, and the timer goes on.
    if (opened?.type !== ContentType.handshake) return nothing;
    const verifyData = schedule.verifyData('server', this.#transcript);
    const expected = encodeHandshake(HandshakeType.finished, this.#reassembly.next, verifyData);
    const proof = FinishedVerified.check(expected, opened.plaintext);
    if (proof === undefined) return this.#fail('transcript-differs', AlertDescription.decryptError);
    this.#state = { expects: 'nothing' };
    return {
      kind: 'established',
      proof,
      suite,
      keys,
      cids,
      readSequence: record.sequence,
      writeSequence: this.#sealedSequence,
      plainSequence: this.#plainSequence,
      resumed,
      lastFlight: resumed ? this.#finishedMessage(schedule, concatBytes(this.#transcript, expected)) : undefined,
      // Without extended master secret it is better not to resume at all (RFC 7627 §5.3).
      session: extended && sessionId.length > 0 ? { sessionId, suite, masterSecret: schedule.masterSecret } : undefined,
    };
  }

  #record(outgoing: Outgoing): Bytes {
    if (outgoing.kind === 'plain') {
      return encodePlainRecord(outgoing.type, outgoing.version, this.#plainSequence++, outgoing.body);
    }
    const { suite, keys, cid } = outgoing.protect;
    return sealRecord(suite, keys.client, outgoing.type, 1, this.#sealedSequence++, outgoing.body, cid);
  }

  #fail(fault: ClientFault, description: number): ClientStep {
    this.#state = { expects: 'nothing' };
    const alert = encodeAlert({ level: 'fatal', description });
    const datagram = encodePlainRecord(ContentType.alert, dtls12, this.#plainSequence++, alert);
    return { kind: 'failed', fault, datagram };
  }
}

/** Named for what it waits for, and holding what that needs. */
type State =
  | { readonly expects: 'server-hello' }
  | {
      readonly expects: 'server-hello-done';
      readonly agreed: Agreed;
      readonly keyExchange: ServerKeyExchange | undefined;
    }
  | { readonly expects: 'change-cipher-spec'; readonly keyed: Keyed; early: DtlsRecord | undefined }
  | { readonly expects: 'finished'; readonly keyed: Keyed }
  /** It succeeded or failed. */
  | { readonly expects: 'nothing' };

interface Agreed {
  readonly suite: CipherSuite;
  readonly extended: boolean;
  readonly serverRandom: Bytes;
  /** What the server calls the session; empty if it will not be resumed. */
  readonly sessionId: Bytes;
  readonly cids: NegotiatedCids | undefined;
}

interface Keyed extends Agreed {
  readonly keys: SessionKeys;
  readonly schedule: KeySchedule;
  readonly resumed: boolean;
}

type Outgoing =
  | { readonly kind: 'plain'; readonly type: number; readonly version: number; readonly body: Bytes }
  | {
      readonly kind: 'sealed';
      readonly type: number;
      readonly protect: { readonly suite: CipherSuite; readonly keys: SessionKeys; readonly cid: Bytes };
      readonly body: Bytes;
    };

export interface ClientHandshakeOptions {
  readonly identity: Bytes;
  readonly key: Bytes;
  /** What we offer, most wanted first. */
  readonly suites: readonly CipherSuite[];
  readonly random: RandomSource;
  /** What the server is to put into its records to us; empty if it need not; `undefined` to do without (RFC 9146). */
  readonly cid?: Bytes | undefined;
  /** Whether to offer the return routability check (RFC 9853). */
  readonly returnRoutability?: boolean | undefined;
  /** For an ephemeral exchange, most wanted first; by default all that we know. */
  readonly groups?: readonly NamedGroup[] | undefined;
  readonly maxFragmentLength?: MaxFragmentLength | undefined;
  /** The session to go on with; if the server does not, the handshake is a full one. */
  readonly resume?: ClientSession | undefined;
}

/** What a client has to keep to resume a session, and to keep secret. */
export interface ClientSession {
  readonly sessionId: Bytes;
  readonly suite: CipherSuite;
  readonly masterSecret: Bytes;
}

/** How the server broke the protocol. A wrong key is none of these: it shows as an alert, or as silence. */
export type ClientFault =
  | 'malformed'
  | 'unexpected-message'
  | 'protocol-version'
  | 'not-offered'
  | 'transcript-differs';

export type ClientStep =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'send'; readonly datagram: Bytes }
  | { readonly kind: 'failed'; readonly fault: ClientFault; readonly datagram: Bytes }
  | {
      readonly kind: 'established';
      readonly proof: FinishedVerified;
      readonly suite: CipherSuite;
      readonly keys: SessionKeys;
      readonly cids: NegotiatedCids | undefined;
      readonly readSequence: number;
      /** Of our next records, in epoch 1 and in epoch 0. */
      readonly writeSequence: number;
      readonly plainSequence: number;
      /** Whether it is a session that was resumed. */
      readonly resumed: boolean;
      /** Our Finished, which has still to go out, and again whenever the server repeats its own; if it was resumed. */
      readonly lastFlight: Bytes | undefined;
      /** What it can be resumed with later, if it can. */
      readonly session: ClientSession | undefined;
    };

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

const nothing: ClientStep = { kind: 'nothing' };
const maxMessageLength = 2048;
/** ServerHello, ServerKeyExchange and ServerHelloDone may arrive in any order. */
const maxAhead = 3;
const maxVerifyRequests = 3;
