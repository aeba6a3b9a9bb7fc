import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type Bytes, noBytes, utf8 } from '../../src/base/bytes.ts';
import { codeText, Method } from '../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage, type Message, type Request } from '../../src/coap/codec/message.ts';
import { ContentFormat, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';

/** A peer on plain CoAP that sends exactly what a test says and keeps everything that comes back. */
export class PlainClient {
  readonly received: Message[] = [];
  readonly #socket: Socket;
  #nextId = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', datagram => this.received.push(decodeMessage(new Uint8Array(datagram)) as Message));
    socket.on('error', () => undefined);
  }

  static async open(t: { teardown(end: () => void): void }, server: string): Promise<PlainClient> {
    const socket = createSocket('udp4');
    const [host, port] = server.split(':');
    socket.connect(Number(port), host);
    await once(socket, 'connect');
    t.teardown(() => socket.close());
    return new PlainClient(socket);
  }

  /** Another server from now on. */
  async reconnect(server: string): Promise<void> {
    const [host, port] = server.split(':');
    this.#socket.disconnect();
    this.#socket.connect(Number(port), host);
    await once(this.#socket, 'connect');
  }

  send(bytes: Bytes): void {
    this.#socket.send(bytes);
  }

  /** `POST /rd?…`; returns the message ID. */
  register(...query: readonly string[]): number {
    return this.request({ options: queryOptions(query) });
  }

  request(parts: Partial<Request>): number {
    const messageId = this.#nextId++;
    this.send(encodeMessage({ ...emptyRequest, messageId, token: utf8(`t${messageId}`), ...parts }));
    return messageId;
  }

  /** What the message with this ID was answered, e.g. `2.01` or `RST`; `undefined` after so many milliseconds. */
  async answer(messageId: number, milliseconds = 3000): Promise<string | undefined> {
    for (const end = performance.now() + milliseconds; performance.now() < end; ) {
      const found = this.received.find(message => message.messageId === messageId);
      if (found !== undefined) return found.kind === 'empty' ? found.type : codeText(found.code);
      await pause(5);
    }
    return undefined;
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, milliseconds));
}

function queryOptions(query: readonly string[]): Options {
  const options = Options.empty.with(UriPath, 'rd').with(ContentFormat, 40);
  return query.reduce((before, parameter) => before.with(UriQuery, parameter), options);
}

const emptyRequest: Omit<Request, 'messageId' | 'token'> = {
  kind: 'request',
  type: 'CON',
  code: Method.POST,
  options: Options.empty,
  payload: noBytes,
};
