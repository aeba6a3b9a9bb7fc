import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Bytes } from '../base/bytes.ts';

/** Where a socket listens: a literal address and a port, `0` for any free one. */
export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * One UDP socket on one local address. It never resolves names: what it sends to is always an address that a datagram
 * came from. One socket for each local address, since an answer has to leave from where the question arrived and Node
 * cannot choose a datagram's source address.
 */
export class UdpSocket {
  readonly #socket: Socket;
  readonly #received: Received;

  private constructor(socket: Socket, received: Received) {
    this.#socket = socket;
    this.#received = received;
  }

  /** Rejects with the system's error (`EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` …) if the address cannot be bound. */
  static open(at: SocketAddress, received: Received): Promise<UdpSocket> {
    const type = isIPv6(at.host) ? 'udp6' : 'udp4';
    const socket = createSocket({
      type,
      ipv6Only: type === 'udp6' && at.host !== '::',
      recvBufferSize: receiveBufferBytes,
      sendBufferSize: sendBufferBytes,
      lookup: literalAddress,
    });
    const udp = new UdpSocket(socket, received);
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address: at.host, port: at.port, exclusive: true }, () => {
        socket.off('error', reject);
        udp.#listen();
        resolve(udp);
      });
    });
  }

  get address(): SocketAddress {
    const { address, port } = this.#socket.address();
    return { host: address, port };
  }

  /** What the system does not take (unreachable networks, full buffers) is lost, as on the way: peers retransmit. */
  send(datagram: Bytes, address: string, port: number): void {
    this.#socket.send(datagram, 0, datagram.length, port, address);
  }

  close(): Promise<void> {
    return new Promise(resolve => this.#socket.close(resolve));
  }

  #listen(): void {
    this.#socket.on('message', (buffer, from) => {
      // Port 0 cannot be answered, and a machine that tried would throw.
      if (from.port === 0) return;
      this.#received(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length), from.address, from.port);
    });
    // After the bind, errors are about single datagrams (ICMP, buffers): none of them ends the server.
    this.#socket.on('error', () => undefined);
  }
}

/** The bytes are a view that the receiver owns from then on. */
export type Received = (datagram: Bytes, address: string, port: number) => void;

/** Saves one or two microseconds a datagram: `dgram` looks up even literal addresses. */
function literalAddress(
  address: string,
  _options: unknown,
  found: (error: Error | null, address: string, family: number) => void,
): void {
  found(null, address, address.includes(':') ? 6 : 4);
}

// A power cut brings the whole fleet within seconds: the kernel holds what arrives while a turn is under way.
const receiveBufferBytes = 4 * 1024 * 1024;
const sendBufferBytes = 1024 * 1024;
