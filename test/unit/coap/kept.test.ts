import t, { type Test } from 'tap';
import { type Bytes, utf8 } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import { Writer } from '../../../src/base/writer.ts';
import { Method, ResponseCode } from '../../../src/coap/codec/code.ts';
import { encodeMessage, reply } from '../../../src/coap/codec/message.ts';
import { Observe, Options } from '../../../src/coap/codec/option.ts';
import { CoapEndpoint } from '../../../src/coap/endpoint.ts';
import type { Exchange } from '../../../src/coap/exchange.ts';
import type { CoapOut } from '../../../src/coap/out.ts';
import { Requests } from '../../../src/coap/requests.ts';
import { defaultLimits } from '../../../src/coap/settings.ts';

// What is written shares slabs of 16 KB with what others write (`base/slab`). Whoever keeps it for minutes would keep the
// whole slab with it: here are all who keep something of the kind, and what they have is as long as what they need.

const peer = 1 as Peer;
const at = (seconds: number): Now => ({
  instant: (1000 * seconds) as Instant,
  wall: (1e12 + 1000 * seconds) as WallTime,
});

function endpointAndOut() {
  const sent: Bytes[] = [];
  const exchanges: Exchange[] = [];
  const nothing = (): void => undefined;
  const out: CoapOut = {
    transmit: (_, message) => void sent.push(message),
    request: exchange => void exchanges.push(exchange),
    response: nothing,
    failed: nothing,
    notified: nothing,
    unobserved: nothing,
    ponged: nothing,
    refused: nothing,
  };
  return { endpoint: new CoapEndpoint({ random: new SeededRandom(1) }), out, sent, exchanges };
}

/** What is sent the second time is what was kept. */
function isAlone(t: Test, bytes: Bytes | undefined, what: string): void {
  t.ok(bytes !== undefined && bytes.length > 0, what);
  t.equal(bytes?.buffer.byteLength, bytes?.length, `${what} stands alone`);
}

t.test('a request that is not acknowledged would keep a slab', async t => {
  const { endpoint, out, sent } = endpointAndOut();
  endpoint.request(at(0), peer, { code: Method.GET, options: Options.empty, payload: utf8('what') }, out);
  endpoint.expire(at(5), out);
  t.equal(sent.length, 2);
  isAlone(t, sent[1], 'the retransmission');
});

t.test('a request that waits in line would keep the slab of its payload', async t => {
  const requests = new Requests(
    { ...defaultLimits, nstart: 1 },
    () => utf8('token'),
    () => 1024,
  );
  const payload = new Writer(16).put(utf8('a payload')).finish();
  t.ok(payload.buffer.byteLength > payload.length, 'it is written into one');
  const request = requests.add(peer, { code: Method.PUT, options: Options.empty, payload });
  isAlone(t, request?.draft.payload, 'the payload');
});

t.test('a notification, a newer one in its place and a separate response would keep a slab each', async t => {
  const { endpoint, out, sent, exchanges } = endpointAndOut();
  const request = (messageId: number) =>
    encodeMessage({
      kind: 'request',
      type: 'CON',
      messageId,
      token: utf8(`${messageId}`),
      code: Method.GET,
      options: Options.empty.with(Observe, 0),
      payload: new Uint8Array(),
    });
  for (const id of [1, 2, 3]) endpoint.receive(at(0), peer, request(id), out);
  for (const exchange of exchanges) endpoint.acknowledge(exchange, out);
  const [first, second, third] = exchanges;
  const said = (text: string) => reply(ResponseCode.Content, Options.empty, utf8(text));
  endpoint.respond(at(0), first!, said('separately'), out);
  endpoint.notify(at(0), second!, said('news'), true, out);
  endpoint.notify(at(0), third!, said('old news'), true, out);
  endpoint.notify(at(0), third!, said('news'), true, out);
  const before = sent.length;
  endpoint.expire(at(5), out);
  t.equal(sent.length - before, 3);
  for (const bytes of sent.slice(before)) isAlone(t, bytes, 'the retransmission');

  endpoint.notify(at(5), second!, said('x'.repeat(100_000)), true, out);
  t.equal(second?.held?.first.payload.length, 1024, 'of long news that wait the first block is kept');
  isAlone(t, second?.held?.first.payload, 'that block');
});

t.test('an answer that is kept for duplicates would keep a slab', async t => {
  const { endpoint, out, sent, exchanges } = endpointAndOut();
  for (const [messageId, length] of [
    [1, 4],
    [2, 200],
  ] as const) {
    const request = encodeMessage({
      kind: 'request',
      type: 'CON',
      messageId,
      token: utf8('t'),
      code: Method.GET,
      options: Options.empty,
      payload: new Uint8Array(),
    });
    endpoint.receive(at(0), peer, request, out);
    const answer = reply(ResponseCode.Content, Options.empty, new Uint8Array(length));
    endpoint.respond(at(0), exchanges.at(-1)!, answer, out);
    endpoint.receive(at(1), peer, request, out);
    isAlone(t, sent.at(-1), `the answer of ${length} bytes`);
  }
});
