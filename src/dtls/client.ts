import { type Bytes, concatBytes, noBytes, sameBytes } from '../base/bytes.ts';
import type { RandomSource } from '../base/random.ts';
import { after, type Instant, type Milliseconds, type Now, seconds } from '../base/time.ts';
import { assertNever } from '../base/unreachable.ts';
import { ClientHandshake } from './clientHandshake.ts';
import type { ClientFault, ClientSession, ClientStep } from './clientStep.ts';
import { AlertDescription, alertName, decodeAlert, encodeAlert } from './codec/alert.ts';
import { type CipherSuite, pskSuites } from './codec/cipherSuite.ts';
import type { MaxFragmentLength } from './codec/extension.ts';
import { decodeFragments, HandshakeType } from './codec/handshake.ts';
import type { NamedGroup } from './codec/namedGroup.ts';
import {
  ContentType,
  changeCipherSpec,
  type DtlsRecord,
  decodeRecord,
  dtls12,
  encodePlainRecord,
  maxPlaintextLength,
  maxSequence,
  recordLength,
} from './codec/record.ts';
import { decodePathMessage, encodePathMessage, PathMessage } from './codec/returnRoutability.ts';
import type { NegotiatedCids } from './connectionId.ts';
import type { SessionKeys } from './crypto/keySchedule.ts';
import { maxRepeated } from './handshakeRecords.ts';
import { openRecord, sealRecord } from './protection.ts';
import { isNew, mark, newReplayWindow, type ReplayWindow } from './replayWindow.ts';

/**
 * A device's side of DTLS 1.2 with a pre-shared key: one association with one server. `connect` begins a handshake, and
 * another one if there was one before; after `out.connected` it sends and delivers. What a session left behind is used
 * once to resume it: a handshake that fails with it is followed by a full one. Sans-I/O like the rest.
 */
export class DtlsClient {
  readonly #options: ClientOptions;
  readonly #suites: readonly CipherSuite[];
  #handshake: ClientHandshake | undefined;
  #established: EstablishedClient | undefined;
  #session: ClientSession | undefined;
  /** When to send the flight again if nothing has come back. Doubles each time, to 60 s (RFC 6347 §4.2.4.1). */
  #retransmitAt: Instant | undefined;
  #timeout: Milliseconds = 0;
  #giveUpAt: Instant | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#suites = options.suites ?? pskSuites;
    this.#session = options.session;
  }

  /** What the next `connect` will try to resume. It is worth keeping over a restart of the device, and secret. */
  get session(): ClientSession | undefined {
    return this.#session;
  }

  get isConnected(): boolean {
    return this.#established !== undefined && this.#handshake === undefined;
  }

  connect(now: Now, out: ClientOut): void {
    this.#established = undefined;
    const session = this.#options.resumption === false ? undefined : this.#session;
    const resume = session && this.#suites.includes(session.suite) ? session : undefined;
    this.#session = undefined;
    this.#handshake = new ClientHandshake({ returnRoutability: true, ...this.#options, suites: this.#suites, resume });
    this.#giveUpAt = after(now.instant, this.#options.giveUpAfter ?? defaultGiveUp);
    this.#apply(now, this.#handshake.start(), out);
  }

  receive(now: Now, datagram: Bytes, out: ClientOut): void {
    let at = 0;
    for (let records = 0; at < datagram.length && records < maxRecords; records++) {
      const record = decodeRecord(datagram, at, this.#options.cid?.length ?? 0);
      if (record === undefined) return;
      at += recordLength(record);
      const handshake = this.#handshake;
      if (record.epoch === 1 && this.#established !== undefined) this.#receiveSealed(this.#established, record, out);
      else if (handshake === undefined) continue;
      else if (record.epoch === 1) this.#apply(now, handshake.receiveProtected(record), out);
      else if (record.epoch !== 0) continue;
      else if (record.type === ContentType.changeCipherSpec) {
        this.#apply(now, handshake.receiveChangeCipherSpec(), out);
      } else if (record.type === ContentType.handshake) {
        const fragments = decodeFragments(record.fragment);
        if (fragments !== undefined) this.#apply(now, handshake.receive(fragments), out);
      } else if (record.type === ContentType.alert) this.#receivePlainAlert(record, out);
    }
  }

  /** Nothing happens while there is no session, or if the plaintext is longer than a record may hold. */
  send(plaintext: Bytes, out: ClientOut): void {
    if (plaintext.length > (this.#options.maxFragmentLength ?? maxPlaintextLength)) return;
    if (this.#established !== undefined) this.#seal(this.#established, ContentType.applicationData, plaintext, out);
  }

  /** close_notify to the server; no `out.closed` for it. */
  close(out: ClientOut): void {
    const alert = encodeAlert({ level: 'warning', description: AlertDescription.closeNotify });
    if (this.#established !== undefined) this.#seal(this.#established, ContentType.alert, alert, out);
    this.#end();
  }

  expire(now: Now, out: ClientOut): void {
    if (this.#handshake === undefined) return;
    if (this.#giveUpAt !== undefined && now.instant >= this.#giveUpAt) return this.#fail('gave-up', out);
    if (this.#retransmitAt === undefined || now.instant < this.#retransmitAt) return;
    this.#timeout = Math.min(this.#timeout * 2, maxTimeout);
    this.#retransmitAt = after(now.instant, this.#timeout);
    const step = this.#handshake.retransmission();
    if (step.kind === 'send') out.transmit(step.datagram);
  }

  nextExpiry(): Instant | undefined {
    if (this.#retransmitAt === undefined) return this.#giveUpAt;
    if (this.#giveUpAt === undefined) return this.#retransmitAt;
    return Math.min(this.#retransmitAt, this.#giveUpAt) as Instant;
  }

  #apply(now: Now, step: ClientStep, out: ClientOut): void {
    switch (step.kind) {
      case 'nothing':
        return;
      case 'send':
        this.#timeout = this.#options.firstTimeout ?? defaultTimeout;
        this.#retransmitAt = after(now.instant, this.#timeout);
        return out.transmit(step.datagram);
      case 'failed':
        out.transmit(step.datagram);
        return this.#fail(step.fault, out);
      case 'established': {
        const window = newReplayWindow();
        mark(window, step.readSequence);
        this.#end();
        const { suite, keys, cids, writeSequence, plainSequence, lastFlight } = step;
        const established = { suite, keys, cids, writeSequence, plainSequence, lastFlight, window, repeated: 0 };
        this.#established = established;
        this.#session = step.session;
        this.#sendLastFlight(established, out);
        return out.connected(step.suite, step.resumed);
      }
      default:
        assertNever(step);
    }
  }

  #receiveSealed(session: EstablishedClient, record: DtlsRecord, out: ClientOut): void {
    if (!sameBytes(record.cid, session.cids?.client ?? noBytes) || !isNew(session.window, record.sequence)) return;
    const opened = openRecord(session.suite, session.keys.server, record);
    if (opened === undefined) return;
    mark(session.window, record.sequence);
    const { type, plaintext } = opened;
    if (type === ContentType.applicationData) return out.deliver(plaintext);
    if (type === ContentType.returnRoutabilityCheck) return this.#answerChallenge(session, plaintext, out);
    // The server sends its Finished again: ours was lost (RFC 6347 §4.2.4).
    if (type === ContentType.handshake && plaintext[0] === HandshakeType.finished) {
      if (session.repeated++ < maxRepeated) this.#sendLastFlight(session, out);
      return;
    }
    if (type !== ContentType.alert) return;
    const alert = decodeAlert(plaintext);
    if (alert === undefined) return;
    if (alert.level === 'warning' && alert.description !== AlertDescription.closeNotify) return;
    // After a fatal alert a session must not be resumed (RFC 5246 §7.2.2).
    if (alert.level === 'fatal') this.#session = undefined;
    // Answered in kind (RFC 5246 §7.2.1).
    if (alert.description === AlertDescription.closeNotify) this.close(out);
    this.#end();
    out.closed(alert.description === AlertDescription.closeNotify ? 'close-notify' : 'alert');
  }

  /** ChangeCipherSpec and Finished, each in a record with a new number; nothing if the last flight was the server's. */
  #sendLastFlight(session: EstablishedClient, out: ClientOut): void {
    const { suite, keys, cids, lastFlight } = session;
    if (lastFlight === undefined || session.writeSequence > maxSequence) return;
    const change = encodePlainRecord(ContentType.changeCipherSpec, dtls12, session.plainSequence++, changeCipherSpec);
    const sequence = session.writeSequence++;
    const finished = sealRecord(suite, keys.client, ContentType.handshake, 1, sequence, lastFlight, cids?.server);
    out.transmit(concatBytes(change, finished));
  }

  /** At once, and once (RFC 9853 §5.4). */
  #answerChallenge(session: EstablishedClient, plaintext: Bytes, out: ClientOut): void {
    const message = decodePathMessage(plaintext);
    if (message?.type !== PathMessage.challenge || session.cids?.returnRoutability !== true) return;
    const response = encodePathMessage(PathMessage.response, message.cookie);
    this.#seal(session, ContentType.returnRoutabilityCheck, response, out);
  }

  /** In clear it is anybody's word: it ends a handshake, which can be begun again, and never a session. */
  #receivePlainAlert(record: DtlsRecord, out: ClientOut): void {
    const alert = decodeAlert(record.fragment);
    if (alert?.level !== 'fatal') return;
    this.#fail(`alert ${alertName(alert.description)}`, out);
  }

  #fail(reason: ClientFault | 'gave-up' | `alert ${string}`, out: ClientOut): void {
    this.#end();
    out.closed(reason);
  }

  #seal(session: EstablishedClient, type: number, plaintext: Bytes, out: ClientOut): void {
    // One more record would use a nonce twice: a session that gets there is silent, and its owner connects again.
    if (session.writeSequence > maxSequence) return;
    const { suite, keys, cids } = session;
    out.transmit(sealRecord(suite, keys.client, type, 1, session.writeSequence++, plaintext, cids?.server));
  }

  #end(): void {
    this.#handshake = undefined;
    this.#established = undefined;
    this.#retransmitAt = undefined;
    this.#giveUpAt = undefined;
  }
}

export interface ClientOut {
  transmit(datagram: Bytes): void;
  /** `resumed`: without a key exchange, as the session before it. */
  connected(suite: CipherSuite, resumed: boolean): void;
  /** A view, valid during the call. */
  deliver(plaintext: Bytes): void;
  /** The handshake failed or the session ended. */
  closed(reason: string): void;
}

export interface ClientOptions {
  readonly identity: Bytes;
  readonly key: Bytes;
  readonly random: RandomSource;
  /** What to offer, most wanted first; by default the suites of plain PSK. */
  readonly suites?: readonly CipherSuite[];
  /** For suites with an ephemeral exchange, most wanted first; by default all that we know. */
  readonly groups?: readonly NamedGroup[] | undefined;
  /** A session to resume on the first `connect`. */
  readonly session?: ClientSession | undefined;
  /** `false`: each handshake is a full one. */
  readonly resumption?: boolean | undefined;
  /** What the server is to put into its records to us; empty if it need not; `undefined` to do without (RFC 9146). */
  readonly cid?: Bytes | undefined;
  /** Whether to offer the return routability check (RFC 9853); by default with a `cid`. */
  readonly returnRoutability?: boolean | undefined;
  /** How long records may be, in both directions, in bytes (RFC 6066 §4); by default as long as DTLS has them. */
  readonly maxFragmentLength?: MaxFragmentLength | undefined;
  readonly firstTimeout?: Milliseconds;
  readonly giveUpAfter?: Milliseconds;
}

interface EstablishedClient {
  readonly suite: CipherSuite;
  readonly keys: SessionKeys;
  readonly cids: NegotiatedCids | undefined;
  writeSequence: number;
  plainSequence: number;
  readonly lastFlight: Bytes | undefined;
  /** How often the server asked for it again. */
  repeated: number;
  readonly window: ReplayWindow;
}

const defaultTimeout = seconds(1);
const maxTimeout = seconds(60);
const defaultGiveUp = seconds(60);
const maxRecords = 32;
