import fc from 'fast-check';
import t from 'tap';
import { type Bytes, concatBytes, noBytes, toHex, utf8 } from '../../src/base/bytes.ts';
import { days, seconds } from '../../src/base/time.ts';
import { allCipherSuites, type CipherSuite, cipherSuite, ecdheSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { type ClientHello, decodeClientHello, encodeClientHello } from '../../src/dtls/codec/clientHello.ts';
import { ExtensionType } from '../../src/dtls/codec/extension.ts';
import { decodeFragments, encodeHandshake, HandshakeType } from '../../src/dtls/codec/handshake.ts';
import { decodeRecord, encodePlainRecord } from '../../src/dtls/codec/record.ts';
import { decodeServerHello, encodeServerHello, type ServerHello } from '../../src/dtls/codec/serverHello.ts';
import { mayResumeAfter, type ResumableSession } from '../../src/dtls/resumption.ts';
import {
  connectionIds,
  describe,
  type HandshakePair,
  handshakePair,
  ownerOf,
  type PairOptions,
  recordsOf,
  sessionIds,
  split,
} from '../support/handshakePair.ts';

const resuming = (options: PairOptions = {}) => handshakePair({ resumption: true, ...options }).connect();
const short = /← serverHello\(1\) \[changeCipherSpec\]/;
const full = /← serverHello\(1\) .*serverHelloDone/;

/** What was said since the ladder had so many lines, without the times. */
const linesSince = (pair: HandshakePair, from: number) =>
  pair.ladder.slice(from).map(line => line.slice(line.search(/[→←]/)));

t.test('a resumed handshake takes five flights and no key exchange, and the server is the first to finish', async t => {
  const pair = resuming();
  const before = pair.ladder.length;
  pair.connect();
  t.strictSame(linesSince(pair, before), [
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
  t.match(pair.ladder.join('\n').match(new RegExp(short, 'g')), { length: 2 }, 'again and again');
});

t.test('each suite can be resumed, with and without a connection ID', async t => {
  for (const suite of allCipherSuites) {
    for (const cid of [undefined, noBytes, utf8('me')]) {
      const pair = resuming({ suites: [suite], clientSuites: [suite], ...(cid && { cid }) });
      const before = pair.ladder.length;
      pair.connect();
      t.match(pair.ladder.slice(before).join('\n'), short, suite.name);
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
    const pair = resuming();
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
  const pair = resuming({ cid: utf8('so that a type is not seen') });
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
  const pair = resuming({ confirm: 500 });
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
    const pair = resuming();
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
  const pair = resuming();
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

t.test(
  'a stranger that names a session costs nothing before its cookie, and gets no more bytes than it sent',
  async t => {
    const pair = resuming();
    const resumed = pair.ladder.length;
    pair.client.connect();
    pair.runUntil(() => pair.ladder.length > resumed + 1);
    const [hello] = pair.datagramsFrom('client').slice(-1);
    const sizes = pair.server.sizes();
    const answers = pair.toServer(hello!, { socket: 0, address: '203.0.113.9', port: 9 });
    t.equal(describe(answers[0]!), 'helloVerifyRequest(0)');
    t.ok(answers[0]!.length <= hello!.length);
    t.strictSame(pair.server.sizes(), sizes);
  },
);

t.test('a forged resumption would take the device its session', async t => {
  const pair = resuming();
  const [session] = [...pair.resumable.values()];
  const forged = { ...session!, sessionId: sessionIds.of(session!.origin), masterSecret: new Uint8Array(48) };
  // The id was seen on the air; the secret was not.
  const thief = pair.addClient({ session: forged });
  pair.connect(thief);
  t.equal(thief.connections, 0);
  t.strictSame(pair.closed, []);
  pair.client.send('still here');
  pair.pass(50);
  t.equal(pair.delivered.at(-1)?.text, 'still here');
});

t.test('somebody at the same address cannot end the session by resuming it', async t => {
  const pair = resuming();
  pair.intercept = (from, datagram) => {
    if (from === 'server' || !describe(datagram).startsWith('[changeCipherSpec]')) return [datagram];
    const forged = datagram.slice();
    forged[forged.length - 1]! ^= 1;
    return [forged];
  };
  const { peer } = pair.verified[0]!;
  pair.connect();
  pair.pass(120_000);
  t.equal(pair.verified.length, 1);
  t.ok(pair.server.session(peer), 'the old one is there');
  t.strictSame(pair.closed, []);
  t.match(
    pair.failed,
    [{ fault: 'wrong-session-secret', identity: utf8('device-1') }],
    'told once, for what it is, and the handshake is gone',
  );
  t.equal(pair.server.sizes().handshakes, 0);
});

t.test('an id that means nothing leads to a full handshake', async t => {
  const pair = resuming();
  const ladder = (change: () => void, options?: PairOptions): string => {
    const other = options === undefined ? pair : resuming(options);
    change();
    const before = other.ladder.length;
    other.connect();
    t.equal(other.verified.length > 1, true, other.ladder.slice(before).join('\n'));
    return other.ladder.slice(before).join('\n');
  };
  t.match(
    ladder(() => pair.resumable.clear()),
    full,
    'an unknown one',
  );
  t.match(
    ladder(() => undefined),
    short,
  );
  t.match(
    ladder(() => void (pair.time += days(1))),
    full,
    'one whose time is over',
  );
  pair.time += days(1) - seconds(3600);
  t.match(
    ladder(() => undefined),
    short,
    'its time counts',
  );
  pair.time += seconds(3600);
  t.match(
    ladder(() => undefined),
    full,
    'from the full handshake, not from the last resumption',
  );
});

t.test('a credential that was revoked, or that is another now, resumes nothing', async t => {
  const pair = resuming();
  const entry = pair.psks.get('device-1')!;
  pair.psks.delete('device-1');
  pair.connect();
  t.match(linesSince(pair, 6).join('\n'), full);
  t.strictSame(pair.client.closed, ['alert badRecordMac']);
  t.match(pair.failed, [{ fault: 'unknown-identity' }]);
  for (const owner of [
    { row: 1, credential: 2 },
    { row: 2, credential: 1 },
  ]) {
    const changed = resuming();
    changed.psks.set('device-1', { ...entry, owner });
    const before = changed.ladder.length;
    changed.connect();
    t.match(linesSince(changed, before).join('\n'), full);
    t.strictSame(changed.verified[1]!.session.owner, owner);
  }
});

t.test('who is revoked while it resumes gets no session', async t => {
  const pair = resuming();
  pair.intercept = (from, datagram) => {
    if (from === 'client' && describe(datagram).startsWith('[changeCipherSpec]')) {
      pair.psks.delete('device-1');
      pair.server.revoke(ownerOf(1), pair.serverOut);
    }
    return [datagram];
  };
  pair.connect();
  pair.pass(50);
  t.equal(pair.verified.length, 1);
  t.strictSame(pair.server.sizes(), { associations: 0, handshakes: 0 });
});

t.test('a session is resumed as whoever made it, whatever else the client calls itself', async t => {
  const pair = resuming();
  const { session } = pair.client.dtls;
  pair.psks.set('device-2', { key: utf8('another key, of 2'), owner: ownerOf(2) });
  const other = pair.addClient({ identity: 'device-2', key: utf8('another key, of 2'), session: session! });
  pair.connect(other).pass(50);
  t.match(pair.verified[1]!.session, { owner: ownerOf(1), identity: utf8('device-1') });
});

t.test('a hello that resumes without its extension is refused: RFC 7627 §5.3', async t => {
  const pair = resuming();
  rewrite(pair, 'client', hello => ({ ...hello, extensions: without(hello, ExtensionType.extendedMasterSecret) }));
  pair.connect();
  t.strictSame(pair.client.closed, ['alert handshakeFailure']);
  t.equal(pair.verified.length, 1);
  t.strictSame(pair.closed, []);
  pair.intercept = (_, datagram) => [datagram];
  pair.connect();
  t.equal(pair.verified.length, 2, 'and then it makes a full one');
});

t.test('a session without extended master secret gets no id, and is not kept', async t => {
  const pair = handshakePair({ resumption: true });
  const strip = (hello: ClientHello) => ({ ...hello, extensions: without(hello, ExtensionType.extendedMasterSecret) });
  rewrite(pair, 'client', strip);
  pair.client.connect();
  pair.pass(50);
  const [, flight] = pair.datagramsFrom('server');
  t.equal(decodeServerHello(decodeFragments(recordsOf(flight!)[0]!.fragment)![0]!.body)!.sessionId.length, 0);
  t.equal(pair.resumable.size, 0);
});

t.test('what no longer fits the session leads to a full handshake', async t => {
  const ccm8 = cipherSuite(0xc0a8)!;
  const gcm = cipherSuite(0x00a8)!;
  const cases: [string, PairOptions, (hello: ClientHello) => ClientHello][] = [
    ['another suite', { clientSuites: [ccm8, gcm] }, hello => ({ ...hello, cipherSuites: [gcm.id] })],
    [
      'another record length',
      {},
      hello => ({ ...hello, extensions: new Map([...hello.extensions, [1, Uint8Array.of(1)]]) }),
    ],
    [
      'no encrypt-then-MAC',
      { suites: [cipherSuite(0x00ae)!, ccm8], clientSuites: [cipherSuite(0x00ae)!, ccm8] },
      hello => ({ ...hello, extensions: without(hello, ExtensionType.encryptThenMac) }),
    ],
  ];
  for (const [name, options, change] of cases) {
    const pair = resuming(options);
    const before = pair.ladder.length;
    rewrite(pair, 'client', change);
    pair.client.connect();
    pair.pass(60);
    t.match(linesSince(pair, before).join('\n'), full, name);
  }
});

t.test('a suite that the server gave up is not resumed', async t => {
  const offered: CipherSuite[] = [cipherSuite(0xc0a8)!, cipherSuite(0x00a8)!];
  const suites = [...offered];
  const pair = resuming({ suites, clientSuites: offered });
  suites.shift();
  const before = pair.ladder.length;
  pair.connect();
  t.match(linesSince(pair, before).join('\n'), full);
  t.equal(pair.client.suite, offered[1]);
});

t.test('a session of short records is resumed by who asks for short records', async t => {
  const pair = resuming();
  const [[id, session]] = [...pair.resumable] as [[string, ResumableSession]];
  pair.resumable.set(id, { ...session, maxPlaintext: 512 });
  const before = pair.ladder.length;
  rewrite(pair, 'client', hello => ({ ...hello, extensions: new Map([...hello.extensions, [1, Uint8Array.of(1)]]) }));
  pair.client.connect();
  pair.pass(35);
  t.match(linesSince(pair, before).join('\n'), short);
  const fragment = recordsOf(pair.datagramsFrom('server').at(-1)!)[0]!.fragment;
  const { extensions } = decodeServerHello(decodeFragments(fragment)![0]!.body)!;
  t.strictSame(extensions.get(ExtensionType.maxFragmentLength), Uint8Array.of(1), 'RFC 6066 §4');
  const other = resuming();
  const [[otherId, otherSession]] = [...other.resumable] as [[string, ResumableSession]];
  other.resumable.set(otherId, { ...otherSession, maxPlaintext: 512 });
  const start = other.ladder.length;
  other.connect();
  t.match(linesSince(other, start).join('\n'), full, 'and by nobody else');
});

t.test('a client does not believe a server that resumes on other terms', async t => {
  const lies: [string, (hello: ServerHello) => ServerHello, string][] = [
    ['another suite', hello => ({ ...hello, cipherSuite: 0xc0a4 }), 'not-offered'],
    [
      'without extended master secret',
      hello => ({ ...hello, extensions: without(hello, ExtensionType.extendedMasterSecret) }),
      'not-offered',
    ],
    ['another random', hello => ({ ...hello, random: new Uint8Array(32) }), 'gave-up'],
  ];
  for (const [name, lie, reason] of lies) {
    const pair = resuming({ giveUpAfter: 5000 });
    rewrite(pair, 'server', lie);
    pair.connect();
    t.strictSame(pair.client.closed, [reason], name);
    t.equal(pair.client.connections, 1);
    t.equal(pair.verified.length, 1);
    pair.intercept = (_, datagram) => [datagram];
    const before = pair.ladder.length;
    pair.connect();
    t.match(linesSince(pair, before).join('\n'), full, 'what failed once is not tried again');
  }
});

t.test('a server Finished that was altered is not answered', async t => {
  const pair = resuming({ giveUpAfter: 3000 });
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
  const pair = resuming();
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
  const pair = resuming();
  pair.intercept = (from, datagram) =>
    from === 'client' && describe(datagram).startsWith('[changeCipherSpec]') ? split(datagram).reverse() : [datagram];
  pair.connect();
  pair.pass(50);
  t.equal(pair.verified.length, 2);
  t.strictSame(pair.failed, []);
});

t.test('a Finished in clear is no Finished in a resumption either', async t => {
  const pair = resuming();
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

t.test('a session id says nothing about its association, its connection ID or other sessions', async t => {
  const ids = Array.from({ length: 1000 }, (_, n) => toHex(sessionIds.of((n + 1) as never)));
  t.equal(new Set(ids).size, ids.length);
  for (const [n, id] of ids.entries()) {
    if (id === toHex(connectionIds.of((n + 1) as never))) t.fail('the same as the connection ID');
  }
  let neighbours = 0;
  for (const id of ids) {
    const near = BigInt(`0x${id}`) ^ 1n;
    if (sessionIds.peer(new Uint8Array(Buffer.from(near.toString(16).padStart(16, '0'), 'hex'))) !== undefined)
      neighbours++;
  }
  t.equal(neighbours, 0, 'a neighbour of a valid id is none');
});

t.test('after a fatal alert, a forged key or its age a session is not resumed; after a goodbye it is', async t => {
  for (const reason of ['peer-alert', 'forged', 'not-stored', 'too-old', 'revoked'] as const) {
    t.notOk(mayResumeAfter(reason), reason);
  }
  for (const reason of ['close-notify', 'closed', 'idle', 'evicted', 'displaced', 'exhausted'] as const) {
    t.ok(mayResumeAfter(reason), reason);
  }
});

t.test(
  'forward secrecy is kept for as long as the session can be resumed, and no key exchange is repeated',
  async t => {
    const pair = resuming({ clientSuites: ecdheSuites });
    const before = pair.ladder.length;
    pair.connect();
    t.notMatch(linesSince(pair, before).join('\n'), /KeyExchange/);
    t.equal(pair.client.suite, ecdheSuites[0]);
  },
);

function without(
  { extensions }: { readonly extensions: ReadonlyMap<number, Bytes> },
  type: number,
): Map<number, Bytes> {
  return new Map([...extensions].filter(([known]) => known !== type));
}

/** From now on somebody in between changes each hello of this side. */
function rewrite(pair: HandshakePair, side: 'client', change: (hello: ClientHello) => ClientHello): void;
function rewrite(pair: HandshakePair, side: 'server', change: (hello: ServerHello) => ServerHello): void;
function rewrite(
  pair: HandshakePair,
  side: 'client' | 'server',
  change: (hello: never) => ClientHello | ServerHello,
): void {
  const type = side === 'client' ? HandshakeType.clientHello : HandshakeType.serverHello;
  pair.intercept = (from, datagram) => {
    const record = decodeRecord(datagram, 0)!;
    const first = record.epoch === 0 && record.type === 22 ? decodeFragments(record.fragment)?.[0] : undefined;
    if (from !== side || first?.type !== type) return [datagram];
    const body =
      side === 'client'
        ? encodeClientHello(change(decodeClientHello(first.body) as never) as ClientHello)
        : encodeServerHello(change(decodeServerHello(first.body) as never) as ServerHello);
    const hello = encodePlainRecord(
      22,
      record.version,
      record.sequence,
      encodeHandshake(type, first.messageSequence, body),
    );
    return [concatBytes(hello, ...split(datagram).slice(1))];
  };
}
