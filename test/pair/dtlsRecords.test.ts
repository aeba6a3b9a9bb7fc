import fc from 'fast-check';
import t from 'tap';
import { noBytes, utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { ContentType, decodeRecord, encodePlainRecord } from '../../src/dtls/codec/record.ts';
import { encodePathMessage, PathMessage, pathCookieLength } from '../../src/dtls/codec/returnRoutability.ts';
import { cookieFrom, hello, rawSession } from '../support/dtlsRaw.ts';
import { handshakePair, split } from '../support/handshakePair.ts';

t.test('a replayed record is delivered once', async t => {
  const pair = handshakePair().connect();
  pair.intercept = (_, datagram) => [datagram, datagram];
  pair.client.send('once');
  pair.pass(50);
  const record = pair.datagramsFrom('client').at(-1)!;
  for (let n = 0; n < 80; n++) pair.client.send(`${n}`);
  pair.pass(50);
  const delivered = pair.delivered.length;
  pair.toServer(record);
  t.equal(pair.delivered.length, delivered, 'nor when it is older than the window');
  t.equal(delivered, 81);
});

t.test('a client delivers a replayed record once, too', async t => {
  const pair = handshakePair().connect();
  pair.intercept = (_, datagram) => [datagram, datagram];
  pair.server.send(pair.verified[0]!.peer, utf8('once'), pair.serverOut);
  pair.pass(50);
  t.strictSame(pair.client.delivered, ['once']);
});

t.test('junk, truncated and altered records never end a session', async t => {
  const pair = handshakePair().connect();
  pair.client.send('sample');
  pair.pass(50);
  const sample = pair.datagramsFrom('client').at(-1)!;
  const random = new SeededRandom(3);
  for (let n = 0; n < 3000; n++) {
    const junk = n % 3 === 0 ? random.bytes(random.below(120)) : sample.slice(0, random.below(sample.length + 1));
    if (n % 3 === 1 && junk.length > 0) junk[random.below(junk.length)]! ^= 1 + random.below(255);
    if (pair.toServer(junk).length > 0) t.fail('an invalid record was answered');
  }
  // Sequence numbers far ahead, too: what does not open must not move the window.
  const ahead = sample.slice();
  ahead[7] = 0xff;
  pair.toServer(ahead);
  t.strictSame(pair.closed, []);
  pair.client.send('still here');
  pair.pass(50);
  t.equal(pair.delivered.at(-1)!.text, 'still here');
  const { notAuthentic, replayed, malformed } = pair.server.counters;
  t.ok(notAuthentic > 0 && replayed > 0 && malformed > 0, 'dropped and counted');
});

t.test('an alert in clear ends nothing', async t => {
  const pair = handshakePair();
  const alerts = [0, 10, 20, 40].map(description => encodePlainRecord(21, 0xfefd, 3, Uint8Array.of(2, description)));
  pair.intercept = (from, datagram) => (from === 'client' ? [...alerts, datagram] : [datagram]);
  pair.connect();
  t.equal(pair.client.connections, 1, 'neither a handshake');
  for (const alert of alerts) pair.toServer(alert);
  t.strictSame(pair.closed, [], 'nor a session');
  const { client } = pair;
  for (const alert of alerts) client.dtls.receive(pair.now, alert, client.out);
  t.ok(client.dtls.isConnected, "nor the client's side of it");
});

t.test('a hello in clear from the address of a session leaves it as it is', async t => {
  const pair = handshakePair().connect();
  const { remote } = pair.client;
  pair.toServer(hello(5), remote);
  pair.toServer(hello(5, cookieFrom(pair, remote, 5), 1), remote);
  t.same(pair.server.sizes(), { associations: 1, handshakes: 1 });
  pair.client.send('untouched');
  pair.pass(100);
  t.equal(pair.delivered.at(-1)!.text, 'untouched');
  pair.pass(100_000);
  t.same(pair.server.sizes(), { associations: 1, handshakes: 0 });
  t.strictSame(pair.closed, []);
});

t.test('a hello inside a session gets a protected no_renegotiation, and the session lives on', async t => {
  const pair = handshakePair();
  const session = rawSession(pair);
  const renegotiation = decodeRecord(hello(3), 0)!.fragment;
  const [answer] = session.send(22, 1, renegotiation);
  t.strictSame(session.open(answer!), [{ type: 21, plaintext: Uint8Array.of(1, 100) }]);
  session.send(23, 2, utf8('on and on'));
  t.equal(pair.delivered.at(-1)?.text, 'on and on');
  t.same(pair.server.sizes(), { associations: 1, handshakes: 0 });
});

t.test('records may overtake each other by up to 63, and each counts once', async t => {
  const pair = handshakePair();
  const session = rawSession(pair);
  for (const sequence of [70, 8, 7, 6, 70, 8, 69, 134, 71, 70]) session.send(23, sequence, utf8(`${sequence}`));
  t.strictSame(
    pair.delivered.map(one => one.text),
    ['70', '8', '7', '69', '134', '71'],
  );
});

t.test('what a peer says under protection can be wrong too', async t => {
  const pair = handshakePair();
  const session = rawSession(pair);
  t.strictSame(session.send(21, 1, Uint8Array.of(1)), [], 'half an alert');
  t.strictSame(session.send(21, 2, Uint8Array.of(1, 90)), [], 'a warning of no consequence');
  t.strictSame(session.send(20, 3, Uint8Array.of(1)), [], 'ChangeCipherSpec');
  t.strictSame(session.send(22, 4, utf8('no handshake message')), []);
  t.strictSame(session.send(99, 5, utf8('no such type')), []);
  t.strictSame(session.send(23, 6, noBytes), [], 'nothing at all');
  t.strictSame(session.send(23, 7, new Uint8Array(16_385)), [], 'more than a record may hold');
  const { unexpected } = pair.server.counters;
  const cookie = new Uint8Array(pathCookieLength);
  for (const [n, type] of [PathMessage.response, PathMessage.challenge, PathMessage.drop].entries()) {
    const message = encodePathMessage(type, cookie);
    t.strictSame(session.send(ContentType.returnRoutabilityCheck, 8 + n, message), [], 'a proof that nobody asked for');
  }
  t.equal(pair.server.counters.unexpected, unexpected + 3);
  t.strictSame(pair.moved, []);
  t.strictSame(pair.closed, []);
  t.strictSame(pair.delivered, []);
  session.send(23, 11, utf8('sane again'));
  t.equal(pair.delivered.length, 1);
  t.strictSame(session.send(21, 12, Uint8Array.of(2, 80)), []);
  t.match(pair.closed, [{ reason: 'peer-alert' }]);
  t.strictSame(session.send(23, 13, utf8('too late')), []);
  t.equal(pair.delivered.length, 1);
});

t.test('whatever is done to datagrams on their way, nothing throws, and nothing false is delivered', async () => {
  fc.assert(
    fc.property(fc.integer(), fc.double({ min: 0, max: 0.5, noNaN: true }), (seed, rate) => {
      const random = new SeededRandom(seed);
      const pair = handshakePair({ seed, confirm: random.below(50) });
      pair.intercept = (_, datagram) => {
        if (random.fraction() >= rate) return [datagram];
        const records = split(datagram);
        const damaged = datagram.slice(0, 1 + random.below(datagram.length));
        damaged[random.below(damaged.length)] = random.below(256);
        return [[damaged], [damaged, datagram], records.reverse(), [datagram, ...records], []][random.below(5)]!;
      };
      for (let attempt = 0; attempt < 3; attempt++) {
        pair.connect();
        pair.client.send(`message ${attempt}`);
        pair.pass(100);
      }
      pair.pass(200_000);
      const { associations, handshakes } = pair.server.sizes();
      const genuine = pair.delivered.every(one => /^message \d$/.test(one.text));
      return genuine && associations <= 1 && handshakes === 0 && pair.verified.length <= 3;
    }),
    { numRuns: 200 },
  );
});

/** The record with only the bytes from `offset` of its message. */
