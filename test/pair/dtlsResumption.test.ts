import fc from 'fast-check';
import t from 'tap';
import { type Bytes, concatBytes, noBytes, utf8 } from '../../src/base/bytes.ts';
import { allCipherSuites, ecdheSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { encodeHandshake, HandshakeType } from '../../src/dtls/codec/handshake.ts';
import { encodePlainRecord } from '../../src/dtls/codec/record.ts';
import {
  describe,
  handshakePair,
  ownerOf,
  recordsOf,
  resumedFlight,
  resumingPair,
  split,
} from '../support/handshakePair.ts';

t.test('a resumed handshake takes five flights and no key exchange, and the server is the first to finish', async t => {
  const pair = resumingPair();
  const before = pair.ladder.length;
  pair.connect();
  t.strictSame(pair.lines(before), [
    '→ clientHello(0)',
    '← helloVerifyRequest(0)',
    '→ clientHello(1)',
    '← serverHello(1) [changeCipherSpec] {handshake 40}',
    '→ [changeCipherSpec] {handshake 40}',
  ]);
  pair.client.send('hello again');
  pair.runUntil(() => pair.delivered.length > 0);
  t.match(pair.delivered, [{ peer: 2, text: 'hello again', sequence: 1 }], 'another association');
  pair.server.send(pair.delivered[0]!.peer, utf8('welcome back'), pair.serverOut);
  pair.runUntil(() => pair.client.delivered.length > 0);
  t.strictSame(pair.client.delivered, ['welcome back']);
  t.match(pair.verified[1]!.session, { owner: ownerOf(1), identity: utf8('device-1'), lastFlight: undefined });
  t.match(pair.closed, [{ peer: 1, reason: 'replaced' }]);
  pair.connect();
  t.match(pair.ladder.join('\n').match(new RegExp(resumedFlight, 'g')), { length: 2 }, 'again and again');
});

t.test('each suite can be resumed, with and without a connection ID', async t => {
  for (const suite of allCipherSuites) {
    for (const cid of [undefined, noBytes, utf8('me')]) {
      const pair = resumingPair({ suites: [suite], clientSuites: [suite], ...(cid && { cid }) });
      const before = pair.ladder.length;
      pair.connect();
      t.match(pair.ladder.slice(before).join('\n'), resumedFlight, suite.name);
      pair.client.send(suite.name);
      pair.pass(50);
      pair.server.send(pair.verified[1]!.peer, utf8('answer'), pair.serverOut);
      pair.pass(50);
      t.equal(pair.delivered[0]?.text, suite.name);
      t.strictSame(pair.client.delivered, ['answer']);
      const { keys } = pair.verified[0]!.session;
      t.notSame(pair.verified[1]!.session.keys, keys, 'never the same keys again');
    }
  }
});

t.test('whatever is lost of a resumed handshake is sent again, by whoever has to', async t => {
  for (let lost = 0; lost < 5; lost++) {
    const pair = resumingPair();
    let n = 0;
    pair.intercept = (_, datagram) => (n++ === lost ? [] : [datagram]);
    pair.connect();
    pair.runUntil(() => pair.verified.length === 2);
    pair.client.send('hello');
    pair.pass(50);
    t.equal(pair.delivered.at(-1)?.text, 'hello', `without flight ${lost + 1}\n${pair.ladder.join('\n')}`);
    t.ok(pair.time < 1000 + 3600, `after ${pair.time - 1000} ms`);
    t.equal(pair.server.sizes().associations, 1);
  }
});

t.test('what a client says before its Finished arrives disturbs nothing', async t => {
  const pair = resumingPair({ cid: utf8('so that a type is not seen') });
  let late: Bytes | undefined;
  pair.intercept = (from, datagram) => {
    if (from === 'server' || late !== undefined || !describe(datagram).startsWith('[changeCipherSpec]'))
      return [datagram];
    late = datagram.slice();
    return [];
  };
  pair.connect();
  // As long as a Finished, and it is under the right keys.
  pair.client.send('twenty-four bytes, no mo');
  pair.pass(50);
  t.equal(pair.verified.length, 1);
  t.strictSame(pair.failed, []);
  pair.toServer(late!);
  t.equal(pair.verified.length, 2);
  pair.client.send('now');
  pair.pass(50);
  t.equal(pair.delivered.at(-1)?.text, 'now');
});

t.test('a request that comes before the session is durable is not lost, and not answered before', async t => {
  const pair = resumingPair({ confirm: 500 });
  pair.connect();
  pair.runUntil(() => pair.verified.length === 2);
  for (const text of ['one', 'two', 'three', 'four', 'five']) pair.client.send(text);
  pair.pass(100);
  t.strictSame(pair.delivered, []);
  pair.server.send(pair.verified[1]!.peer, utf8('too early'), pair.serverOut);
  t.notMatch(pair.ladder.at(-1), /←/);
  pair.pass(600);
  t.strictSame(
    pair.delivered.map(({ text, sequence }) => [text, sequence]),
    [
      ['one', 1],
      ['two', 2],
      ['three', 3],
      ['four', 4],
    ],
    'four of them wait',
  );
  t.match(pair.server.counters, { earlyFull: 1, unexpected: 0 }, 'the fifth met the limit');
  pair.pass(1000);
  t.equal(pair.delivered.length, 4, 'and are delivered once');
});

t.test('whatever the network does to a resumption, both sides come to one session or to none', async () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.integer(),
        loss: fc.double({ min: 0, max: 0.4, noNaN: true }),
        duplicate: fc.double({ min: 0, max: 0.5, noNaN: true }),
        jitter: fc.nat(3000),
        confirm: fc.nat(3000),
        cid: fc.option(fc.constant(utf8('me')), { nil: undefined }),
        suite: fc.constantFrom(...allCipherSuites),
      }),
      ({ cid, suite, ...options }) => {
        const suites = { suites: [suite], clientSuites: [suite] };
        const pair = handshakePair({ ...options, ...suites, ...(cid && { cid }), resumption: true });
        for (let attempt = 0; attempt < 6; attempt++) pair.connect();
        const { connections } = pair.client;
        if (connections > 0) {
          for (let n = 0; n < 20; n++) pair.client.send(`${n}`);
          pair.pass(10_000);
          const texts = pair.delivered.map(one => one.text);
          if (new Set(texts).size !== texts.length) throw new Error('delivered twice');
        }
        pair.pass(120_000);
        if (pair.server.sizes().handshakes !== 0) throw new Error(`left over\n${pair.ladder.join('\n')}`);
        if (options.loss < 0.1 && connections === 0) throw new Error(pair.ladder.join('\n'));
        if (pair.server.sizes().associations > 1) throw new Error('two sessions of one owner');
      },
    ),
    { numRuns: 60 },
  );
});

t.test(
  'a client that resumes would answer each late HelloVerifyRequest with a hello, and the server that one',
  async t => {
    const pair = resumingPair();
    const before = pair.ladder.length;
    pair.intercept = (from, datagram) => {
      if (from === 'client' || !describe(datagram).startsWith('serverHello(1)')) return [datagram];
      // Its ServerHello arrives alone, and then a copy of what came before it.
      const verify = pair.datagramsFrom('server').findLast(sent => describe(sent).startsWith('helloVerifyRequest'))!;
      return [split(datagram)[0]!, verify, verify];
    };
    pair.client.connect();
    pair.pass(500);
    t.equal(pair.ladder.length - before, 4, pair.ladder.slice(before).join('\n'));
  },
);

t.test('a number would be sealed twice if the handshake and the session counted apart', async t => {
  const pair = resumingPair();
  pair.intercept = (from, datagram) =>
    from === 'client' && describe(datagram).startsWith('[changeCipherSpec]') ? [] : [datagram];
  const before = pair.sent.length;
  pair.connect();
  pair.pass(8000);
  pair.intercept = (_, datagram) => [datagram];
  pair.runUntil(() => pair.verified.length === 2);
  for (let n = 0; n < 3; n++) pair.server.send(pair.verified[1]!.peer, utf8(`${n}`), pair.serverOut);
  const sealed = pair.sent
    .slice(before)
    .filter(({ from }) => from === 'server')
    .flatMap(({ datagram }) => recordsOf(datagram))
    .filter(({ epoch }) => epoch === 1)
    .map(({ sequence }) => sequence);
  t.ok(sealed.length > 4, sealed.join(' '));
  t.equal(new Set(sealed).size, sealed.length);
  const { writeSequence, writeMark } = pair.verified[1]!.session;
  t.ok(writeMark >= writeSequence + 1000, 'and the mark counts from what the handshake used');
});

t.test('a server Finished that was altered is not answered', async t => {
  const pair = resumingPair({ giveUpAfter: 3000 });
  pair.intercept = (from, datagram) => {
    if (from === 'client' || !describe(datagram).includes('{')) return [datagram];
    const forged = datagram.slice();
    forged[forged.length - 1]! ^= 1;
    return [forged];
  };
  pair.connect();
  t.strictSame(pair.client.closed, ['gave-up']);
  t.equal(pair.verified.length, 1);
});

t.test('a replayed ChangeCipherSpec and Finished of an earlier resumption open nothing', async t => {
  const pair = resumingPair();
  pair.connect();
  const finish = pair.datagramsFrom('client').at(-1)!.slice();
  let replayed = 0;
  pair.intercept = (from, datagram) => {
    if (from === 'server' || !describe(datagram).startsWith('[changeCipherSpec]')) return [datagram];
    return replayed++ === 0 ? [finish] : [datagram];
  };
  pair.connect();
  pair.pass(50);
  t.equal(pair.verified.length, 2, 'the replay');
  pair.pass(2000);
  t.equal(pair.verified.length, 3, 'the true one');
});

t.test('a Finished that overtakes ChangeCipherSpec waits for it', async t => {
  const pair = resumingPair();
  pair.intercept = (from, datagram) =>
    from === 'client' && describe(datagram).startsWith('[changeCipherSpec]') ? split(datagram).reverse() : [datagram];
  pair.connect();
  pair.pass(50);
  t.equal(pair.verified.length, 2);
  t.strictSame(pair.failed, []);
});

t.test('a Finished in clear is no Finished in a resumption either', async t => {
  const pair = resumingPair();
  pair.intercept = (from, datagram) => {
    if (from === 'server' || !describe(datagram).startsWith('[changeCipherSpec]')) return [datagram];
    const [change] = split(datagram);
    const finished = encodeHandshake(HandshakeType.finished, 2, new Uint8Array(12));
    const exchange = encodeHandshake(
      HandshakeType.clientKeyExchange,
      2,
      concatBytes(Uint8Array.of(0, 8), utf8('device-1')),
    );
    return [change!, encodePlainRecord(22, 0xfefd, 9, finished), encodePlainRecord(22, 0xfefd, 10, exchange)];
  };
  pair.client.connect();
  pair.pass(500);
  t.equal(pair.verified.length, 1);
  t.equal(pair.server.sizes().handshakes, 1, 'and ends nothing');
});

t.test(
  'forward secrecy is kept for as long as the session can be resumed, and no key exchange is repeated',
  async t => {
    const pair = resumingPair({ clientSuites: ecdheSuites });
    const before = pair.ladder.length;
    pair.connect();
    t.notMatch(pair.lines(before).join('\n'), /KeyExchange/);
    t.equal(pair.client.suite, ecdheSuites[0]);
  },
);
