import { createSocket, type Socket, type SocketOptions } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import type { Bytes } from '../../src/base/bytes.ts';

/** How a device reaches a server: always from the same address. */
export interface DeviceSocket {
  send(datagram: Bytes): void;
  /** It waits for nothing any more. What comes now it need not hear. */
  rest(): void;
  close(): Promise<void>;
}

/**
 * `kept`: open as long as the device is there, one open file each. `visiting`: open only while it waits for an answer, so
 * that a load has as many addresses as it likes, each its own, with few open files; a socket that opens and closes takes
 * about 30 µs more. Only with a server on loopback, over IPv4.
 */
export type SocketKind = 'kept' | 'visiting';

/** How as many devices as these have their sockets: all in the same way, so that they can be compared. */
export function socketsFor(counts: readonly number[]): SocketKind {
  return counts.reduce((sum, count) => sum + count, 0) > mostKept() ? 'visiting' : 'kept';
}

/** How many sockets this process may keep open, with room for what else it opens (Linux). */
export function mostKept(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return Math.floor(0.75 * Number(limit ?? Number.POSITIVE_INFINITY));
}

export interface Target {
  readonly host: string;
  readonly port: number;
}

export async function openDeviceSocket(
  kind: SocketKind,
  server: Target,
  heard: (datagram: Bytes) => void,
): Promise<DeviceSocket> {
  return kind === 'kept' ? keptSocket(server, heard) : new VisitingSocket(server, heard);
}

async function keptSocket(server: Target, heard: (datagram: Bytes) => void): Promise<DeviceSocket> {
  const socket = createSocket({ type: isIPv6(server.host) ? 'udp6' : 'udp4' });
  listen(socket, heard);
  // Several processes at one address would share its 28,000 ports.
  if (server.host.startsWith('127.') && process.platform === 'linux') {
    socket.bind({ address: ownLoopback, port: 0, exclusive: true });
    await once(socket, 'listening');
  }
  // Nobody listens there (yet): what was sent is sent again.
  socket.on('error', () => undefined);
  socket.connect(server.port, server.host);
  await once(socket, 'connect');
  return {
    send: datagram => socket.send(datagram),
    rest: () => undefined,
    close: () => new Promise(resolve => socket.close(resolve)),
  };
}

class VisitingSocket implements DeviceSocket {
  readonly #server: Target;
  readonly #heard: (datagram: Bytes) => void;
  readonly #address: string;
  #socket: Socket | undefined;

  constructor(server: Target, heard: (datagram: Bytes) => void) {
    this.#server = server;
    this.#heard = heard;
    this.#address = nextLoopback();
  }

  send(datagram: Bytes): void {
    this.#socket ??= this.#open();
    this.#socket.send(datagram, this.#server.port, this.#server.host);
  }

  rest(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  async close(): Promise<void> {
    this.rest();
  }

  #open(): Socket {
    const socket = createSocket({ type: 'udp4', lookup: literal });
    listen(socket, this.#heard);
    socket.bind({ address: this.#address, port: visitingPort, exclusive: true });
    return socket;
  }
}

function listen(socket: Socket, heard: (datagram: Bytes) => void): void {
  socket.on('message', (buffer: Buffer) => heard(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)));
}

/** 127.1.0.1, 127.1.0.2, …: another one for each device of this process. */
function nextLoopback(): string {
  const n = ++loopbacks;
  if (n >= 0xff_00_00) throw new Error('no loopback addresses are left');
  return `127.${1 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

/** In this very turn, so that a socket is bound or connected when it is made. Only for addresses, not for names. */
export const literal: SocketOptions['lookup'] = (host, _options, found) => found(null, host, isIPv6(host) ? 6 : 4);

let loopbacks = 0;
/** Of the kept sockets of this process, apart from those that `nextLoopback` gives. */
const ownLoopback = `127.0.${1 + ((process.pid >> 8) % 254)}.${process.pid & 255}`;
/** Below those that a system gives away by itself, and another one for most other processes that do this too. */
const visitingPort = 10_000 + (process.pid % 20_000);
