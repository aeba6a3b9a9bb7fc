import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { isIP, isIPv6 } from 'node:net';
import type { Bytes } from '../../src/base/bytes.ts';
import { literal, type Target } from '../load/deviceSocket.ts';

/**
 * The sockets of a fleet. As long as there is one for each device, each has its own. A hundred thousand devices cannot: the
 * system allows some thousands of open files. Then many devices share one, and its address, and are told apart by the
 * connection ID that each asked the server to put into its records (RFC 9146). A handshake has none yet, so only one
 * device of a shared socket shakes hands at a time.
 */
export class Sockets {
  readonly #sockets: SharedSocket[];
  readonly #server: Target;
  readonly #shared: boolean;
  readonly #receive: (device: number, datagram: Bytes) => void;

  private constructor(server: Target, shared: boolean, receive: (device: number, datagram: Bytes) => void) {
    this.#server = server;
    this.#shared = shared;
    this.#receive = receive;
    this.#sockets = [];
  }

  static async open(
    server: Target,
    count: number,
    shared: boolean,
    receive: (device: number, datagram: Bytes) => void,
  ): Promise<Sockets> {
    const host = isIP(server.host) > 0 ? server.host : (await lookup(server.host, 4)).address;
    const sockets = new Sockets({ ...server, host }, shared, receive);
    for (let i = 0; i < count; i++) {
      sockets.#sockets.push(sockets.#open(shared ? nobody : i));
      await once(sockets.#sockets[i]!.socket, 'connect');
    }
    return sockets;
  }

  /** The device's own socket, or one on which nobody shakes hands; `undefined` if all are taken. */
  hold(device: number): number | undefined {
    if (!this.#shared) return device;
    const count = this.#sockets.length;
    for (let i = 0; i < count; i++) {
      const index = (device + i) % count;
      const shared = this.#sockets[index]!;
      if (shared.holder !== nobody && shared.holder !== device) continue;
      shared.holder = device;
      return index;
    }
    return undefined;
  }

  /** Others may shake hands there now. */
  release(socket: number, device: number): void {
    const shared = this.#sockets[socket];
    if (this.#shared && shared?.holder === device) shared.holder = nobody;
  }

  /** Another address for a device, as from a NAT that forgot it: another port for its own socket, or another socket. */
  move(device: number, below: (bound: number) => number): number {
    if (this.#shared) return below(this.#sockets.length);
    const { socket } = this.#sockets[device]!;
    this.#sockets[device] = this.#open(device);
    socket.close();
    return device;
  }

  send(socket: number, datagram: Bytes): void {
    this.#sockets[socket]!.socket.send(datagram);
  }

  async close(): Promise<void> {
    await Promise.all(this.#sockets.map(({ socket }) => new Promise<void>(resolve => socket.close(() => resolve()))));
  }

  #open(holder: number): SharedSocket {
    const socket = createSocket({ type: isIPv6(this.#server.host) ? 'udp6' : 'udp4', lookup: literal });
    const shared = { socket, holder };
    socket.on('message', (buffer: Buffer) => this.#message(shared, buffer));
    // Nobody listens there (yet): what was sent is sent again.
    socket.on('error', () => undefined);
    socket.connect(this.#server.port, this.#server.host);
    return shared;
  }

  #message(shared: SharedSocket, buffer: Buffer): void {
    const datagram = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
    const device =
      this.#shared && datagram[0] === tls12Cid && datagram.length >= cidAt + cidLength
        ? buffer.readUInt32BE(cidAt)
        : shared.holder;
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
  /** Whom a datagram is for that has no connection ID. */
  holder: number;
}

const nobody = -1;
const tls12Cid = 25;
/** Behind type, version, epoch and sequence number (RFC 9146 §4). */
const cidAt = 11;
const cidLength = 4;
