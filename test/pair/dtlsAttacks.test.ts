import fc from 'fast-check';
import t from 'tap';
import { networkOf } from '../../src/base/addressTable.ts';
import { type Bytes, concatBytes, noBytes, utf8 } from '../../src/base/bytes.ts';
import type { Remote } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { Instant } from '../../src/base/time.ts';
import { cipherSuite } from '../../src/dtls/codec/cipherSuite.ts';
import { decodeClientHello, encodeClientHello } from '../../src/dtls/codec/clientHello.ts';
import { decodeFragments, encodeHandshake, HandshakeType } from '../../src/dtls/codec/handshake.ts';
import { decodeRecord, encodePlainRecord } from '../../src/dtls/codec/record.ts';
import { decodeServerHello } from '../../src/dtls/codec/serverHello.ts';
import { Cookies } from '../../src/dtls/cookie.ts';
import { KeySchedule, premasterSecret } from '../../src/dtls/crypto/keySchedule.ts';
import { maxRepeated } from '../../src/dtls/handshakeRecords.ts';
import { sealRecord } from '../../src/dtls/protection.ts';
import { answersTo, begin, cookieFrom, hello } from '../support/dtlsRaw.ts';
import { defaultKey, describe, type HandshakePair, handshakePair, recordsOf, split } from '../support/handshakePair.ts';

t.test('a stranger never gets more bytes than it sent, nor a byte of memory', async t => {
  const pair = handshakePair();
  const smallest = hello(1);
  t.ok(pair.toServer(smallest)[0]!.length <= smallest.length);
  t.equal(describe(pair.toServer(smallest)[0]!), 'helloVerifyRequest(0)');
  t.equal(pair.toServer(concatBytes(smallest, smallest, smallest)).length, 1, 'one answer a datagram');
  // Only the fields up to the cookie, of a hello that claims to go on: the least that gets an answer.
  const start = firstFragment(smallest, 36);
  const [answer] = pair.toServer(start);
  t.ok(answer!.length <= start.length, `${answer!.length} bytes for ${start.length}`);
  for (let n = 0; n < 20_000; n++) {
    pair.server.receive(pair.now, { socket: 0, address: `10.1.${n >> 8}.${n & 255}`, port: n }, hello(n), {
      ...pair.serverOut,
      transmit: (_, datagram) => {
        if (datagram.length > smallest.length) t.fail('amplified');
      },
    });
  }
  t.same(pair.server.sizes(), { associations: 0, handshakes: 0 });
  t.equal(pair.server.nextExpiry(), undefined);
});

t.test('whatever a stranger sends, it gets no more bytes than it sent', async () => {
  const valid = hello(1);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(valid.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }),
      fc.nat(valid.length),
      fc.uint8Array({ maxLength: 200 }),
      (changes, length, more) => {
        const pair = handshakePair();
        const datagram = concatBytes(valid.slice(0, length), more);
        for (const [at, value] of changes) if (at < datagram.length) datagram[at] = value;
        const out = pair.toServer(datagram).reduce((sum, one) => sum + one.length, 0);
        return out <= datagram.length && pair.server.sizes().handshakes === 0;
      },
    ),
  );
});

t.test('a cookie is good for one address, one port, one hello, and not for ever', async t => {
  const pair = handshakePair();
  const here: Remote = { socket: 0, address: '192.0.2.77', port: 7 };
  const cookie = cookieFrom(pair, here, 1);
  const good = (remote: Remote, seed = 1): boolean =>
    describe(pair.toServer(hello(seed, cookie), remote)[0] ?? noBytes).startsWith('serverHello');
  t.notOk(good({ ...here, address: '192.0.2.78' }), 'another address');
  t.notOk(good({ ...here, port: 8 }), 'another port');
  t.notOk(good({ ...here, socket: 1 }), 'another socket of ours');
  t.notOk(good(here, 2), 'another random');
  t.equal(pair.server.sizes().handshakes, 0);
  pair.pass(70_000);
  t.ok(good(here), 'the secret before is still good');
  pair.pass(120_000);
  t.notOk(good(here, 1), 'the one before that is not');
});

t.test('a cookie would be good for another session id', async t => {
  const cookies = new Cookies(new SeededRandom(1));
  const here: Remote = { socket: 0, address: '192.0.2.77', port: 7 };
  const now = 1000 as Instant;
  const start = { version: 0xfefd, random: new Uint8Array(32), sessionId: Uint8Array.of(1, 2), cookie: noBytes };
  const cookie = cookies.make(now, here, start);
  t.ok(cookies.check(now, here, { ...start, cookie }));
  t.notOk(cookies.check(now, here, { ...start, cookie, sessionId: Uint8Array.of(1, 3) }));
  t.notOk(cookies.check(now, here, { ...start, cookie, sessionId: noBytes }));
});

t.test('a fragmented hello without a good cookie is answered, and nothing is put together', async t => {
  const pair = handshakePair();
  const remote: Remote = { socket: 0, address: '192.0.2.77', port: 7 };
  const whole = hello(1, noBytes, 0, 60);
  t.equal(pair.toServer(firstFragment(whole, 80), remote).length, 1);
  t.equal(pair.toServer(fragment(whole, 80, 100), remote).length, 0, 'the rest waits for nothing');
  t.equal(pair.toServer(firstFragment(whole, 35), remote).length, 0, 'the cookie has to be in the first fragment');
  t.equal(pair.server.sizes().handshakes, 0);
  const second = hello(1, cookieFrom(pair, remote, 1), 1, 60);
  t.equal(pair.toServer(firstFragment(second, 80), remote).length, 0);
  t.equal(pair.server.sizes().handshakes, 1);
  t.equal(describe(pair.toServer(fragment(second, 80, 500), remote)[0]!), 'serverHello(1) serverHelloDone(2)');
});

t.test('the end of a hello, sent again and again, would have the server send its flight each time', async t => {
  const pair = handshakePair();
  const remote: Remote = { socket: 0, address: '203.0.113.7', port: 7 };
  begin(pair, remote, 7);
  // No body at all, at the end of the message: nobody has to know what the hello said.
  const { body } = decodeFragments(decodeRecord(hello(7, new Uint8Array(16)), 0)!.fragment)![0]!;
  const fragment = encodeHandshake(HandshakeType.clientHello, 1, noBytes);
  const view = new DataView(fragment.buffer);
  view.setUint16(2, body.length);
  view.setUint16(7, body.length);
  let answers = 0;
  for (let n = 0; n < 200; n++)
    answers += answersTo(pair, encodePlainRecord(22, 0xfefd, n + 10, fragment), remote).length;
  t.ok(answers > 0, 'a flight that was lost is sent again');
  t.ok(answers <= maxRepeated, `${answers} times`);
});

t.test('somebody who repeats the flight of a server would have the device send its own without end', async t => {
  const pair = handshakePair({ giveUpAfter: 30_000 });
  pair.intercept = (from, datagram) => (from === 'client' && describe(datagram).includes('{') ? [] : [datagram]);
  pair.client.connect();
  pair.pass(50);
  const flight = pair.datagramsFrom('server').at(-1)!;
  t.equal(describe(flight), 'serverHello(1) serverHelloDone(2)');
  const before = pair.datagramsFrom('client').length;
  for (let n = 0; n < 200; n++) pair.client.dtls.receive(pair.now, flight, pair.client.out);
  const answers = pair.datagramsFrom('client').length - before;
  t.ok(answers > 0, 'a flight that was lost is sent again');
  t.ok(answers <= maxRepeated, `${answers} times`);
  const timed = pair.datagramsFrom('client').length;
  pair.pass(10_000);
  t.ok(pair.datagramsFrom('client').length > timed, 'its own timer goes on');
});

t.test('a server that repeats its Finished would have a device that resumed send its own without end', async t => {
  const pair = handshakePair({ resumption: true, limits: { giveUpAfter: 300_000 } }).connect();
  const before = pair.ladder.length;
  pair.intercept = (from, datagram) =>
    from === 'client' && describe(datagram).startsWith('[changeCipherSpec]') ? [] : [datagram];
  pair.connect();
  const last = pair.datagramsFrom('client').findLast(sent => describe(sent).startsWith('clientHello(1)'))!;
  for (let n = 0; n < 50; n++) pair.toServer(last);
  pair.pass(280_000);
  const lines = pair.ladder.slice(before).join('\n');
  const asked = lines.match(/← serverHello\(1\) \[changeCipherSpec\]/g)!.length;
  const answered = lines.match(/→ \[changeCipherSpec\]/g)!.length;
  t.ok(asked > maxRepeated + 1, `${asked} times it was asked`);
  t.equal(answered, maxRepeated + 1, 'the first time, and so often again');
});

t.test('an endless hello is refused', async t => {
  const pair = handshakePair();
  const remote: Remote = { socket: 0, address: '192.0.2.77', port: 7 };
  const long = hello(1, cookieFrom(pair, remote, 1), 1, 1100);
  t.equal(describe(pair.toServer(firstFragment(long, 200), remote)[0]!), '[alert decodeError]');
  t.match(pair.failed, [{ fault: 'malformed', detail: /ClientHello of 2\d+ bytes/ }]);
  t.equal(pair.server.sizes().handshakes, 0);
});

t.test('an unknown identity and a wrong key are alike on the wire, and told apart for the operator', async t => {
  const talk = (identity: string, key: Bytes): HandshakePair => handshakePair({ identity, key }).connect();
  const unknown = talk('device-9', defaultKey);
  const wrong = talk('device-1', utf8('fedcba9876543210'));
  const shape = (pair: HandshakePair): string[] => pair.ladder;
  t.strictSame(shape(unknown), shape(wrong), 'the same messages in the same order at the same times');
  t.strictSame(
    unknown.sent.map(one => one.datagram.length),
    wrong.sent.map(one => one.datagram.length),
    'of the same lengths',
  );
  t.strictSame(unknown.client.closed, ['alert badRecordMac']);
  t.strictSame(shape(talk('device-9', new Uint8Array(16))), shape(wrong), 'nor is there a key to guess');
  t.match(unknown.failed, [{ fault: 'unknown-identity', identity: utf8('device-9') }]);
  t.match(wrong.failed, [{ fault: 'wrong-key', identity: utf8('device-1') }]);
  t.notMatch(JSON.stringify([unknown.failed, wrong.failed]), /0123456789abcdef|fedcba/);
  t.equal(unknown.verified.length + wrong.verified.length, 0);
  unknown.pass(120_000);
  t.equal(unknown.failed.length, 1, 'told once');
  t.equal(unknown.server.sizes().handshakes, 0);
});

t.test('a forged Finished costs an alert and keeps nobody out', async t => {
  const pair = handshakePair();
  let forged = 0;
  pair.intercept = (from, datagram) => {
    if (from === 'server') return describe(datagram).includes('alert') ? [] : [datagram];
    if (!describe(datagram).includes('{handshake')) return [datagram];
    const [exchange, change, finished] = split(datagram);
    const forgery = finished!.slice();
    forgery[forgery.length - 1]! ^= 1;
    forged++;
    return [exchange!, change!, forgery, forgery, finished!];
  };
  pair.connect();
  t.equal(forged, 1);
  t.equal(pair.client.connections, 1);
  t.equal(pair.ladder.filter(line => line.includes('alert')).length, 1, 'one alert, not one for each');
});

t.test('a forged record that comes before its time has nobody hear an alert', async t => {
  const pair = handshakePair();
  pair.intercept = (from, datagram) => {
    if (from === 'server' || !describe(datagram).includes('{handshake')) return [datagram];
    const forgery = split(datagram)[2]!;
    forgery[forgery.length - 1]! ^= 1;
    return [forgery, datagram];
  };
  pair.connect();
  t.equal(pair.client.connections, 1);
  t.notMatch(pair.ladder.join('\n'), /alert/);
  t.strictSame(pair.failed, []);
});

t.test('what has no address gets no handshake', async t => {
  const pair = handshakePair();
  begin(pair, { socket: 0, address: 'nowhere', port: 7 }, 1);
  t.equal(pair.server.sizes().handshakes, 0);
});

t.test('who changes what was offered is found out by the Finished, even without extended master secret', async t => {
  const pair = handshakePair({ clientSuites: [cipherSuite(0x00a8)!, cipherSuite(0xc0a8)!] });
  pair.intercept = (from, datagram) => {
    const first = decodeFragments(decodeRecord(datagram, 0)!.fragment)?.[0];
    if (from === 'server' || first?.type !== HandshakeType.clientHello) return [datagram];
    const weaker = { ...decodeClientHello(first.body)!, cipherSuites: [0xc0a8], extensions: new Map() };
    const message = encodeHandshake(HandshakeType.clientHello, first.messageSequence, encodeClientHello(weaker));
    return [encodePlainRecord(22, 0xfeff, first.messageSequence, message)];
  };
  pair.connect();
  t.equal(pair.client.connections + pair.verified.length, 0);
  t.match(pair.failed, [{ fault: 'transcript-differs', identity: utf8('device-1') }]);
  t.strictSame(pair.client.closed, ['alert decryptError']);
});

t.test('a client does not believe a server whose Finished is wrong, though it has the key', async t => {
  const pair = handshakePair();
  pair.intercept = (from, datagram) => {
    if (from === 'client' || !describe(datagram).includes('{')) return [datagram];
    const [change] = split(datagram);
    const said = pair.sent.slice(2, 5).flatMap(one => recordsOf(one.datagram));
    const messages = said
      .filter(one => one.type === 22 && one.epoch === 0)
      .flatMap(one => decodeFragments(one.fragment)!);
    const transcript = messages.map(one => encodeHandshake(one.type, one.messageSequence, one.body));
    const randoms = {
      client: decodeClientHello(messages[0]!.body)!.random,
      server: decodeServerHello(messages[1]!.body)!.random,
    };
    const suite = cipherSuite(0xc0a8)!;
    const { server } = KeySchedule.full(
      suite,
      premasterSecret(defaultKey),
      randoms,
      true,
      concatBytes(...transcript),
    ).keys();
    const lie = encodeHandshake(HandshakeType.finished, 3, new Uint8Array(12));
    return [concatBytes(change!, sealRecord(suite, server, 22, 1, 0, lie))];
  };
  pair.connect();
  t.strictSame(pair.client.closed, ['transcript-differs']);
  t.equal(pair.client.connections, 0);
});

t.test('ChangeCipherSpec that comes early opens nothing', async t => {
  const pair = handshakePair();
  const change = encodePlainRecord(20, 0xfefd, 9, Uint8Array.of(1));
  pair.toServer(change);
  const finishedUnderNothing = encodePlainRecord(
    22,
    0xfefd,
    10,
    encodeHandshake(HandshakeType.finished, 2, new Uint8Array(12)),
  );
  pair.intercept = (from, datagram) => {
    if (from === 'server') return [datagram];
    if (describe(datagram).includes('clientHello(1)')) return [datagram, change, change];
    // The Finished in clear and without its key exchange: OpenSSL's CVE-2014-0224 in its simplest form.
    return describe(datagram).includes('{') ? [change, finishedUnderNothing] : [datagram];
  };
  pair.client.connect();
  pair.pass(100);
  t.equal(pair.verified.length, 0);
  t.match(pair.failed, [{ fault: 'unexpected-message' }]);
});

t.test('a Finished in clear is no Finished', async t => {
  const pair = handshakePair();
  pair.intercept = (from, datagram) => {
    if (from === 'server' || !describe(datagram).includes('{')) return [datagram];
    const [exchange, change] = split(datagram);
    const finished = encodeHandshake(HandshakeType.finished, 3, new Uint8Array(12));
    return [exchange!, change!, encodePlainRecord(22, 0xfefd, 9, finished)];
  };
  pair.client.connect();
  pair.pass(500);
  t.equal(pair.verified.length, 0);
  t.equal(pair.server.sizes().handshakes, 1, 'and ends nothing');
});

t.test('a handshake message that contradicts itself does not block the true one', async t => {
  const pair = handshakePair();
  pair.intercept = (from, datagram) => {
    if (from === 'server' || !describe(datagram).includes('{')) return [datagram];
    const forged = encodeHandshake(HandshakeType.clientKeyExchange, 2, new Uint8Array(90)).slice(0, 12 + 20);
    forged[11] = 20;
    return [encodePlainRecord(22, 0xfefd, 5, forged), datagram];
  };
  pair.connect();
  t.equal(pair.client.connections, 1);
});

t.test('half-open handshakes are bounded: the oldest goes', async t => {
  const pair = handshakePair({ limits: { maxHandshakes: 4, maxHandshakesPerNetwork: 100 } });
  for (let n = 0; n < 10; n++) begin(pair, { socket: 0, address: `192.0.${n}.1`, port: 7 }, n);
  t.equal(pair.server.sizes().handshakes, 4);
  t.strictSame(pair.failed, [], 'one that has just begun does not go for one that has not');
  pair.connect();
  t.equal(pair.client.connections, 1, 'and a device still gets in, when it asks again');
  t.match(pair.failed, [{ fault: 'handshakes-full', remote: { address: '192.0.0.1' } }]);
  t.ok(pair.server.counters.handshakesFull > 6);
  t.equal(pair.server.throttled, 1, 'to be crowded out costs its network nothing');
});

t.test('one network does not take all places, and gives its places back', async t => {
  const pair = handshakePair({ limits: { maxHandshakes: 100, maxHandshakesPerNetwork: 3 } });
  for (let n = 0; n < 10; n++) begin(pair, { socket: 0, address: `2001:db8::${n.toString(16)}`, port: 7 }, n);
  t.equal(pair.server.sizes().handshakes, 3);
  t.equal(pair.server.counters.networkFull, 7);
  begin(pair, { socket: 0, address: '2001:db8:0:1::1', port: 7 }, 11);
  t.equal(pair.server.sizes().handshakes, 4, 'another network is not concerned');
  pair.pass(61_000);
  t.equal(pair.server.sizes().handshakes, 0);
  begin(pair, { socket: 0, address: '2001:db8::77', port: 7 }, 12);
  t.equal(pair.server.sizes().handshakes, 1, 'there is room again');
});

t.test('networks are told apart by what they are, not by how they are written', async t => {
  const network = (address: string): string => networkOf({ socket: 0, address, port: 1 });
  t.equal(network('2001:db8::1'), network('2001:db8:0:0:ffff::2'));
  t.not(network('2001:db8::1'), network('2001:db8:0:1::1'));
  t.equal(network('192.0.2.1'), network('192.0.2.200'));
  t.equal(network('192.0.2.1'), network('::ffff:192.0.2.9'));
  t.not(network('::ffff:192.0.2.1'), network('::ffff:192.0.3.1'));
});

function fragment(datagram: Bytes, offset: number, length: number): Bytes {
  const record = decodeRecord(datagram, 0)!;
  const message = record.fragment;
  const body = message.slice(12 + offset, 12 + offset + length);
  const header = message.slice(0, 12);
  header[7] = offset >>> 8;
  header[8] = offset;
  header[10] = body.length >>> 8;
  header[11] = body.length;
  return encodePlainRecord(22, record.version, record.sequence, concatBytes(header, body));
}

function firstFragment(datagram: Bytes, length: number): Bytes {
  return fragment(datagram, 0, length);
}
