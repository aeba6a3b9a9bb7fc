import t from 'tap';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { days, seconds } from '../../src/base/time.ts';
import { type CipherSuite, cipherSuite } from '../../src/dtls/codec/cipherSuite.ts';
import type { ClientHello } from '../../src/dtls/codec/clientHello.ts';
import { ExtensionType } from '../../src/dtls/codec/extension.ts';
import { decodeFragments } from '../../src/dtls/codec/handshake.ts';
import { decodeServerHello, type ServerHello } from '../../src/dtls/codec/serverHello.ts';
import { mayResumeAfter, type ResumableSession } from '../../src/dtls/resumption.ts';
import {
  connectionIds,
  describe,
  fullFlight,
  handshakePair,
  ownerOf,
  type PairOptions,
  recordsOf,
  resumedFlight,
  resumingPair,
  sessionIds,
} from '../support/handshakePair.ts';
import { rewriteHello, without } from '../support/rewriting.ts';

t.test(
  'a stranger that names a session costs nothing before its cookie, and gets no more bytes than it sent',
  async t => {
    const pair = resumingPair();
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
  const pair = resumingPair();
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
  const pair = resumingPair();
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
  const pair = resumingPair();
  const ladder = (change: () => void, options?: PairOptions): string => {
    const other = options === undefined ? pair : resumingPair(options);
    change();
    const before = other.ladder.length;
    other.connect();
    t.equal(other.verified.length > 1, true, other.ladder.slice(before).join('\n'));
    return other.ladder.slice(before).join('\n');
  };
  t.match(
    ladder(() => pair.resumable.clear()),
    fullFlight,
    'an unknown one',
  );
  t.match(
    ladder(() => undefined),
    resumedFlight,
  );
  t.match(
    ladder(() => void (pair.time += days(1))),
    fullFlight,
    'one whose time is over',
  );
  pair.time += days(1) - seconds(3600);
  t.match(
    ladder(() => undefined),
    resumedFlight,
    'its time counts',
  );
  pair.time += seconds(3600);
  t.match(
    ladder(() => undefined),
    fullFlight,
    'from the full handshake, not from the last resumption',
  );
});

t.test('a credential that was revoked, or that is another now, resumes nothing', async t => {
  const pair = resumingPair();
  const entry = pair.psks.get('device-1')!;
  pair.psks.delete('device-1');
  pair.connect();
  t.match(pair.lines(6).join('\n'), fullFlight);
  t.strictSame(pair.client.closed, ['alert badRecordMac']);
  t.match(pair.failed, [{ fault: 'unknown-identity' }]);
  for (const owner of [
    { row: 1, credential: 2 },
    { row: 2, credential: 1 },
  ]) {
    const changed = resumingPair();
    changed.psks.set('device-1', { ...entry, owner });
    const before = changed.ladder.length;
    changed.connect();
    t.match(changed.lines(before).join('\n'), fullFlight);
    t.strictSame(changed.verified[1]!.session.owner, owner);
  }
});

t.test('who is revoked while it resumes gets no session', async t => {
  const pair = resumingPair();
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
  const pair = resumingPair();
  const { session } = pair.client.dtls;
  pair.psks.set('device-2', { key: utf8('another key, of 2'), owner: ownerOf(2) });
  const other = pair.addClient({ identity: 'device-2', key: utf8('another key, of 2'), session: session! });
  pair.connect(other).pass(50);
  t.match(pair.verified[1]!.session, { owner: ownerOf(1), identity: utf8('device-1') });
});

t.test('a hello that resumes without its extension is refused: RFC 7627 §5.3', async t => {
  const pair = resumingPair();
  rewriteHello(pair, 'client', hello => ({ ...hello, extensions: without(hello, ExtensionType.extendedMasterSecret) }));
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
  rewriteHello(pair, 'client', strip);
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
    const pair = resumingPair(options);
    const before = pair.ladder.length;
    rewriteHello(pair, 'client', change);
    pair.client.connect();
    pair.pass(60);
    t.match(pair.lines(before).join('\n'), fullFlight, name);
  }
});

t.test('a suite that the server gave up is not resumed', async t => {
  const offered: CipherSuite[] = [cipherSuite(0xc0a8)!, cipherSuite(0x00a8)!];
  const suites = [...offered];
  const pair = resumingPair({ suites, clientSuites: offered });
  suites.shift();
  const before = pair.ladder.length;
  pair.connect();
  t.match(pair.lines(before).join('\n'), fullFlight);
  t.equal(pair.client.suite, offered[1]);
});

t.test('a session of short records is resumed by who asks for short records', async t => {
  const pair = resumingPair();
  const [[id, session]] = [...pair.resumable] as [[string, ResumableSession]];
  pair.resumable.set(id, { ...session, maxPlaintext: 512 });
  const before = pair.ladder.length;
  rewriteHello(pair, 'client', hello => ({
    ...hello,
    extensions: new Map([...hello.extensions, [1, Uint8Array.of(1)]]),
  }));
  pair.client.connect();
  pair.pass(35);
  t.match(pair.lines(before).join('\n'), resumedFlight);
  const fragment = recordsOf(pair.datagramsFrom('server').at(-1)!)[0]!.fragment;
  const { extensions } = decodeServerHello(decodeFragments(fragment)![0]!.body)!;
  t.strictSame(extensions.get(ExtensionType.maxFragmentLength), Uint8Array.of(1), 'RFC 6066 §4');
  const other = resumingPair();
  const [[otherId, otherSession]] = [...other.resumable] as [[string, ResumableSession]];
  other.resumable.set(otherId, { ...otherSession, maxPlaintext: 512 });
  const start = other.ladder.length;
  other.connect();
  t.match(other.lines(start).join('\n'), fullFlight, 'and by nobody else');
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
    const pair = resumingPair({ giveUpAfter: 5000 });
    rewriteHello(pair, 'server', lie);
    pair.connect();
    t.strictSame(pair.client.closed, [reason], name);
    t.equal(pair.client.connections, 1);
    t.equal(pair.verified.length, 1);
    pair.intercept = (_, datagram) => [datagram];
    const before = pair.ladder.length;
    pair.connect();
    t.match(pair.lines(before).join('\n'), fullFlight, 'what failed once is not tried again');
  }
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
