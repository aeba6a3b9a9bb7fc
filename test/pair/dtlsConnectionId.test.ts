import t from 'tap';
import { type Bytes, concatBytes, noBytes, utf8 } from '../../src/base/bytes.ts';
import type { Peer, Remote } from '../../src/base/peer.ts';
import { seconds } from '../../src/base/time.ts';
import { allCipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { ContentType } from '../../src/dtls/codec/record.ts';
import { connectionIds, type HandshakePair, handshakePair, recordsOf, split } from '../support/handshakePair.ts';

const elsewhere: Remote = { socket: 0, address: '198.51.100.7', port: 7000 };
const texts = (pair: HandshakePair) => pair.delivered.map(({ text }) => text);
const last = (pair: HandshakePair) => pair.datagramsFrom('client').at(-1)!;

t.test('a connection ID is in every protected record, in both directions', async t => {
  for (const suite of allCipherSuites) {
    for (const cid of [noBytes, utf8('me'), new Uint8Array(255).fill(9)]) {
      const pair = handshakePair({ suites: [suite], clientSuites: [suite], cid }).connect();
      pair.client.send('question');
      pair.pass(50);
      pair.server.send(pair.verified[0]!.peer, utf8('answer'), pair.serverOut);
      pair.pass(50);
      t.strictSame(texts(pair), ['question'], `${suite.name}, ${cid.length}`);
      t.strictSame(pair.client.delivered, ['answer']);
      const sealed = pair
        .datagramsFrom('client')
        .flatMap(datagram => recordsOf(datagram))
        .filter(one => one.epoch === 1);
      t.ok(sealed.every(one => one.type === ContentType.tls12Cid));
      t.ok(sealed.every(one => connectionIds.peer(one.cid) === pair.verified[0]!.peer));
      const answers = pair.datagramsFrom('server').flatMap(datagram => recordsOf(datagram, cid.length));
      const types = answers.filter(one => one.epoch === 1).map(one => one.type);
      t.ok(types.length === 2 && types.every(type => (type === ContentType.tls12Cid) === cid.length > 0));
    }
  }
});

t.test('with loss, duplicates and reordering too', async t => {
  for (let seed = 1; seed <= 40; seed++) {
    const pair = handshakePair({
      seed,
      cid: utf8('eight by'),
      loss: 0.2,
      duplicate: 0.2,
      jitter: 40,
      fragment: 60,
    }).connect();
    t.ok(pair.client.dtls.isConnected, `seed ${seed}`);
  }
});

t.test('a device goes on from another address at once, and the address counts once it is proved', async t => {
  for (const returnRoutability of [true, false]) {
    const pair = handshakePair({ cid: noBytes, returnRoutability }).connect();
    const { peer } = pair.verified[0]!;
    const home = pair.client.remote;
    pair.client.remote = elsewhere;
    pair.client.send('from elsewhere');
    pair.pass(5);
    t.strictSame(pair.server.session(peer)?.remote, home, 'not yet');
    pair.pass(50);
    t.strictSame(pair.delivered.at(-1), { peer, text: 'from elsewhere', sequence: 1 }, 'the peer is the same');
    if (returnRoutability) {
      t.strictSame(pair.moving, []);
    } else {
      t.strictSame(pair.moving, [{ peer, remote: elsewhere }], 'somebody else has to prove it');
      pair.server.send(peer, utf8('a'), pair.serverOut);
      t.notOk(pair.server.proved(peer, home, pair.serverOut), 'an answer from elsewhere proves nothing');
      t.ok(pair.server.proved(peer, elsewhere, pair.serverOut));
    }
    t.strictSame(pair.moved, [{ peer, remote: elsewhere }]);
    t.strictSame(pair.server.session(peer)?.remote, elsewhere);
    t.equal(pair.server.counters.moved, 1);
  }
});

t.test('without a connection ID a new address is nobody', async t => {
  const pair = handshakePair().connect();
  pair.client.remote = elsewhere;
  pair.client.send('x');
  pair.pass(50);
  t.strictSame(texts(pair), []);
  t.equal(pair.server.counters.noAssociation, 1);
});

t.test('a forged record with the right connection ID would move the device', async t => {
  const pair = handshakePair({ cid: noBytes }).connect();
  pair.client.send('true');
  const forged = last(pair).slice();
  forged[forged.length - 1]! ^= 1;
  t.strictSame(pair.toServer(forged, elsewhere), []);
  pair.pass(50);
  t.strictSame([pair.moved, pair.moving], [[], []]);
  t.equal(pair.server.counters.notAuthentic, 1);
  t.strictSame(texts(pair), ['true']);
});

t.test('an old record from elsewhere would move the device back', async t => {
  const pair = handshakePair({ cid: noBytes, returnRoutability: false }).connect();
  pair.intercept = () => [];
  pair.client.send('held on the way');
  const held = last(pair);
  pair.intercept = (_, datagram) => [datagram];
  pair.client.send('newer');
  pair.pass(50);
  pair.toServer(held, elsewhere);
  t.strictSame(texts(pair), ['newer', 'held on the way'], 'it is good');
  t.strictSame(pair.moving, [], 'and says nothing about where the device is');
  pair.toServer(held, elsewhere);
  t.equal(pair.server.counters.replayed, 1);
});

t.test('an address that is not proved would be flooded', async t => {
  const pair = handshakePair({ cid: noBytes, returnRoutability: false }).connect();
  const { peer } = pair.verified[0]!;
  const home = pair.client.remote;
  pair.intercept = from => (from === 'server' ? [] : []);
  pair.client.send('a record that somebody took to the address of a victim');
  const taken = last(pair);
  pair.toServer(taken, elsewhere);
  for (let n = 0; n < 50; n++) pair.server.send(peer, utf8('twenty bytes of data'), pair.serverOut);
  const bytes = pair.sent.filter(one => one.remote === elsewhere).reduce((sum, one) => sum + one.datagram.length, 0);
  t.ok(bytes > 0 && bytes <= 3 * taken.length, `${bytes} bytes for ${taken.length}`);
  t.ok(pair.server.counters.unprovedAddress > 40);

  await t.test('and would stay the address for ever', async t => {
    pair.pass(seconds(100));
    pair.server.send(peer, utf8('home again'), pair.serverOut);
    t.strictSame(pair.sent.at(-1)?.remote, home);
  });
});

t.test('a device that comes back to its address is there at once', async t => {
  const pair = handshakePair({ cid: noBytes, returnRoutability: false }).connect();
  const { peer } = pair.verified[0]!;
  const home = pair.client.remote;
  pair.client.remote = elsewhere;
  pair.client.send('there');
  pair.pass(50);
  pair.client.remote = home;
  pair.client.send('here');
  pair.pass(50);
  t.notOk(pair.server.proved(peer, elsewhere, pair.serverOut));
  pair.server.send(peer, utf8('x'), pair.serverOut);
  t.strictSame(pair.sent.at(-1)?.remote, home);
});

t.test('a record without the agreed connection ID would be taken for one of the session', async t => {
  const pair = handshakePair({ cid: noBytes }).connect();
  const plain = handshakePair().connect();
  plain.client.send('x');
  const before = pair.server.counters.wrongCid;
  pair.toServer(last(plain));
  t.equal(pair.server.counters.wrongCid, before + 1);
  t.equal(pair.server.counters.notAuthentic, 0, 'it is not even opened');

  await t.test('and one with a connection ID that was not agreed to', async t => {
    const [record] = split(last(plain));
    const peer = plain.verified[0]!.peer;
    const withCid = concatBytes(
      Uint8Array.of(ContentType.tls12Cid),
      record!.subarray(1, 11),
      connectionIds.of(peer),
      record!.subarray(11),
    );
    plain.toServer(withCid);
    t.equal(plain.server.counters.wrongCid, 1);
  });
});

t.test('a connection ID that nobody has is dropped in silence', async t => {
  const pair = handshakePair({ cid: noBytes }).connect();
  pair.client.send('x');
  const stranger = last(pair).slice();
  stranger[11]! ^= 1;
  t.strictSame(pair.toServer(stranger, elsewhere), []);
  t.equal(pair.server.counters.noAssociation, 1);
});

t.test('two devices may be behind one address after each other', async t => {
  const pair = handshakePair({ cid: noBytes });
  pair.psks.set('device-2', { key: pair.psks.get('device-1')!.key, owner: { row: 2, credential: 2 } });
  pair.connect();
  const first = pair.client;
  const shared = first.remote;
  first.remote = { ...shared, port: 50_000 };
  const second = pair.addClient({ identity: 'device-2', cid: noBytes, remote: shared });
  pair.connect(second);
  t.strictSame(pair.closed, [], 'the NAT gave the port to another device');
  first.send('first');
  second.send('second');
  pair.pass(50);
  t.strictSame(texts(pair).sort(), ['first', 'second']);
  for (const { peer } of pair.verified) pair.server.send(peer, utf8(`to ${peer}`), pair.serverOut);
  pair.pass(50);
  t.equal(first.delivered.length, 1);
  t.equal(second.delivered.length, 1);
  t.not(first.delivered[0], second.delivered[0]);
});

t.test('after a restart a device is found by its connection ID, wherever it is', async t => {
  const pair = handshakePair({ cid: utf8('me') }).connect();
  const { session } = pair.verified[0]!;
  pair.server = pair.newServer(1);
  pair.server.restore(pair.now, session, pair.serverOut);
  pair.client.remote = elsewhere;
  for (const text of ['still', 'me']) {
    pair.client.send(text);
    pair.pass(50);
  }
  t.strictSame(texts(pair), ['still', 'me']);
  t.strictSame(pair.moved, [{ peer: session.peer, remote: elsewhere }]);
});

t.test('connection IDs tell neither how many there are nor which come next', async t => {
  const seen = new Set<string>();
  let differing = 0;
  let before: Bytes | undefined;
  for (let peer = 1; peer <= 1000; peer++) {
    const cid = connectionIds.of(peer as Peer);
    t.equal(connectionIds.peer(cid), peer);
    seen.add(cid.join());
    if (before !== undefined) for (const [n, byte] of cid.entries()) if (byte !== before[n]) differing++;
    before = cid;
  }
  t.equal(seen.size, 1000);
  t.ok(differing > 0.98 * 999 * 8, 'neighbours have nothing in common');
  let valid = 0;
  for (let n = 0; n < 20_000; n++) {
    const peer = connectionIds.peer(new Uint8Array(8).map((_, i) => (n * (i + 3) * 2654435761) >>> (i * 3)));
    if (peer !== undefined && peer < 2 ** 37) valid++;
  }
  t.equal(valid, 0, 'a guess is none');
});
