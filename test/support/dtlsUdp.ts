import { createSocket, type Socket } from 'node:dgram';
import { PermutedConnectionIds } from '../../src/adapters/connectionIds.ts';
import { SystemRandom } from '../../src/adapters/systemRandom.ts';
import { type Bytes, toHex, utf8 } from '../../src/base/bytes.ts';
import type { Peer } from '../../src/base/peer.ts';
import type { RandomSource } from '../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../src/base/time.ts';
import { DtlsClient } from '../../src/dtls/client.ts';
import type { CipherSuite } from '../../src/dtls/codec/cipherSuite.ts';
import { DtlsEndpoint } from '../../src/dtls/endpoint.ts';
import type { CloseReason, HandshakeReport } from '../../src/dtls/fault.ts';
import type { KeyLog } from '../../src/dtls/keyLog.ts';
import type { DtlsOut, Session } from '../../src/dtls/out.ts';
import type { ResumableSession } from '../../src/dtls/resumption.ts';

/** A DTLS server on a real UDP socket of this machine: it answers each message with the same in upper case. */
export class UdpServer {
  readonly port: number;
  readonly verified: Session[] = [];
  /** How long a record to each of them may be. */
  readonly maxPlaintexts: (number | undefined)[] = [];
  readonly received: string[] = [];
  readonly closed: CloseReason[] = [];
  readonly failed: HandshakeReport[] = [];
  readonly datagrams: { from: 'client' | 'server'; datagram: Bytes }[] = [];
  readonly #resumable = new Map<string, ResumableSession>();
  readonly #socket: Socket;
  readonly #server: DtlsEndpoint;
  #timer: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];

  private constructor(socket: Socket, options: UdpServerOptions) {
    this.#socket = socket;
    this.port = socket.address().port;
    this.#server = new DtlsEndpoint({
      psk: {
        find: identity =>
          new TextDecoder().decode(identity) === testIdentity
            ? { key: testKey, owner: { row: 1, credential: 1 } }
            : undefined,
      },
      random: options.random ?? new SystemRandom(),
      firstPeer: 1,
      resumption: {
        idOf: origin => sessionIds.of(origin),
        find: sessionId => this.#resumable.get(toHex(sessionId)),
      },
      ...(options.suites && { suites: options.suites }),
      keyLog: options.keyLog,
      limits: { maxAssociations: 64 },
    });
    socket.on('message', (buffer, from) => {
      const datagram = new Uint8Array(buffer);
      this.datagrams.push({ from: 'client', datagram: datagram.slice() });
      this.#server.receive(now(), { socket: 0, address: from.address, port: from.port }, datagram, this.#out);
      this.#changed();
    });
  }

  static open(options: UdpServerOptions = {}): Promise<UdpServer> {
    const socket = createSocket('udp4');
    return new Promise(resolve => socket.bind(0, '127.0.0.1', () => resolve(new UdpServer(socket, options))));
  }

  /** Resolves once `done` holds; rejects after ten seconds. */
  until(done: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => reject(new Error('nothing of the kind happened in ten seconds')), 10_000);
      const look = (): void => {
        if (!done()) {
          this.#waiting.push(look);
          return;
        }
        clearTimeout(timeout);
        resolve();
      };
      look();
    });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#socket.close();
  }

  readonly #out: DtlsOut = {
    transmit: (remote, datagram) => {
      this.datagrams.push({ from: 'server', datagram: datagram.slice() });
      this.#socket.send(datagram, remote.port, remote.address);
    },
    verified: (peer, session) => {
      this.verified.push(session);
      const { resumption } = session;
      if (resumption !== undefined) {
        this.#resumable.set(toHex(sessionIds.of(resumption.origin)), { ...session, ...resumption });
      }
      this.maxPlaintexts.push(this.#server.maxPlaintext(peer));
      this.#server.confirmed(peer, this.#out);
    },
    deliver: (peer: Peer, plaintext) => {
      const text = new TextDecoder().decode(plaintext);
      this.received.push(text);
      this.#server.send(peer, utf8(text.toUpperCase()), this.#out);
    },
    reserve: (peer, _, writeMark) => this.#server.reserved(peer, writeMark, this.#out),
    moving: () => undefined,
    moved: () => undefined,
    closed: (_peer, _owner, reason) => void this.closed.push(reason),
    failed: report => void this.failed.push(report),
  };

  #changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const look of waiting) look();
    clearTimeout(this.#timer);
    const next = this.#server.nextExpiry();
    if (next === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#server.expire(now(), this.#out);
        this.#changed();
      },
      Math.max(0, next - performance.now()),
    );
  }
}

export interface UdpServerOptions {
  readonly suites?: readonly CipherSuite[];
  readonly random?: RandomSource;
  readonly keyLog?: KeyLog;
}

/** Connects our client to a DTLS server of somebody else's; says `text`, and resolves with what comes back. */
export function askOverUdp(port: number, suites: readonly CipherSuite[], text: string): Promise<string> {
  const socket = createSocket('udp4');
  const dtls = new DtlsClient({ identity: utf8(testIdentity), key: testKey, random: new SystemRandom(), suites });
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      socket.close();
      settle();
    };
    const out = {
      transmit: (datagram: Bytes): void => socket.send(datagram, port, '127.0.0.1'),
      connected: (): void => dtls.send(utf8(text), out),
      deliver: (plaintext: Bytes): void => {
        const answer = new TextDecoder().decode(plaintext);
        dtls.close(out);
        setImmediate(() => end(() => resolve(answer)));
      },
      closed: (reason: string): void => end(() => reject(new Error(reason))),
    };
    const arm = (): void => {
      clearTimeout(timer);
      const next = dtls.nextExpiry();
      if (next === undefined) return;
      timer = setTimeout(
        () => {
          dtls.expire(now(), out);
          arm();
        },
        Math.max(0, next - performance.now()),
      );
    };
    socket.on('message', buffer => {
      dtls.receive(now(), new Uint8Array(buffer), out);
      arm();
    });
    // The other server may not listen yet: the hello is sent again.
    socket.on('error', () => undefined);
    dtls.connect(now(), out);
    arm();
  });
}

/** One that nobody listens on at the moment. */
export function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  return new Promise(resolve =>
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    }),
  );
}

function now(): Now {
  return { instant: performance.now() as Instant, wall: Date.now() as WallTime };
}

const sessionIds = new PermutedConnectionIds(new Uint8Array(24).map((_, n) => n));
export const testIdentity = 'Client_identity';
export const testKey = utf8('0123456789abcdef');
export const testKeyHex = '30313233343536373839616263646566';
