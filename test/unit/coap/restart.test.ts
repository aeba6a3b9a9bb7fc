import t from 'tap';
import { type Bytes, toHex } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import { Method, ResponseCode } from '../../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage } from '../../../src/coap/codec/message.ts';
import { Options } from '../../../src/coap/codec/option.ts';
import { CoapEndpoint } from '../../../src/coap/endpoint.ts';
import type { CoapOut } from '../../../src/coap/out.ts';

const peer = 7 as Peer;
const now: Now = { instant: 1000 as Instant, wall: 1e12 as WallTime };

/** One run of the server's CoAP: each message that leaves takes the next number of the session under it. */
class Run {
  readonly sent: Bytes[] = [];
  readonly pongs: Peer[] = [];
  sequence: number;
  readonly endpoint: CoapEndpoint;
  readonly out: CoapOut = {
    transmit: (_, message) => {
      this.sequence++;
      this.sent.push(message);
    },
    request: () => undefined,
    response: () => undefined,
    failed: () => undefined,
    refused: () => undefined,
    unobserved: () => undefined,
    notified: () => undefined,
    ponged: from => void this.pongs.push(from),
  };

  constructor(firstSequence: number) {
    this.sequence = firstSequence;
    this.endpoint = new CoapEndpoint({ random: new SeededRandom(1), sequenceOf: () => this.sequence });
  }

  ask(): { messageId: number; token: string } {
    const draft = { code: Method.GET, options: Options.empty, payload: new Uint8Array(0) };
    const handle = this.endpoint.request(now, peer, draft, this.out)!;
    const message = decodeMessage(this.sent.at(-1)!);
    if (message.kind !== 'request') throw new Error(message.kind);
    this.endpoint.cancel(now, handle, this.out);
    return { messageId: message.messageId, token: toHex(message.token) };
  }
}

t.test('after a restart an answer to an earlier request would match a new one', async t => {
  const first = new Run(5);
  const before = Array.from({ length: 300 }, () => first.ask());
  // The write mark is at least as high as any number that was used.
  const after = new Run(first.sequence + 100);
  const asked = [...before, ...Array.from({ length: 300 }, () => after.ask())];
  t.equal(new Set(asked.map(({ messageId }) => messageId)).size, asked.length, 'message IDs');
  t.equal(new Set(asked.map(({ token }) => token)).size, asked.length, 'tokens');
  t.ok(asked.every(({ token }) => token.length === 16));
});

t.test('requests in line, for which no number was used yet, have tokens of their own', async t => {
  const run = new Run(5);
  const draft = { code: Method.GET, options: Options.empty, payload: new Uint8Array(0) };
  for (let n = 0; n < 4; n++) run.endpoint.request(now, peer, draft, run.out);
  t.equal(run.sent.length, 1, 'NSTART');
  const tokens: string[] = [];
  for (let n = 0; n < 4; n++) {
    const message = decodeMessage(run.sent[n]!);
    if (message.kind !== 'request') throw new Error(message.kind);
    tokens.push(toHex(message.token));
    const { messageId, token } = message;
    const fields = { code: ResponseCode.Content, options: Options.empty, payload: new Uint8Array(0) };
    run.endpoint.receive(
      now,
      peer,
      encodeMessage({ kind: 'response', type: 'ACK', messageId, token, ...fields }),
      run.out,
    );
  }
  t.equal(new Set(tokens).size, 4);
});

t.test('a ping is answered by RST, or by the ACK of a stack that knows no better, and by nothing else', async t => {
  for (const type of ['RST', 'ACK'] as const) {
    const run = new Run(40);
    run.endpoint.ping(now, peer, { socket: 0, address: '192.0.2.1', port: 1 }, run.out);
    t.strictSame(toHex(run.sent[0]!), '400053a9', 'an empty Confirmable message, numbered from where its peer begins');
    const answer = (messageId: number, from: Peer) =>
      run.endpoint.receive(now, from, encodeMessage({ kind: 'empty', type, messageId }), run.out);
    answer(0x53aa, peer);
    answer(0x53a9, 8 as Peer);
    t.strictSame(run.pongs, [], 'another number, another peer');
    answer(0x53a9, peer);
    answer(0x53a9, peer);
    t.strictSame(run.pongs, [peer], 'once');
    t.equal(run.endpoint.sizes().transmissions, 0, 'and it is not sent again');
  }
});
