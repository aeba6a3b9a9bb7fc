import { type Bytes, concatBytes, noBytes } from '../base/bytes.ts';
import type { RandomSource } from '../base/random.ts';
import { type CipherSuite, cipherSuite, emptyRenegotiationInfoScsv } from './codec/cipherSuite.ts';
import { encodeClientHello, nullCompression } from './codec/clientHello.ts';
import { ExtensionType } from './codec/extension.ts';
import { encodeHandshake, type Fragment, HandshakeType, handshakeHeaderLength } from './codec/handshake.ts';
import { decodeHelloVerifyRequest } from './codec/helloVerifyRequest.ts';
import { decodeServerKeyExchange, encodeClientKeyExchange } from './codec/keyExchange.ts';
import { ContentType, type DtlsRecord, dtls10, dtls12, encodePlainRecord } from './codec/record.ts';
import { decodeServerHello } from './codec/serverHello.ts';
import { KeySchedule, type SessionKeys, verifyDataLength } from './crypto/keySchedule.ts';
import { FinishedVerified } from './proof.ts';
import { openRecord, sealRecord } from './protection.ts';
import { type HandshakeMessage, Reassembly } from './reassembly.ts';

/** The client's side of one PSK handshake; `serverHandshake.ts` draws the ladder. It answers only by what it returns. */
export class ClientHandshake {
  state: State = 'hello-verify-request';

  readonly #options: ClientHandshakeOptions;
  readonly #clientRandom: Bytes;
  #reassembly = new Reassembly(0, maxMessageLength);
  #messageSequence = 0;
  #plainSequence = 0;
  /** Sequence number of our next record in epoch 1. */
  #sealedSequence = 0;
  #transcript: Bytes[] = [];
  #suite: CipherSuite | undefined;
  #extended = false;
  #serverRandom: Bytes = noBytes;
  #schedule: KeySchedule | undefined;
  #keys: SessionKeys | undefined;
  #flight: readonly Outgoing[] = [];
  #changeCipherSpec = false;
  #early: DtlsRecord | undefined;

  constructor(options: ClientHandshakeOptions) {
    this.#options = options;
    this.#clientRandom = options.random.bytes(32);
  }

  /** The first flight: a hello without a cookie. */
  start(): ClientStep {
    return this.#sendHello(noBytes);
  }

  receive(fragments: readonly Fragment[]): ClientStep {
    for (const fragment of fragments) {
      if (this.#reassembly.add(fragment) === 'invalid') return this.#fail('malformed');
    }
    for (let message = this.#reassembly.take(); message !== undefined; message = this.#reassembly.take()) {
      const step = this.#message(message);
      if (step.kind !== 'nothing') return step;
    }
    return nothing;
  }

  receiveChangeCipherSpec(): ClientStep {
    this.#changeCipherSpec = true;
    const early = this.#early;
    this.#early = undefined;
    return early === undefined ? nothing : this.receiveProtected(early);
  }

  receiveProtected(record: DtlsRecord): ClientStep {
    if (this.state !== 'finished') return nothing;
    if (!this.#changeCipherSpec) {
      this.#early ??= { ...record, fragment: record.fragment.slice() };
      return nothing;
    }
    const plaintext = openRecord(this.#suite!, this.#keys!.server, record);
    // A record that does not open may be anybody's: it is dropped, and the timer goes on.
    if (plaintext === undefined) return nothing;
    if (record.type !== ContentType.handshake || plaintext.length !== handshakeHeaderLength + verifyDataLength) {
      return this.#fail('unexpected-message');
    }
    const verifyData = this.#schedule!.verifyData('server', concatBytes(...this.#transcript));
    const expected = encodeHandshake(HandshakeType.finished, this.#reassembly.next, verifyData);
    const proof = FinishedVerified.check(expected, plaintext);
    if (proof === undefined) return this.#fail('wrong-key');
    this.state = 'established';
    return {
      kind: 'established',
      proof,
      suite: this.#suite!,
      keys: this.#keys!,
      readSequence: record.sequence,
      writeSequence: this.#sealedSequence,
    };
  }

  /** The flight under way once more, each record with a new sequence number. */
  retransmission(): ClientStep {
    return { kind: 'send', datagram: concatBytes(...this.#flight.map(outgoing => this.#record(outgoing))) };
  }

  #message(message: HandshakeMessage): ClientStep {
    const { type } = message;
    if (this.state === 'hello-verify-request' && type === HandshakeType.helloVerifyRequest) {
      const request = decodeHelloVerifyRequest(message.body);
      if (request === undefined) return this.#fail('malformed');
      return this.#sendHello(request.cookie);
    }
    // A server may do without the cookie exchange (RFC 6347 §4.2.1).
    const expectsHello = this.state === 'hello-verify-request' || this.state === 'server-hello';
    if (expectsHello && type === HandshakeType.serverHello) return this.#serverHello(message);
    if (this.state === 'server-hello-done' && type === HandshakeType.serverKeyExchange) {
      if (decodeServerKeyExchange(message.body) === undefined) return this.#fail('malformed');
      this.#transcript.push(message.transcript);
      return nothing;
    }
    if (this.state === 'server-hello-done' && type === HandshakeType.serverHelloDone) return this.#helloDone(message);
    return this.#fail('unexpected-message');
  }

  #sendHello(cookie: Bytes): ClientStep {
    const body = encodeClientHello({
      version: dtls12,
      random: this.#clientRandom,
      sessionId: noBytes,
      cookie,
      cipherSuites: [...this.#options.suites.map(({ id }) => id), emptyRenegotiationInfoScsv],
      compressionMethods: nullCompression,
      extensions: new Map([[ExtensionType.extendedMasterSecret, noBytes]]),
    });
    const hello = encodeHandshake(HandshakeType.clientHello, this.#messageSequence++, body);
    this.#transcript = [hello];
    this.#flight = [{ kind: 'plain', type: ContentType.handshake, body: hello }];
    if (cookie.length > 0) this.state = 'server-hello';
    return this.retransmission();
  }

  #serverHello(message: HandshakeMessage): ClientStep {
    const hello = decodeServerHello(message.body);
    if (hello === undefined || hello.version !== dtls12 || hello.compressionMethod !== 0)
      return this.#fail('malformed');
    const suite = cipherSuite(hello.cipherSuite);
    if (suite === undefined || !this.#options.suites.includes(suite)) return this.#fail('no-common-suite');
    const renegotiation = hello.extensions.get(ExtensionType.renegotiationInfo);
    if (renegotiation !== undefined && (renegotiation.length !== 1 || renegotiation[0] !== 0)) {
      return this.#fail('malformed');
    }
    this.#suite = suite;
    this.#serverRandom = hello.random.slice();
    this.#extended = hello.extensions.has(ExtensionType.extendedMasterSecret);
    this.#transcript.push(message.transcript);
    this.state = 'server-hello-done';
    return nothing;
  }

  #helloDone(message: HandshakeMessage): ClientStep {
    if (message.body.length !== 0) return this.#fail('malformed');
    const { identity, key } = this.#options;
    const exchange = encodeHandshake(
      HandshakeType.clientKeyExchange,
      this.#messageSequence++,
      encodeClientKeyExchange(identity),
    );
    this.#transcript.push(message.transcript, exchange);
    const randoms = { client: this.#clientRandom, server: this.#serverRandom };
    const transcript = concatBytes(...this.#transcript);
    this.#schedule = new KeySchedule(this.#suite!, key, randoms, this.#extended, transcript);
    this.#keys = this.#schedule.keys();
    const verifyData = this.#schedule.verifyData('client', transcript);
    const finished = encodeHandshake(HandshakeType.finished, this.#messageSequence++, verifyData);
    this.#transcript.push(finished);
    this.#flight = [
      { kind: 'plain', type: ContentType.handshake, body: exchange },
      { kind: 'plain', type: ContentType.changeCipherSpec, body: Uint8Array.of(1) },
      { kind: 'sealed', type: ContentType.handshake, body: finished },
    ];
    this.state = 'finished';
    return this.retransmission();
  }

  #record({ kind, type, body }: Outgoing): Bytes {
    if (kind === 'sealed') return sealRecord(this.#suite!, this.#keys!.client, type, 1, this.#sealedSequence++, body);
    // The first hello travels as DTLS 1.0, so that every server can read it (RFC 6347 §4.2.1).
    return encodePlainRecord(type, this.#messageSequence === 1 ? dtls10 : dtls12, this.#plainSequence++, body);
  }

  #fail(fault: ClientFault): ClientStep {
    this.state = 'failed';
    return { kind: 'failed', fault };
  }
}

/** Named for what it waits for. */
type State = 'hello-verify-request' | 'server-hello' | 'server-hello-done' | 'finished' | 'established' | 'failed';

export interface ClientHandshakeOptions {
  readonly identity: Bytes;
  readonly key: Bytes;
  readonly suites: readonly CipherSuite[];
  readonly random: RandomSource;
}

export type ClientFault = 'malformed' | 'unexpected-message' | 'no-common-suite' | 'wrong-key';

export type ClientStep =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'send'; readonly datagram: Bytes }
  | { readonly kind: 'failed'; readonly fault: ClientFault }
  | {
      readonly kind: 'established';
      readonly proof: FinishedVerified;
      readonly suite: CipherSuite;
      readonly keys: SessionKeys;
      readonly readSequence: number;
      readonly writeSequence: number;
    };

interface Outgoing {
  readonly kind: 'plain' | 'sealed';
  readonly type: number;
  readonly body: Bytes;
}

const nothing: ClientStep = { kind: 'nothing' };
const maxMessageLength = 2048;
