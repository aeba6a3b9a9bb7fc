import { type Bytes, concatBytes, noBytes, sameBytes } from '../base/bytes.ts';
import type { RandomSource } from '../base/random.ts';
import { AlertDescription, encodeAlert } from './codec/alert.ts';
import { type CipherSuite, cipherSuite, emptyRenegotiationInfoScsv } from './codec/cipherSuite.ts';
import { encodeClientHello, nullCompression } from './codec/clientHello.ts';
import { encodeClientKeyExchange } from './codec/clientKeyExchange.ts';
import { decodeConnectionId, type Extensions, ExtensionType, encodeConnectionId } from './codec/extension.ts';
import { encodeHandshake, type Fragment, HandshakeType } from './codec/handshake.ts';
import { decodeHelloVerifyRequest } from './codec/helloVerifyRequest.ts';
import { ContentType, type DtlsRecord, dtls10, dtls12, encodePlainRecord } from './codec/record.ts';
import { decodeServerHello } from './codec/serverHello.ts';
import { decodeServerKeyExchange } from './codec/serverKeyExchange.ts';
import type { NegotiatedCids } from './connectionId.ts';
import { KeySchedule, type SessionKeys } from './crypto/keySchedule.ts';
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
    // The server sends its ServerHelloDone again: our last flight was lost (RFC 6347 §4.2.4).
    const waits = this.#state.expects === 'change-cipher-spec' || this.#state.expects === 'finished';
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
      if (message.type === HandshakeType.serverHelloDone) return this.#helloDone(this.#state.agreed, message);
      if (message.type === HandshakeType.serverKeyExchange && !this.#state.keyExchangeSeen) {
        if (decodeServerKeyExchange(message.body) === undefined) {
          return this.#fail('malformed', AlertDescription.decodeError);
        }
        this.#state = { ...this.#state, keyExchangeSeen: true };
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
      sessionId: noBytes,
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
    const { cid, returnRoutability } = this.#options;
    const offers = new Map([[ExtensionType.extendedMasterSecret as number, noBytes]]);
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
      if (!offers.has(type) && type !== ExtensionType.renegotiationInfo) {
        return this.#fail('not-offered', AlertDescription.unsupportedExtension);
      }
      if (!isWellFormed(type, data)) return this.#fail('malformed', AlertDescription.handshakeFailure);
    }
    const serverCid = hello.extensions.get(ExtensionType.connectionId);
    const cids = serverCid && {
      server: decodeConnectionId(serverCid)!.slice(),
      client: this.#options.cid!,
      returnRoutability: hello.extensions.has(ExtensionType.returnRoutability),
    };
    const extended = hello.extensions.has(ExtensionType.extendedMasterSecret);
    this.#transcript = concatBytes(this.#transcript, message.transcript);
    this.#state = {
      expects: 'server-hello-done',
      agreed: { suite, extended, serverRandom: hello.random, cids },
      keyExchangeSeen: false,
    };
    return nothing;
  }

  #helloDone({ suite, extended, serverRandom, cids }: Agreed, message: HandshakeMessage): ClientStep {
    if (message.body.length !== 0) return this.#fail('malformed', AlertDescription.decodeError);
    const { identity, key } = this.#options;
    const exchange = encodeHandshake(
      HandshakeType.clientKeyExchange,
      this.#messageSequence++,
      encodeClientKeyExchange({ identity }),
    );
    const session = concatBytes(this.#transcript, message.transcript, exchange);
    const randoms = { client: this.#clientRandom, server: serverRandom };
    const schedule = new KeySchedule(suite, key, randoms, extended, session);
    const keys = schedule.keys();
    const verifyData = schedule.verifyData('client', session);
    const finished = encodeHandshake(HandshakeType.finished, this.#messageSequence++, verifyData);
    this.#transcript = concatBytes(session, finished);
    const protect = { suite, keys, cid: cids?.server ?? noBytes };
    this.#flight = [
      { kind: 'plain', type: ContentType.handshake, version: dtls12, body: exchange },
      { kind: 'plain', type: ContentType.changeCipherSpec, version: dtls12, body: changeCipherSpec },
      { kind: 'sealed', type: ContentType.handshake, protect, body: finished },
    ];
    this.#state = { expects: 'change-cipher-spec', keyed: { suite, keys, cids, schedule }, early: undefined };
    return this.retransmission();
  }

  #finished({ suite, keys, cids, schedule }: Keyed, record: DtlsRecord): ClientStep {
    if (!sameBytes(record.cid, cids?.client ?? noBytes)) return nothing;
    const opened = openRecord(suite, keys.server, record);
    // A record that does not open may be anybody's: it is dropped, and the timer goes on.
    if (opened?.type !== ContentType.handshake) return nothing;
    const verifyData = schedule.verifyData('server', this.#transcript);
    const expected = encodeHandshake(HandshakeType.finished, this.#reassembly.next, verifyData);
    const proof = FinishedVerified.check(expected, opened.plaintext);
    if (proof === undefined) return this.#fail('transcript-differs', AlertDescription.decryptError);
    this.#state = { expects: 'nothing' };
    const writeSequence = this.#sealedSequence;
    return { kind: 'established', proof, suite, keys, cids, readSequence: record.sequence, writeSequence };
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
  | { readonly expects: 'server-hello-done'; readonly agreed: Agreed; readonly keyExchangeSeen: boolean }
  | { readonly expects: 'change-cipher-spec'; readonly keyed: Keyed; early: DtlsRecord | undefined }
  | { readonly expects: 'finished'; readonly keyed: Keyed }
  /** It succeeded or failed. */
  | { readonly expects: 'nothing' };

interface Agreed {
  readonly suite: CipherSuite;
  readonly extended: boolean;
  readonly serverRandom: Bytes;
  readonly cids: NegotiatedCids | undefined;
}

interface Keyed {
  readonly suite: CipherSuite;
  readonly keys: SessionKeys;
  readonly cids: NegotiatedCids | undefined;
  readonly schedule: KeySchedule;
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
      readonly writeSequence: number;
    };

/** On a first handshake the server's renegotiation_info must be empty (RFC 5746 §3.4); the others have no content at all. */
function isWellFormed(type: number, data: Bytes): boolean {
  if (type === ExtensionType.renegotiationInfo) return data.length === 1 && data[0] === 0;
  if (type === ExtensionType.connectionId) return decodeConnectionId(data) !== undefined;
  return data.length === 0;
}

const nothing: ClientStep = { kind: 'nothing' };
const changeCipherSpec: Bytes = Uint8Array.of(1);
const maxMessageLength = 2048;
/** ServerHello, ServerKeyExchange and ServerHelloDone may arrive in any order. */
const maxAhead = 3;
const maxVerifyRequests = 3;
