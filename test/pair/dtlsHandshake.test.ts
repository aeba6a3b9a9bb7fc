import fc from 'fast-check';
import t from 'tap';
import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import { allCipherSuites, cipherSuite, cipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { ExtensionType } from '../../src/dtls/codec/extension.ts';
import { decodeFragments, HandshakeType } from '../../src/dtls/codec/handshake.ts';
import { decodeServerHello } from '../../src/dtls/codec/serverHello.ts';
import { describe, type HandshakePair, handshakePair, ownerOf, recordsOf, split } from '../support/handshakePair.ts';
import { rewriteHello } from '../support/rewriting.ts';

t.test('a handshake takes six flights, and then data flows both ways', async t => {
  const pair = handshakePair().connect();
  t.equal(pair.client.connections, 1);
  t.strictSame(pair.lines(), [
    '→ clientHello(0)',
    '← helloVerifyRequest(0)',
    '→ clientHello(1)',
    '← serverHello(1) serverHelloDone(2)',
    '→ clientKeyExchange(2) [changeCipherSpec] {handshake 40}',
    '← [changeCipherSpec] {handshake 40}',
  ]);
  t.match(pair.verified[0]?.session, { owner: ownerOf(1), identity: utf8('device-1'), remote: pair.client.remote });
  pair.client.send('hello');
  pair.runUntil(() => pair.delivered.length > 0);
  t.match(pair.delivered, [{ peer: 1, text: 'hello', sequence: 1 }]);
  pair.server.send(pair.verified[0]!.peer, utf8('hello yourself'), pair.serverOut);
  pair.runUntil(() => pair.client.delivered.length > 0);
  t.strictSame(pair.client.delivered, ['hello yourself']);
});

t.test('each suite carries a session', async t => {
  for (const suite of allCipherSuites) {
    const pair = handshakePair({ clientSuites: [suite], suites: allCipherSuites }).connect();
    pair.client.send(suite.name);
    pair.runUntil(() => pair.delivered.length > 0);
    t.equal(pair.client.suite, suite);
    t.equal(pair.delivered[0]?.text, suite.name);
  }
});

t.test('the server chooses by its own order, and only what it was told to speak', async t => {
  const ccm8 = cipherSuite(0xc0a8)!;
  const gcm = cipherSuite(0x00a8)!;
  t.equal(handshakePair({ clientSuites: [gcm, ccm8] }).connect().client.suite, ccm8);
  t.equal(handshakePair({ clientSuites: [ccm8, gcm], suites: [gcm, ccm8] }).connect().client.suite, gcm);
  const pair = handshakePair({ clientSuites: [gcm], suites: [ccm8] }).connect();
  t.strictSame(pair.client.closed, ['alert handshakeFailure']);
  t.match(pair.failed, [{ fault: 'no-common-suite', detail: 'TLS_PSK_WITH_AES_128_GCM_SHA256 0x00ff' }]);
});

t.test('a hello with sixty suites, ours the last, is served', async t => {
  const pair = handshakePair();
  rewriteHello(pair, 'client', hello => ({
    ...hello,
    cipherSuites: [...Array.from({ length: 59 }, (_, n) => 0x1300 + n), 0xc0a8],
  }));
  pair.client.connect();
  pair.pass(100);
  t.match(pair.lines()[3], /serverHello/);
});

t.test('unknown extensions are ignored, and what we know is answered', async t => {
  const answers = (extensions: [number, Bytes][], suites = [0xc0a8]): Map<number, Bytes> | string => {
    const pair = handshakePair();
    rewriteHello(pair, 'client', hello => ({ ...hello, cipherSuites: suites, extensions: new Map(extensions) }));
    pair.client.connect();
    pair.pass(100);
    const flight = pair.datagramsFrom('server')[1]!;
    const fragment = decodeFragments(recordsOf(flight)[0]!.fragment)?.[0];
    if (fragment?.type !== HandshakeType.serverHello) return describe(flight);
    return new Map(decodeServerHello(fragment.body)!.extensions);
  };
  const empty = new Uint8Array(0);
  const noRenegotiation = Uint8Array.of(0);
  t.strictSame(answers([[0x4242, utf8('?')]]), new Map());
  t.strictSame(answers([[ExtensionType.extendedMasterSecret, empty]]), new Map([[23, empty]]));
  t.strictSame(answers([[ExtensionType.renegotiationInfo, noRenegotiation]]), new Map([[0xff01, noRenegotiation]]));
  t.strictSame(answers([], [0xc0a8, 0x00ff]), new Map([[0xff01, noRenegotiation]]), 'the suite value says the same');
  t.strictSame(answers([[1, Uint8Array.of(1)]]), new Map([[1, Uint8Array.of(1)]]));
  t.equal(answers([[1, Uint8Array.of(5)]]), '[alert illegalParameter]', 'RFC 6066 §4');
  t.equal(
    answers([[ExtensionType.renegotiationInfo, Uint8Array.of(1, 7)]]),
    '[alert handshakeFailure]',
    'RFC 5746 §3.6',
  );
  t.equal(answers([[ExtensionType.extendedMasterSecret, utf8('?')]]), '[alert decodeError]');
});

t.test('an older version is refused by name', async t => {
  const pair = handshakePair();
  rewriteHello(pair, 'client', hello => ({ ...hello, version: 0xfeff }));
  pair.connect();
  t.strictSame(pair.client.closed, ['alert protocolVersion']);
  t.match(pair.failed, [{ fault: 'protocol-version' }]);
});

t.test('nobody believes a session before it is durable', async t => {
  const pair = handshakePair({ confirm: 'never' });
  pair.client.connect();
  pair.pass(3500);
  t.equal(pair.verified.length, 1);
  t.equal(pair.client.connections, 0);
  t.notMatch(pair.ladder.join('\n'), /← .*\{/, 'the last flight does not leave');
  t.match(pair.ladder.at(-1), /→ clientKeyExchange/, 'though the client asks for it');
  pair.server.send(pair.verified[0]!.peer, utf8('too early'), pair.serverOut);
  t.notMatch(pair.ladder.join('\n'), /← .*\{/);
  pair.server.confirmed(pair.verified[0]!.peer, pair.serverOut);
  pair.pass(50);
  t.equal(pair.client.connections, 1);
  const before = pair.sent.length;
  pair.server.confirmed(pair.verified[0]!.peer, pair.serverOut);
  t.equal(pair.sent.length, before, 'confirmed twice, sent once');
});

t.test('a lost flight, whichever it is, is sent again', async t => {
  for (let lost = 0; lost < 6; lost++) {
    const pair = handshakePair();
    let n = 0;
    pair.intercept = (_, datagram) => (n++ === lost ? [] : [datagram]);
    pair.connect();
    t.equal(pair.client.connections, 1, `without flight ${lost + 1}\n${pair.ladder.join('\n')}`);
    t.ok(pair.time < 1000 + 3500, `after ${pair.time - 1000} ms`);
    t.equal(pair.verified.length, 1);
  }
});

t.test('a retransmitted Finished is answered for 240 seconds, and then no more', async t => {
  const pair = handshakePair({ giveUpAfter: 500_000 });
  pair.intercept = (from, datagram) => (from === 'client' || !describe(datagram).includes('{') ? [datagram] : []);
  const asked = (): number => pair.ladder.filter(line => line.includes('→ clientKeyExchange')).length;
  const answered = (): number => pair.ladder.filter(line => line.includes('← [changeCipherSpec] {handshake')).length;
  pair.client.connect();
  pair.pass(235_000);
  t.equal(pair.client.connections, 0);
  t.ok(asked() > 5);
  t.equal(answered(), asked(), 'each time');
  t.equal(new Set(recordsSealed(pair)).size, recordsSealed(pair).length, 'never under one number twice');
  const before = answered();
  pair.pass(200_000);
  t.equal(answered(), before, 'after 240 seconds no more');
  t.ok(asked() > before);
  t.equal(pair.verified.length, 1);
});

t.test('the time-out doubles from one second, and then the handshake is given up', async t => {
  const pair = handshakePair();
  pair.intercept = (from, datagram) =>
    from === 'server' && describe(datagram).includes('serverHello') ? [] : [datagram];
  pair.client.connect();
  pair.runUntil(() => pair.failed.length > 0);
  t.match(pair.failed, [{ fault: 'gave-up', identity: undefined, detail: /flights sent/ }]);
  t.equal(pair.server.sizes().handshakes, 0);
  t.equal(pair.server.nextExpiry(), undefined, 'no timer is left');
  // Without a client that asks again: the server's own clock.
  const alone = handshakePair();
  alone.intercept = pair.intercept;
  alone.client.connect();
  alone.pass(50);
  alone.client.dtls.close(alone.client.out);
  alone.runUntil(() => alone.failed.length > 0);
  const times = alone.ladder
    .filter(line => line.includes('serverHello'))
    .map(line => Number(line.trim().split(' ')[0]));
  t.strictSame(
    times.slice(1).map((time, i) => Math.round((time - times[i]!) / 1000)),
    [1, 2, 4, 8, 16],
  );
});

t.test('a hello that is sent again brings the flight again, before the own time-out', async t => {
  const pair = handshakePair({ limits: { firstTimeout: 20_000 } });
  let lost = 0;
  pair.intercept = (_, datagram) => (describe(datagram).startsWith('serverHello') && lost++ === 0 ? [] : [datagram]);
  pair.connect();
  t.equal(pair.client.connections, 1);
  t.ok(pair.time < 1000 + 1500, `after ${pair.time - 1000} ms`);
});

t.test('a slow link can have longer time-outs', async t => {
  const pair = handshakePair({ latency: 4000, limits: { firstTimeout: 20_000 } }).connect();
  t.equal(pair.server.counters.retransmissions, 0);
  t.equal(pair.client.connections, 1);
});

t.test('a Finished that overtakes ClientKeyExchange waits for it, ChangeCipherSpec too', async t => {
  const orders = [
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ];
  for (const order of orders) {
    const pair = handshakePair();
    pair.intercept = (from, datagram) => {
      if (from === 'server' || !describe(datagram).includes('{')) return [datagram];
      const records = split(datagram);
      return order.map(n => records[n]!);
    };
    pair.connect();
    t.equal(pair.client.connections, 1, `order ${order.join(' ')}`);
    t.ok(pair.time < 1100, 'without waiting for a retransmission');
  }
});

t.test('messages in pieces of any size are put together, in any order', async t => {
  for (const fragment of [1, 7, 30, 60, 100]) {
    const pair = handshakePair({ fragment, clientSuites: cipherSuites }).connect();
    t.equal(pair.client.connections, 1, `pieces of ${fragment}`);
    const jumbled = handshakePair({ fragment, jitter: 8, seed: fragment }).connect();
    t.equal(jumbled.client.connections, 1, `jumbled pieces of ${fragment}\n${jumbled.ladder.join('\n')}`);
  }
});

t.test('whatever the network does, both sides come to one session or to none', async () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.integer(),
        loss: fc.double({ min: 0, max: 0.4, noNaN: true }),
        duplicate: fc.double({ min: 0, max: 0.5, noNaN: true }),
        jitter: fc.nat(3000),
        confirm: fc.nat(3000),
        fragment: fc.option(fc.integer({ min: 20, max: 200 }), { nil: undefined }),
      }),
      ({ fragment, ...options }) => {
        const pair = handshakePair(fragment === undefined ? options : { ...options, fragment });
        for (let attempt = 0; attempt < 3 && pair.client.connections === 0; attempt++) pair.connect();
        if (pair.client.connections > 0) {
          for (let n = 0; n < 20; n++) pair.client.send(`${n}`);
          pair.pass(10_000);
          const texts = pair.delivered.map(one => one.text);
          if (new Set(texts).size !== texts.length) throw new Error('delivered twice');
        }
        pair.pass(120_000);
        if (pair.server.sizes().handshakes !== 0) throw new Error(`left over\n${pair.ladder.join('\n')}`);
        if (options.loss < 0.1 && pair.client.connections === 0) throw new Error(pair.ladder.join('\n'));
        if (pair.server.sizes().associations > 1) throw new Error('two sessions of one owner');
        const open = recordsSealed(pair);
        if (new Set(open).size !== open.length) throw new Error('a sequence number twice');
      },
    ),
    { numRuns: 150 },
  );
});

t.test('a new handshake stands beside the old session, and displaces it only once its Finished verified', async t => {
  const pair = handshakePair().connect();
  const [old] = pair.verified;
  pair.client.send('before');
  pair.pass(50);
  // The device restarts and begins anew, from the same port.
  const reborn = pair.addClient({ remote: pair.client.remote });
  pair.clients.splice(0, 1);
  pair.intercept = (from, datagram) =>
    from === 'client' && describe(datagram).includes('{handshake') ? [] : [datagram];
  reborn.connect();
  pair.pass(100);
  t.strictSame(pair.closed, []);
  pair.client.send('still here');
  pair.pass(100);
  t.strictSame(
    pair.delivered.map(one => one.text),
    ['before', 'still here'],
  );
  pair.intercept = (_, datagram) => [datagram];
  pair.runUntil(() => reborn.isOver);
  t.equal(reborn.connections, 1);
  t.strictSame(pair.closed, [{ peer: old!.peer, reason: 'replaced' }]);
  t.not(pair.verified[1]!.peer, old!.peer, 'peer numbers are never used again');
  t.equal(pair.server.sizes().associations, 1);
});

t.test('a hello that comes late, after the session it began, begins nothing', async t => {
  const pair = handshakePair({ confirm: 2500 });
  pair.client.connect();
  pair.pass(100);
  t.equal(pair.verified.length, 1);
  const late = pair.datagramsFrom('client')[1]!;
  t.equal(describe(late), 'clientHello(1)');
  t.strictSame(pair.toServer(late), []);
  t.equal(pair.server.sizes().handshakes, 0);
  // The client, which still waits, sends its last flight again: taken for part of a new handshake, it would fail.
  pair.runUntil(() => pair.client.isOver);
  t.equal(pair.client.connections, 1);
  t.strictSame(pair.failed, []);
});

t.test('an owner has one session: a new one, from wherever, displaces it', async t => {
  const pair = handshakePair().connect();
  const elsewhere = pair.addClient({ remote: { socket: 0, address: '198.51.100.9', port: 7 } });
  pair.connect(elsewhere);
  t.strictSame(pair.closed, [{ peer: pair.verified[0]!.peer, reason: 'replaced' }]);
  const other = { key: utf8('another key here'), owner: { row: 1, credential: 2 } };
  pair.psks.set('device-2', other);
  pair.connect(pair.addClient({ identity: 'device-2', key: other.key }));
  t.equal(pair.closed.length, 1, 'another credential, even for the same row, is another owner');
  t.equal(pair.server.sizes().associations, 2);
});

t.test('a Finished that comes late would end the session that its device has begun since', async t => {
  const pair = handshakePair();
  const late: Bytes[] = [];
  pair.intercept = (from, datagram, { port }) => {
    if (from === 'server' || port !== pair.client.remote.port || !describe(datagram).includes('changeCipherSpec')) {
      return [datagram];
    }
    late.push(datagram.slice());
    return [];
  };
  pair.client.connect();
  pair.pass(100);
  // It did not wait for the answer: it began anew, from another port.
  const again = pair.addClient();
  pair.connect(again);
  pair.toServer(late[0]!);
  t.strictSame(pair.closed, []);
  t.equal(pair.server.sizes().handshakes, 0, 'the handshake of before is over');
  t.match(pair.failed, [{ fault: 'replaced' }]);
  again.send('still here');
  pair.pass(50);
  t.strictSame(
    pair.delivered.map(({ text }) => text),
    ['still here'],
  );
});

t.test('when the table is full the least recently heard goes', async t => {
  const pair = handshakePair({ limits: { maxAssociations: 3 } });
  for (let n = 1; n <= 4; n++) pair.psks.set(`device-${n}`, { key: utf8(`key number ${n}`), owner: ownerOf(n) });
  const clients = [1, 2, 3, 4].map(n => pair.addClient({ identity: `device-${n}`, key: utf8(`key number ${n}`) }));
  for (const client of clients.slice(0, 3)) pair.connect(client);
  clients[0]!.send('I am still here');
  pair.pass(50);
  pair.connect(clients[3]!);
  t.strictSame(pair.closed, [{ peer: pair.verified[1]!.peer, reason: 'evicted' }]);
});

t.test('close_notify ends a session, either way', async t => {
  const pair = handshakePair().connect();
  pair.client.dtls.close(pair.client.out);
  pair.pass(50);
  t.strictSame(pair.closed, [{ peer: 1, reason: 'close-notify' }]);
  t.match(pair.ladder.at(-1), /← \{alert 18\}/, 'answered in kind');
  pair.connect();
  pair.server.close(pair.verified[1]!.peer, 'closed', pair.serverOut);
  pair.pass(50);
  t.strictSame(pair.client.closed, ['close-notify']);
  t.match(pair.closed[1], { peer: 2, reason: 'closed' });
  t.same(pair.server.sizes(), { associations: 0, handshakes: 0 });
  const before = pair.sent.length;
  pair.server.send(pair.verified[1]!.peer, utf8('gone'), pair.serverOut);
  pair.server.close(pair.verified[1]!.peer, 'closed', pair.serverOut);
  t.equal(pair.sent.length, before, 'to one that is gone nothing is sent');
});

t.test('a revoked credential loses its session, and the handshake that was about to give it one', async t => {
  const pair = handshakePair().connect();
  pair.server.revoke(ownerOf(2), pair.serverOut);
  t.strictSame(pair.closed, []);
  pair.server.revoke(ownerOf(1), pair.serverOut);
  t.strictSame(pair.closed, [{ peer: 1, reason: 'revoked' }]);
  pair.intercept = (_, datagram) => split(datagram).filter(record => !describe(record).includes('{handshake'));
  pair.client.connect();
  pair.pass(100);
  for (const other of [
    { ...ownerOf(1), credential: 2 },
    { ...ownerOf(1), row: 2 },
  ]) {
    pair.server.revoke(other, pair.serverOut);
    t.equal(pair.server.sizes().handshakes, 1, 'another key of the device, or of somebody else, is not this one');
  }
  pair.psks.clear();
  pair.server.revoke(ownerOf(1), pair.serverOut);
  pair.intercept = (_, datagram) => [datagram];
  pair.runUntil(() => pair.client.isOver);
  t.equal(pair.verified.length, 1);
});

t.test('a record that would be too long is neither sent nor delivered', async t => {
  const pair = handshakePair();
  t.equal(pair.connect().server.maxPlaintext(pair.verified[0]!.peer), 16_384);
  const peer = pair.verified[0]!.peer;
  pair.server.send(peer, new Uint8Array(16_385), pair.serverOut);
  t.equal(pair.server.counters.tooLong, 1);
  pair.client.dtls.send(new Uint8Array(16_385), pair.client.out);
  pair.pass(50);
  t.equal(pair.delivered.length, 0);
});

/** The server's protected records, each named by its session and its sequence number: the nonce under that key. */
function recordsSealed(pair: HandshakePair): string[] {
  return pair.sent
    .filter(({ from }) => from === 'server')
    .flatMap(({ datagram, session }) =>
      recordsOf(datagram).flatMap(({ epoch, sequence }) => (epoch === 1 ? [`${session}:${sequence}`] : [])),
    );
}
