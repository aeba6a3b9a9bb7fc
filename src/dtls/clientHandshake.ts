import { type Bytes, concatBytes, noBytes, sameBytes } from '../base/bytes.ts';
import { type ClientTerms, offersOf, termsOf } from './clientNegotiation.ts';
import type { ClientFault, ClientHandshakeOptions, ClientSession, ClientStep } from './clientStep.ts';
import { AlertDescription } from './codec/alert.ts';
import { type CipherSuite, emptyRenegotiationInfoScsv } from './codec/cipherSuite.ts';
import { encodeClientHello, nullCompression } from './codec/clientHello.ts';
import { encodeClientKeyExchange } from './codec/clientKeyExchange.ts';
import { encodeHandshake, type Fragment, HandshakeType } from './codec/handshake.ts';
import { decodeHelloVerifyRequest } from './codec/helloVerifyRequest.ts';
import { namedGroup, namedGroups } from './codec/namedGroup.ts';
import { ContentType, type DtlsRecord, dtls10, dtls12 } from './codec/record.ts';
import { decodeServerHello } from './codec/serverHello.ts';
import { decodeServerKeyExchange, type ServerKeyExchange } from './codec/serverKeyExchange.ts';
import { ephemeralKey } from './crypto/ecdhe.ts';
import { KeySchedule, premasterSecret, type SessionKeys } from './crypto/keySchedule.ts';
import { HandshakeRecords, maxRepeated } from './handshakeRecords.ts';
import { FinishedVerified } from './proof.ts';
import { openRecord } from './protection.ts';
import { type HandshakeMessage, Reassembly } from './reassembly.ts';

/** The client's side of one PSK handshake; `serverHandshake.ts` draws the ladder. It answers only by what it returns. */
export class ClientHandshake {
  readonly #options: ClientHandshakeOptions;
  readonly #clientRandom: Bytes;
  readonly #reassembly = new Reassembly(0, maxMessageLength, maxAhead);
  #state: State = { expects: 'server-hello' };
  #flight: Flight | undefined;
  #verifyRequests = 0;
  /** How often the server asked for our flight again. */
  #repeated = 0;
  /** The message_seq of our next message. */
  #messageSequence = 0;
  readonly #records = new HandshakeRecords(0);
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
    // Not without end: in clear it may be anybody who has our flight, which is longer, sent to the server.
    return retransmitted && waits && this.#repeated++ < maxRepeated ? this.retransmission() : nothing;
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
    return { kind: 'send', datagram: this.#recordsOf(this.#flight!) };
  }

  #send(flight: Flight): ClientStep {
    this.#flight = flight;
    return this.retransmission();
  }

  #recordsOf(flight: Flight): Bytes {
    const records = this.#records;
    if (flight.kind === 'hello') return records.messages([flight.hello], flight.version);
    const { exchange, finished, keyed } = flight;
    const { suite, keys, cids } = keyed;
    return concatBytes(
      records.messages([exchange]),
      records.changeCipherSpec(),
      records.sealed(suite, keys.client, finished, cids?.server),
    );
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
      extensions: offersOf(this.#options),
    });
    const hello = encodeHandshake(HandshakeType.clientHello, this.#messageSequence++, body);
    // The hello before and the HelloVerifyRequest are no part of it (RFC 6347 §4.2.1).
    this.#transcript = hello;
    // The first one travels as DTLS 1.0, so that every server can read it.
    const version = cookie.length === 0 ? dtls10 : dtls12;
    return this.#send({ kind: 'hello', version, hello });
  }

  #serverHello(message: HandshakeMessage): ClientStep {
    const hello = decodeServerHello(message.body);
    if (hello === undefined) return this.#fail('malformed', AlertDescription.decodeError);
    const terms = termsOf(hello, this.#options);
    if (terms.kind === 'refused') return this.#fail(terms.fault, terms.description);
    this.#transcript = concatBytes(this.#transcript, message.transcript);
    const { resume } = this.#options;
    if (resume !== undefined && sameBytes(hello.sessionId, resume.sessionId)) return this.#resume(terms, resume);
    this.#state = { expects: 'server-hello-done', agreed: terms, keyExchange: undefined };
    return nothing;
  }

  /** The server goes on with the session that was offered: its Finished comes next. */
  #resume(agreed: ClientTerms, { suite, masterSecret }: ClientSession): ClientStep {
    // A session keeps its suite (RFC 5246 §7.4.1.3), and what was extended stays so (RFC 7627 §5.3).
    if (agreed.suite !== suite || !agreed.extended) return this.#fail('not-offered', AlertDescription.illegalParameter);
    const randoms = { client: this.#clientRandom, server: agreed.serverRandom };
    const schedule = new KeySchedule(suite, masterSecret, randoms);
    const keyed: Keyed = { ...agreed, keys: schedule.keys(), schedule, resumed: true };
    this.#state = { expects: 'change-cipher-spec', keyed, early: undefined };
    return nothing;
  }

  #helloDone(agreed: ClientTerms, keyExchange: ServerKeyExchange | undefined, message: HandshakeMessage): ClientStep {
    if (message.body.length !== 0) return this.#fail('malformed', AlertDescription.decodeError);
    const { suite, extended, serverRandom } = agreed;
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
    const keyed: Keyed = { ...agreed, keys, schedule, resumed: false };
    this.#state = { expects: 'change-cipher-spec', keyed, early: undefined };
    return this.#send({ kind: 'keys', exchange, keyed, finished });
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
      writeSequence: this.#records.sealedSequence,
      plainSequence: this.#records.plainSequence,
      resumed,
      lastFlight: resumed ? this.#finishedMessage(schedule, concatBytes(this.#transcript, expected)) : undefined,
      // Without extended master secret it is better not to resume at all (RFC 7627 §5.3).
      session: extended && sessionId.length > 0 ? { sessionId, suite, masterSecret: schedule.masterSecret } : undefined,
    };
  }

  #fail(fault: ClientFault, description: number): ClientStep {
    this.#state = { expects: 'nothing' };
    return { kind: 'failed', fault, datagram: this.#records.alert(description) };
  }
}

/** Named for what it waits for, and holding what that needs. */
type State =
  | { readonly expects: 'server-hello' }
  | {
      readonly expects: 'server-hello-done';
      readonly agreed: ClientTerms;
      readonly keyExchange: ServerKeyExchange | undefined;
    }
  | { readonly expects: 'change-cipher-spec'; readonly keyed: Keyed; early: DtlsRecord | undefined }
  | { readonly expects: 'finished'; readonly keyed: Keyed }
  /** It succeeded or failed. */
  | { readonly expects: 'nothing' };

interface Keyed extends ClientTerms {
  readonly keys: SessionKeys;
  readonly schedule: KeySchedule;
  readonly resumed: boolean;
}

/** What is sent again if nothing comes back. */
type Flight =
  | { readonly kind: 'hello'; readonly version: number; readonly hello: Bytes }
  | { readonly kind: 'keys'; readonly exchange: Bytes; readonly keyed: Keyed; readonly finished: Bytes };

const nothing: ClientStep = { kind: 'nothing' };
const maxMessageLength = 2048;
/** ServerHello, ServerKeyExchange and ServerHelloDone may arrive in any order. */
const maxAhead = 3;
const maxVerifyRequests = 3;
