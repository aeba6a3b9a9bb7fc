import { networkInterfaces } from 'node:os';
import type { Bytes } from '../base/bytes.ts';
import { type SocketAddress, UdpSocket } from './udpSocket.ts';

/**
 * Listens on one address, or on every address of this machine (`0.0.0.0`, `::`): then with a socket for each, because an
 * answer has to leave from where the question arrived, and many clients take it from nowhere else. Addresses that the
 * machine gets later are listened on from the next start on.
 */
export class UdpListener {
  readonly address: SocketAddress;
  readonly #sockets: readonly UdpSocket[];

  private constructor(address: SocketAddress, sockets: readonly UdpSocket[]) {
    this.address = address;
    this.#sockets = sockets;
  }

  /** `received` is told which of the sockets a datagram came to, from 0 on. Rejects as `UdpSocket.open` does. */
  static async open(at: SocketAddress, received: Received): Promise<UdpListener> {
    const sockets: UdpSocket[] = [];
    let { port } = at;
    try {
      for (const [index, host] of hostsOf(at.host).entries()) {
        const socket = await UdpSocket.open({ host, port }, (datagram, address, from) =>
          received(datagram, address, from, index),
        );
        sockets.push(socket);
        // Port 0 is any for the first socket, and the same for the others.
        port = socket.address.port;
      }
    } catch (error) {
      await Promise.all(sockets.map(socket => socket.close()));
      throw error;
    }
    return new UdpListener({ host: at.host, port }, sockets);
  }

  /** From the socket with this index; from the first, if an earlier run had more of them. */
  send(socket: number, datagram: Bytes, address: string, port: number): void {
    (this.#sockets[socket] ?? this.#sockets[0])?.send(datagram, address, port);
  }

  async close(): Promise<void> {
    await Promise.all(this.#sockets.map(socket => socket.close()));
  }
}

export type Received = (datagram: Bytes, address: string, port: number, socket: number) => void;

/** The addresses that a wildcard stands for; IPv6 link-local ones are left out, as they need a zone. */
function hostsOf(host: string): readonly string[] {
  if (host !== '0.0.0.0' && host !== '::') return [host];
  const all = Object.values(networkInterfaces()).flatMap(found => found ?? []);
  // The first is where a peer is reached from that was not heard yet: most are elsewhere.
  all.sort((a, b) => Number(a.internal) - Number(b.internal));
  const wanted = all.filter(
    ({ family, address }) => family === 'IPv4' || (host === '::' && !address.toLowerCase().startsWith('fe80:')),
  );
  // A machine that names none of its addresses has the wildcard itself.
  return wanted.length === 0 ? [host] : wanted.slice(0, maxSockets).map(({ address }) => address);
}

/** A socket's number has to fit into seven bits, beside those of the other listener. */
export const maxSockets = 128;
