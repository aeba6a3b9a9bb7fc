import { EventEmitter } from 'node:events';
import { isIPv6 } from 'node:net';
import coap from 'coap';
import { dtls } from 'node-dtls-client';
import { type MapContent, writeRegistrationMap } from '../../src/lwm2m/writeRegistrationMap.ts';
import { type LoadDevice, LoadFailure, type Target } from './udpDevice.ts';

/**
 * A device made of other people's code: node-coap over node-dtls-client. Only the payload is ours. node-dtls-client never
 * sends a handshake flight again, so a handshake that got lost is a failure here.
 */
export class IndependentDevice implements LoadDevice {
  readonly #server: Target;
  readonly #psk: { readonly identity: string; readonly key: Uint8Array };
  #socket: SecuredSocket | undefined;
  #agent: InstanceType<typeof coap.Agent> | undefined;

  constructor(server: Target, psk: { readonly identity: string; readonly key: Uint8Array }) {
    this.#server = server;
    this.#psk = psk;
  }

  async connect(): Promise<void> {
    this.#socket = await SecuredSocket.connect(this.#server, this.#psk);
    this.#agent = new coap.Agent({ socket: this.#socket as never, type: 'udp4' });
  }

  register(registration: MapContent): Promise<void> {
    const { host, port } = this.#server;
    const request = coap.request({ host, port, method: 'POST', pathname: '/rd', agent: this.#agent! });
    request.setOption('Content-Format', 'application/cbor');
    return new Promise((resolve, reject) => {
      const patience = setTimeout(() => reject(new LoadFailure('register: timeout')), patienceMilliseconds);
      request.on('response', response => {
        clearTimeout(patience);
        if (response.code.startsWith('2.')) resolve();
        else reject(new LoadFailure(`register: ${response.code} ${response.payload.toString()}`.trimEnd()));
      });
      request.on('error', (error: Error) => {
        clearTimeout(patience);
        reject(new LoadFailure(`register: ${error.message}`));
      });
      request.end(Buffer.from(writeRegistrationMap(registration, 'compact')));
    });
  }

  async close(): Promise<void> {
    this.#socket?.end();
  }
}

/** What node-coap's agent wants of a socket, over a DTLS session. */
class SecuredSocket extends EventEmitter {
  readonly #socket: dtls.Socket;
  readonly #server: Target;

  private constructor(socket: dtls.Socket, server: Target) {
    super();
    this.#socket = socket;
    this.#server = server;
    socket.on('message', (message: Buffer) =>
      this.emit('message', message, { address: server.host, port: server.port, size: message.length }),
    );
    socket.on('error', () => undefined);
  }

  static connect(server: Target, { identity, key }: { identity: string; key: Uint8Array }): Promise<SecuredSocket> {
    return new Promise((resolve, reject) => {
      const socket = dtls.createSocket({
        type: isIPv6(server.host) ? 'udp6' : 'udp4',
        address: server.host,
        port: server.port,
        psk: { [identity]: Buffer.from(key) },
        timeout: patienceMilliseconds,
      });
      socket.once('connected', () => resolve(new SecuredSocket(socket, server)));
      socket.once('error', (error: Error) => reject(new LoadFailure(`session: ${error.message}`)));
    });
  }

  send(buffer: Buffer, offset: number, length: number, _port: number, _host: string, sent?: () => void): void {
    this.#socket.send(buffer.subarray(offset, offset + length), sent);
  }

  address(): { address: string; port: number; family: string } {
    return { address: this.#server.host, port: 0, family: isIPv6(this.#server.host) ? 'IPv6' : 'IPv4' };
  }

  /** Called by the agent when it has nothing to do for a moment; the session is ours to end. */
  close(): void {
    // See `end`.
  }

  end(): void {
    this.#socket.close();
  }
}

const patienceMilliseconds = 10_000;
