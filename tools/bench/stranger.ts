import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { ClientHandshake } from '../../src/dtls/clientHandshake.ts';
import { cipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { LoadFailure, type Target } from '../load/udpDevice.ts';

/** Somebody who says hello and never goes on. */
export class Stranger {
  readonly #socket: Socket;
  readonly #hello: Uint8Array;
  #answered: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const options = { identity: utf8('stranger'), key: new Uint8Array(16), suites: cipherSuites, random };
    const first = new ClientHandshake(options).start();
    if (first.kind !== 'send') throw new Error(first.kind);
    this.#hello = first.datagram;
    socket.on('message', () => this.#answered?.());
  }

  static async open(server: Target): Promise<Stranger> {
    const socket = createSocket('udp4');
    socket.connect(server.port, server.host);
    await once(socket, 'connect');
    return new Stranger(socket);
  }

  /** Resolves with the answer. */
  hello(): Promise<void> {
    return new Promise((resolve, reject) => {
      const patience = setTimeout(() => reject(new LoadFailure('hello: timeout')), patienceMilliseconds);
      this.#answered = () => {
        clearTimeout(patience);
        resolve();
      };
      this.#socket.send(this.#hello);
    });
  }

  close(): void {
    this.#socket.close();
  }
}

const random = new SeededRandom(1);
const patienceMilliseconds = 5000;
