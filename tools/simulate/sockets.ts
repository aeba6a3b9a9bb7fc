import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Target } from '../load/udpDevice.ts';

/**
 * The sockets of a fleet. A hundred thousand devices cannot have one each: the system allows some thousands of open
 * files. So many devices share one, and its address, and are told apart by the connection ID that each asked the server
 * to put into its records (RFC 9146). A handshake has none yet, so only one device of a socket shakes hands at a time.
 */
export class Sockets {
  readonly #sockets: SharedSocket[];
  readonly #receive: (device: number, datagram: Bytes) => void;

  private constructor(sockets: SharedSocket[], receive: (device: number, datagram: Bytes) => void) {
    this.#sockets = sockets;
    this.#receive = receive;
    for (const shared of sockets) {
      shared.socket.on('message', (buffer: Buffer) => this.#message(shared, buffer));
      // Nobody listens there (yet): what was sent is sent again.
      shared.socket.on('error', () => undefined);
    }
  }

  static async open(
    server: Target,
    count: number,
    receive: (device: number, datagram: Bytes) => void,
  ): Promise<Sockets> {
    const sockets: SharedSocket[] = [];
    for (let i = 0; i < count; i++) {
      const socket = createSocket(isIPv6(server.host) ? 'udp6' : 'udp4');
      socket.connect(server.port, server.host);
      await once(socket, 'connect');
      sockets.push({ socket, holder: nobody });
    }
    return new Sockets(sockets, receive);
  }

  /** A socket on which nobody shakes hands, for a device that is about to; `undefined` if all are taken. */
  hold(device: number, preferred: number): number | undefined {
    const count = this.#sockets.length;
    for (let i = 0; i < count; i++) {
      const index = (preferred + i) % count;
      const shared = this.#sockets[index]!;
      if (shared.holder !== nobody && shared.holder !== device) continue;
      shared.holder = device;
      return index;
    }
    return undefined;
  }

  release(socket: number, device: number): void {
    const shared = this.#sockets[socket];
    if (shared?.holder === device) shared.holder = nobody;
  }

  send(socket: number, datagram: Bytes): void {
    this.#sockets[socket]!.socket.send(datagram);
  }

  get count(): number {
    return this.#sockets.length;
  }

  async close(): Promise<void> {
    await Promise.all(this.#sockets.map(({ socket }) => new Promise<void>(resolve => socket.close(() => resolve()))));
  }

  #message(shared: SharedSocket, buffer: Buffer): void {
    const datagram = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
    const device =
      datagram[0] === tls12Cid && datagram.length >= cidAt + cidLength ? buffer.readUInt32BE(cidAt) : shared.holder;
    if (device !== nobody) this.#receive(device, datagram);
  }
}

/** The connection ID by which a shared socket finds a device. */
export function cidOf(device: number): Bytes {
  const cid = Buffer.alloc(cidLength);
  cid.writeUInt32BE(device);
  return new Uint8Array(cid);
}

interface SharedSocket {
  readonly socket: Socket;
  /** Whom a datagram without connection ID is for. */
  holder: number;
}

const nobody = -1;
const tls12Cid = 25;
/** Behind type, version, epoch and sequence number (RFC 9146 §4). */
const cidAt = 11;
const cidLength = 4;
