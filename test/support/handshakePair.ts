import { PermutedConnectionIds } from '../../src/adapters/connectionIds.ts';
import { type Bytes, concatBytes, toHex, utf8 } from '../../src/base/bytes.ts';
import type { Peer, Remote } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../src/base/time.ts';
import { DtlsClient } from '../../src/dtls/client.ts';
import type { ClientSession } from '../../src/dtls/clientStep.ts';
import { alertName, decodeAlert } from '../../src/dtls/codec/alert.ts';
import type { CipherSuite } from '../../src/dtls/codec/cipherSuite.ts';
import type { MaxFragmentLength } from '../../src/dtls/codec/extension.ts';
import { decodeFragments, HandshakeType, handshakeHeaderLength } from '../../src/dtls/codec/handshake.ts';
import type { NamedGroup } from '../../src/dtls/codec/namedGroup.ts';
import {
  ContentType,
  type DtlsRecord,
  decodeRecord,
  encodePlainRecord,
  recordLength,
} from '../../src/dtls/codec/record.ts';
import { connectionIdLength } from '../../src/dtls/connectionId.ts';
import { DtlsEndpoint } from '../../src/dtls/endpoint.ts';
import type { CloseReason, HandshakeReport } from '../../src/dtls/fault.ts';
import { keyLogLine } from '../../src/dtls/keyLog.ts';
import type { DtlsOut, Session } from '../../src/dtls/out.ts';
import type { Owner, PskEntry } from '../../src/dtls/psk.ts';
import type { ResumableSession, ResumptionPort } from '../../src/dtls/resumption.ts';
import type { DtlsLimits } from '../../src/dtls/settings.ts';

/**
 * A server and its clients on a virtual network with a virtual clock: the whole run is a function of the options. What
 * was said is in `ladder`, one line a datagram.
 */
export class HandshakePair {
  server: DtlsEndpoint;
  readonly client: PairClient;
  readonly clients: PairClient[] = [];
  readonly ladder: string[] = [];
  /** Every datagram that was sent, lost ones too; `session` says how many sessions there had been. */
  readonly sent: { from: 'client' | 'server'; remote: Remote; datagram: Bytes; session: number }[] = [];
  readonly verified: { peer: Peer; session: Session }[] = [];
  readonly delivered: { peer: Peer; text: string; sequence: number }[] = [];
  /** The write marks that were asked for. */
  readonly reserved: number[] = [];
  /** Addresses that somebody else has to prove, and those that were. */
  readonly moving: { peer: Peer; remote: Remote }[] = [];
  readonly moved: { peer: Peer; remote: Remote }[] = [];
  readonly closed: { peer: Peer; reason: CloseReason }[] = [];
  readonly failed: HandshakeReport[] = [];
  readonly psks = new Map<string, PskEntry>();
  /** What the registry keeps for those who resume, by session id in hexadecimal; at most one for an owner. */
  readonly resumable = new Map<string, ResumableSession>();
  /** What the network does to a datagram on its way: any number of others instead. */
  intercept: (from: 'client' | 'server', datagram: Bytes, remote: Remote) => readonly Bytes[] = (_, datagram) => [
    datagram,
  ];
  /** What `--dangerous-key-log` would write. */
  readonly keyLog: string[] = [];
  time = 1000;

  readonly #options: PairOptions;
  readonly #random: SeededRandom;
  readonly #events: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(options: PairOptions = {}) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed ?? 1);
    this.psks.set('device-1', { key: defaultKey, owner: { row: 1, credential: 1 } });
    this.server = this.newServer(1);
    this.client = this.addClient(options);
  }

  newServer(firstPeer: number): DtlsEndpoint {
    const { suites, limits } = this.#options;
    return new DtlsEndpoint({
      psk: { find: identity => this.psks.get(new TextDecoder().decode(identity)) },
      random: this.#random.fork(),
      firstPeer,
      ...(suites && { suites }),
      cids: connectionIds,
      keyLog: { secret: (random, secret) => void this.keyLog.push(keyLogLine(random, secret)) },
      ...(this.#options.resumption === true && { resumption: this.#resumption }),
      limits: { maxAssociations: 8, ...limits },
    });
  }

  get now(): Now {
    return { instant: this.time as Instant, wall: (1e12 + this.time) as WallTime };
  }

  addClient(options: ClientPairOptions = {}): PairClient {
    const remote = options.remote ?? { socket: 0, address: '192.0.2.1', port: 40_000 + this.clients.length };
    const client = new PairClient(this, remote, this.#random.fork(), options);
    this.clients.push(client);
    return client;
  }

  readonly serverOut: DtlsOut = {
    transmit: (remote, datagram) => this.#transmit('server', remote, datagram),
    verified: (peer, session) => {
      this.verified.push({ peer, session });
      this.#keep(session);
      const { confirm = 0 } = this.#options;
      if (confirm !== 'never') this.#at(this.time + confirm, () => this.server.confirmed(peer, this.serverOut));
    },
    deliver: (peer, plaintext, sequence) =>
      void this.delivered.push({ peer, text: new TextDecoder().decode(plaintext), sequence }),
    reserve: (peer, _, writeMark) => {
      this.reserved.push(writeMark);
      const { reserve = 0 } = this.#options;
      if (reserve !== 'never')
        this.#at(this.time + reserve, () => this.server.reserved(peer, writeMark, this.serverOut));
    },
    moving: (peer, remote) => void this.moving.push({ peer, remote }),
    moved: (peer, _, remote) => void this.moved.push({ peer, remote }),
    closed: (peer, _, reason) => void this.closed.push({ peer, reason }),
    failed: report => void this.failed.push(report),
  };

  /** Hands a datagram straight to the server, and returns what the server sent in answer. */
  toServer(datagram: Bytes, remote: Remote = this.client.remote): Bytes[] {
    const before = this.sent.length;
    this.server.receive(this.now, remote, datagram, this.serverOut);
    return this.sent.slice(before).flatMap(one => (one.from === 'server' ? [one.datagram] : []));
  }

  /** Connects the client and lets time pass until it is connected or has given up. */
  connect(client: PairClient = this.client): this {
    client.connect();
    return this.runUntil(() => client.isOver);
  }

  /** Lets time pass until nothing is under way any more or `done` says so; at most ten minutes. */
  runUntil(done: () => boolean = () => false): this {
    const limit = this.time + 600_000;
    while (!done()) {
      const next = Math.min(
        this.#events[0]?.at ?? Infinity,
        this.server.nextExpiry() ?? Infinity,
        ...this.clients.map(client => client.dtls.nextExpiry() ?? Infinity),
      );
      if (next > limit) break;
      this.time = Math.max(this.time, next);
      if (this.#events[0] !== undefined && this.#events[0].at <= this.time) {
        this.#events.shift()!.run();
        continue;
      }
      this.server.expire(this.now, this.serverOut);
      for (const client of this.clients) client.dtls.expire(this.now, client.out);
    }
    return this;
  }

  /** Lets `span` milliseconds pass. */
  pass(span: number): this {
    let over = false;
    this.#at(this.time + span, () => {
      over = true;
    });
    return this.runUntil(() => over);
  }

  readonly #resumption: ResumptionPort = {
    idOf: origin => sessionIds.of(origin),
    find: sessionId => this.resumable.get(toHex(sessionId)),
  };

  #keep({ resumption, suite, owner, identity, maxPlaintext }: Session): void {
    for (const [id, kept] of this.resumable) if (kept.owner.row === owner.row) this.resumable.delete(id);
    if (resumption === undefined) return;
    const { origin, masterSecret, until } = resumption;
    const kept = { origin, masterSecret, until, suite, owner, identity, maxPlaintext };
    this.resumable.set(toHex(sessionIds.of(origin)), kept);
  }

  /** What was said, from this line of the ladder on, without the times. */
  lines(from = 0): string[] {
    return this.ladder.slice(from).map(line => line.slice(line.search(/[→←]/)));
  }

  datagramsFrom(from: 'client' | 'server'): Bytes[] {
    return this.sent.filter(one => one.from === from).map(one => one.datagram);
  }

  clientSends(client: PairClient, datagram: Bytes): void {
    this.#transmit('client', client.remote, datagram);
  }

  #transmit(from: 'client' | 'server', remote: Remote, datagram: Bytes): void {
    const { loss = 0, duplicate = 0, latency = 10, jitter = 0, fragment } = this.#options;
    this.sent.push({ from, remote, datagram: datagram.slice(), session: this.verified.length });
    const lost = this.#random.fraction() < loss;
    this.ladder.push(
      `${String(this.time).padStart(7)} ${from === 'client' ? '→' : '←'} ${lost ? 'LOST ' : ''}${describe(datagram)}`,
    );
    if (lost) return;
    const whole = fragment === undefined ? [datagram] : fragmented(datagram, fragment);
    for (const piece of whole.flatMap(part => this.intercept(from, part, remote))) {
      const copies = this.#random.fraction() < duplicate ? 2 : 1;
      for (let i = 0; i < copies; i++) {
        const at = this.time + latency + this.#random.fraction() * jitter;
        this.#at(at, () => this.#arrive(from, remote, piece.slice()));
      }
    }
  }

  #arrive(from: 'client' | 'server', remote: Remote, datagram: Bytes): void {
    if (from === 'client') this.server.receive(this.now, remote, datagram, this.serverOut);
    else {
      const client = this.clients.find(one => one.remote.port === remote.port && one.remote.address === remote.address);
      client?.dtls.receive(this.now, datagram, client.out);
    }
    // What was handed in is the caller's again: whoever kept a view of it now holds rubbish.
    datagram.fill(0xee);
  }

  #at(at: number, run: () => void): void {
    this.#events.push({ at, order: this.#order++, run });
    this.#events.sort((a, b) => a.at - b.at || a.order - b.order);
  }
}

export class PairClient {
  readonly dtls: DtlsClient;
  /** Where it is; another address is what a NAT or another network gives it. */
  remote: Remote;
  readonly delivered: string[] = [];
  readonly closed: string[] = [];
  connections = 0;
  suite: CipherSuite | undefined;
  readonly #pair: HandshakePair;

  constructor(pair: HandshakePair, remote: Remote, random: SeededRandom, options: ClientPairOptions) {
    this.#pair = pair;
    this.remote = remote;
    this.dtls = new DtlsClient({
      identity: utf8(options.identity ?? 'device-1'),
      key: options.key ?? defaultKey,
      random,
      ...(options.clientSuites && { suites: options.clientSuites }),
      cid: options.cid,
      groups: options.groups,
      session: options.session,
      maxFragmentLength: options.maxFragmentLength,
      ...(options.returnRoutability !== undefined && { returnRoutability: options.returnRoutability }),
      ...(options.giveUpAfter !== undefined && { giveUpAfter: options.giveUpAfter }),
    });
  }

  readonly out = {
    transmit: (datagram: Bytes): void => this.#pair.clientSends(this, datagram),
    connected: (suite: CipherSuite): void => {
      this.connections++;
      this.suite = suite;
    },
    deliver: (plaintext: Bytes): void => void this.delivered.push(new TextDecoder().decode(plaintext)),
    closed: (reason: string): void => void this.closed.push(reason),
  };

  get isOver(): boolean {
    return this.dtls.isConnected || this.dtls.nextExpiry() === undefined;
  }

  connect(): void {
    this.dtls.connect(this.#pair.now, this.out);
  }

  send(text: string): void {
    this.dtls.send(utf8(text), this.out);
  }
}

export interface PairOptions extends ClientPairOptions {
  readonly seed?: number;
  /** Chances in [0, 1], for each datagram. */
  readonly loss?: number;
  readonly duplicate?: number;
  /** Milliseconds on the way, and up to how many more at random: datagrams overtake each other. */
  readonly latency?: number;
  readonly jitter?: number;
  /** The network cuts handshake messages in clear into pieces of so many bytes, each in a datagram of its own. */
  readonly fragment?: number;
  /** After how many milliseconds a session is durable. */
  readonly confirm?: number | 'never';
  /** After how many milliseconds a higher write mark is durable. */
  readonly reserve?: number | 'never';
  readonly suites?: readonly CipherSuite[];
  /** Whether the server keeps what sessions can be resumed with. */
  readonly resumption?: boolean;
  readonly limits?: Partial<DtlsLimits>;
}

export interface ClientPairOptions {
  readonly identity?: string;
  readonly key?: Bytes;
  readonly clientSuites?: readonly CipherSuite[];
  readonly remote?: Remote;
  /** The connection ID that the client offers. */
  readonly cid?: Bytes;
  readonly returnRoutability?: boolean;
  readonly maxFragmentLength?: MaxFragmentLength;
  readonly groups?: readonly NamedGroup[];
  /** What the client tries to resume first. */
  readonly session?: ClientSession;
  /** Milliseconds after which the client gives up. */
  readonly giveUpAfter?: number;
}

export function handshakePair(options: PairOptions = {}): HandshakePair {
  return new HandshakePair(options);
}

/** A server that keeps what sessions can be resumed with, and a client that has one. */
export function resumingPair(options: PairOptions = {}): HandshakePair {
  return handshakePair({ resumption: true, ...options }).connect();
}

/** How the server goes on with a session, and how it makes a new one. */
export const resumedFlight = /← serverHello\(1\) \[changeCipherSpec\]/;
export const fullFlight = /← serverHello\(1\) .*serverHelloDone/;

export const ownerOf = (n: number): Owner => ({ row: n, credential: n });

/** All records of a datagram. */
export function recordsOf(datagram: Bytes, cidLength: number = connectionIdLength): DtlsRecord[] {
  const records: DtlsRecord[] = [];
  for (let at = 0; at < datagram.length; ) {
    const record = decodeRecord(datagram, at, cidLength);
    if (record === undefined) break;
    records.push(record);
    at += recordLength(record);
  }
  return records;
}

/** The datagram's records one by one, each as a datagram of its own. */
export function split(datagram: Bytes): Bytes[] {
  let at = 0;
  return recordsOf(datagram).map(record => {
    const from = at;
    at += recordLength(record);
    return datagram.slice(from, at);
  });
}

/** `ClientHello(1) [ChangeCipherSpec] {Handshake 40}`: what a datagram holds; braces for what is protected. */
export function describe(datagram: Bytes): string {
  return recordsOf(datagram)
    .map(record => {
      const type = names(ContentType).get(record.type) ?? String(record.type);
      if (record.epoch !== 0) return `{${type} ${record.fragment.length}}`;
      if (record.type === ContentType.alert) {
        return `[alert ${alertName(decodeAlert(record.fragment)?.description ?? -1)}]`;
      }
      if (record.type !== ContentType.handshake) return `[${type}]`;
      const fragments = decodeFragments(record.fragment) ?? [];
      return fragments
        .map(({ type, messageSequence, offset, length, body }) => {
          const range = body.length === length ? '' : ` ${offset}+${body.length}/${length}`;
          return `${names(HandshakeType).get(type) ?? type}(${messageSequence}${range})`;
        })
        .join(' ');
    })
    .join(' ');
}

function fragmented(datagram: Bytes, size: number): Bytes[] {
  return split(datagram).flatMap(bytes => {
    const record = decodeRecord(bytes, 0, connectionIdLength)!;
    if (record.epoch !== 0 || record.type !== ContentType.handshake) return [bytes];
    return (decodeFragments(record.fragment) ?? []).flatMap(({ type, length, messageSequence, body }) => {
      const pieces: Bytes[] = [];
      // The first piece holds what the cookie is about: a server without memory cannot do with less.
      for (let at = 0, end = Math.min(length, Math.max(size, 80)); at === 0 || at < length; at = end, end += size) {
        const part = body.subarray(at, Math.min(end, length));
        const header = new Uint8Array(handshakeHeaderLength);
        const view = new DataView(header.buffer);
        view.setUint32(0, length);
        header[0] = type;
        view.setUint16(4, messageSequence);
        view.setUint16(7, at);
        view.setUint16(10, part.length);
        pieces.push(encodePlainRecord(record.type, record.version, record.sequence, concatBytes(header, part)));
      }
      return pieces;
    });
  });
}

function names(values: Record<string, number>): Map<number, string> {
  return new Map(Object.entries(values).map(([name, value]) => [value, name]));
}

export const connectionIds = new PermutedConnectionIds(new Uint8Array(24).map((_, n) => n * n + 7));
export const sessionIds = new PermutedConnectionIds(new Uint8Array(24).map((_, n) => n * n + 77));

export const defaultKey = utf8('0123456789abcdef');
