import { type Bytes, noBytes, textOf } from '../../src/base/bytes.ts';
import { codeText, Method } from '../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage, type Message, type Request } from '../../src/coap/codec/message.ts';
import { Echo, Observe, Options, UriPath } from '../../src/coap/codec/option.ts';
import type { Node, SmallWorld } from './smallWorld.ts';

/** Somebody on plain CoAP, in a small world: sends exactly what a test says, and keeps what comes back. */
export class SmallStranger implements Node {
  readonly plain = true;
  readonly port: number;
  readonly due = Number.POSITIVE_INFINITY;
  readonly received: Bytes[] = [];
  readonly #world: SmallWorld;
  #nextId = 1;

  constructor(world: SmallWorld, port: number) {
    this.#world = world;
    this.port = port;
    world.nodes.push(this);
  }

  get(path: string, { echo, observe }: { echo?: Bytes | undefined; observe?: boolean } = {}): Answer {
    let options = Options.empty;
    for (const segment of path.split('/').slice(1)) options = options.with(UriPath, segment);
    if (echo !== undefined) options = options.with(Echo, echo);
    if (observe === true) options = options.with(Observe, 0);
    return this.request({ code: Method.GET, options });
  }

  request(parts: Partial<Request>): Answer {
    const messageId = this.#nextId++;
    const request = encodeMessage({ ...emptyRequest, messageId, token: Uint8Array.of(messageId), ...parts });
    const before = this.received.length;
    this.#world.toServer(this, request);
    this.#world.run(100);
    const datagrams = this.received.slice(before);
    const [message] = datagrams.map(datagram => decodeMessage(datagram) as Message);
    const answer = message?.kind === 'response' ? message : undefined;
    return {
      code: answer && codeText(answer.code),
      echo: answer?.options.get(Echo),
      observe: answer?.options.get(Observe),
      text: answer && textOf(answer.payload),
      sent: request.length,
      heard: datagrams.reduce((sum, { length }) => sum + length, 0),
    };
  }

  receive(datagram: Bytes): void {
    this.received.push(datagram);
  }

  expire(): void {}
}

export interface Answer {
  readonly code: string | undefined;
  readonly echo: Bytes | undefined;
  readonly observe: number | undefined;
  readonly text: string | undefined;
  /** How many bytes went to the server, and how many came from it. */
  readonly sent: number;
  readonly heard: number;
}

const emptyRequest: Omit<Request, 'messageId' | 'token'> = {
  kind: 'request',
  type: 'CON',
  code: Method.POST,
  options: Options.empty,
  payload: noBytes,
};
