import t from 'tap';
import { type Bytes, toHex } from '../../../src/base/bytes.ts';
import type { Peer } from '../../../src/base/peer.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Instant, Now, WallTime } from '../../../src/base/time.ts';
import { Method } from '../../../src/coap/codec/code.ts';
import { decodeMessage, type Message } from '../../../src/coap/codec/message.ts';
import { Options } from '../../../src/coap/codec/option.ts';
import type { CoapOut } from '../../../src/coap/out.ts';
import type { DtlsEndpoint } from '../../../src/dtls/endpoint.ts';
import { coapOver } from '../../../src/server/coapOver.ts';
import { firstPlainPeer } from '../../../src/server/plainPeers.ts';

const now: Now = { instant: 1000 as Instant, wall: 1e12 as WallTime };

/** What one run of the server asks this peer, whose records take so much, and have come to this number. */
function asked(peer: number, { writeSequence, maxPlaintext }: { writeSequence: number; maxPlaintext: number }) {
  const dtls = { writeSequence: () => writeSequence, maxPlaintext: () => maxPlaintext } as unknown as DtlsEndpoint;
  const sent: Bytes[] = [];
  const out = { transmit: (_: Peer, message: Bytes) => void sent.push(message) } as unknown as CoapOut;
  const draft = { code: Method.PUT, options: Options.empty, payload: new Uint8Array(900) };
  coapOver(dtls, { random: new SeededRandom(1) }).request(now, peer as Peer, draft, out);
  const message = decodeMessage(sent[0]!) as Message & { kind: 'request' };
  return { token: toHex(message.token), length: sent[0]!.length };
}

t.test('a token would come again after a restart, and a late answer match what it does not belong to', t => {
  const before = asked(1, { writeSequence: 40, maxPlaintext: 16_384 });
  const after = asked(1, { writeSequence: 1000, maxPlaintext: 16_384 });
  t.not(before.token, after.token);
  t.ok(before.token < after.token, 'it goes on with the numbers of the session');
  t.end();
});

t.test('a message is no longer than the records that a device takes', t => {
  t.ok(asked(1, { writeSequence: 40, maxPlaintext: 512 }).length <= 512);
  t.ok(asked(1, { writeSequence: 40, maxPlaintext: 16_384 }).length > 900);
  const plain = asked(firstPlainPeer, { writeSequence: 40, maxPlaintext: 512 });
  t.ok(plain.length > 900, 'on plain CoAP there are no records');
  t.end();
});
