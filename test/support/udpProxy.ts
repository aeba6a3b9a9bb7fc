import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** A network on the way: remembers what passed, sends it once more, and gives a client a new address as a NAT does. */
export class UdpProxy {
  readonly fromClient: Buffer[] = [];
  readonly fromServer: Buffer[] = [];
  /** Both, in their order, and when, in milliseconds since 1970. */
  readonly passed: { readonly from: 'client' | 'server'; readonly datagram: Buffer; readonly at: number }[] = [];
  readonly #server: { host: string; port: number };
  readonly #inside = createSocket('udp4');
  #outside: Socket | undefined;
  #client = { address: '', port: 0 };
  #losing = 0;

  private constructor(server: { host: string; port: number }) {
    this.#server = server;
  }

  /** For one client. */
  static async open(server: { host: string; port: number }): Promise<UdpProxy> {
    const proxy = new UdpProxy(server);
    proxy.#inside.on('message', (datagram, from) => {
      proxy.#client = from;
      proxy.fromClient.push(datagram);
      proxy.passed.push({ from: 'client', datagram, at: Date.now() });
      if (proxy.#losing > 0) proxy.#losing--;
      else proxy.send(datagram);
    });
    proxy.#inside.bind(0, '127.0.0.1');
    await once(proxy.#inside, 'listening');
    await proxy.rebind();
    return proxy;
  }

  get address(): { host: string; port: number } {
    return { host: '127.0.0.1', port: this.#inside.address().port };
  }

  /** So many of the client's next datagrams do not arrive. */
  loseNext(count: number): void {
    this.#losing = count;
  }

  /** As if the client had sent it. */
  send(datagram: Uint8Array): void {
    this.#outside!.send(datagram, this.#server.port, this.#server.host);
  }

  /** From now on the client talks from another port, and what is sent to the old one is lost. */
  async rebind(): Promise<void> {
    const before = this.#outside;
    const outside = createSocket('udp4');
    outside.on('message', datagram => {
      this.fromServer.push(datagram);
      this.passed.push({ from: 'server', datagram, at: Date.now() });
      this.#inside.send(datagram, this.#client.port, this.#client.address);
    });
    outside.bind(0, '127.0.0.1');
    await once(outside, 'listening');
    this.#outside = outside;
    before?.close();
  }

  close(): void {
    this.#inside.close();
    this.#outside?.close();
  }
}
