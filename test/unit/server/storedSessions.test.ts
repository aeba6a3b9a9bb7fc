import t from 'tap';
import { noBytes, utf8 } from '../../../src/base/bytes.ts';
import type { Peer, Remote } from '../../../src/base/peer.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { Instant } from '../../../src/base/time.ts';
import { DtlsEndpoint } from '../../../src/dtls/endpoint.ts';
import type { CredentialId } from '../../../src/fleet/names.ts';
import type { SessionRow } from '../../../src/fleet/session.ts';
import type { View } from '../../../src/fleet/store.ts';
import { sessionRow } from '../../../src/server/sessionForm.ts';
import { type EndedSession, type SessionStore, StoredSessions } from '../../../src/server/storedSessions.ts';
import { connectionIds, type HandshakePair, handshakePair, recordsOf } from '../../support/handshakePair.ts';

/** A store that counts how often a secret was opened. */
class Kept implements SessionStore {
  readonly rows = new Map<CredentialId, SessionRow>();
  opened = 0;
  lastExchange: { association: Peer; sequence: number } | undefined;
  values: { peer: Peer; sequence: number }[] = [];
  sessionCount = () => this.rows.size;
  sessionHeads = () => this.rows.values();
  session = (credential: CredentialId) => {
    this.opened++;
    return this.rows.get(credential);
  };
  view = () => ({ device: () => ({ lastExchange: this.lastExchange }), values: () => this.values }) as unknown as View;

  keep(...rows: readonly SessionRow[]): this {
    for (const row of rows) this.rows.set(row.credential, row);
    return this;
  }
}

const idleAt = 1_000_000 as Instant;

/** The process dies, and another one begins with what was kept. */
function restart(
  pair: HandshakePair,
  kept: Kept,
): { stored: StoredSessions; ended: EndedSession[]; overslept: Peer[] } {
  const ended: EndedSession[] = [];
  const overslept: Peer[] = [];
  const stored = new StoredSessions(
    kept,
    1,
    idleAt,
    head => void ended.push(head),
    peer => void overslept.push(peer),
  );
  pair.server = new DtlsEndpoint({
    psk: { find: identity => pair.psks.get(new TextDecoder().decode(identity)) },
    random: new SeededRandom(77),
    firstPeer: stored.highestPeer + 1,
    cids: connectionIds,
    sleepers: stored,
    limits: { maxAssociations: 4 },
  });
  return { stored, ended, overslept };
}

const rowOf = (pair: HandshakePair, index = 0): SessionRow => sessionRow(pair.verified[index]!.session);
const elsewhere: Remote = { socket: 0, address: '198.51.100.7', port: 7000 };

t.test('a start would open every secret, though most devices sleep', async t => {
  for (const cid of [undefined, noBytes]) {
    const pair = handshakePair(cid === undefined ? {} : { cid, returnRoutability: false }).connect();
    const kept = new Kept().keep(rowOf(pair));
    const { stored } = restart(pair, kept);
    t.strictSame([stored.size, kept.opened, pair.server.sizes().associations], [1, 0, 0], 'it sleeps');
    if (cid !== undefined) pair.client.remote = elsewhere;
    pair.client.send('after');
    pair.pass(50);
    t.strictSame(
      pair.delivered.map(({ text }) => text),
      ['after'],
      'and is awake with its first record',
    );
    t.strictSame([stored.size, kept.opened, pair.server.sizes().associations], [0, 1, 1]);
    pair.client.send('and again');
    pair.pass(50);
    t.equal(kept.opened, 1, 'once');
    const before = pair.sent.length;
    pair.server.send(rowOf(pair).peer, utf8('answer'), pair.serverOut);
    const sequences = pair.sent.slice(before).flatMap(({ datagram }) => recordsOf(datagram, 0).map(r => r.sequence));
    t.strictSame(sequences, [1000], 'from the write mark on');
  }
});

t.test('a device that sleeps is woken to be spoken to', async t => {
  const pair = handshakePair().connect();
  restart(pair, new Kept().keep(rowOf(pair)));
  const { peer } = rowOf(pair);
  t.equal(pair.server.session(peer), undefined);
  pair.server.wake(pair.now, peer, pair.serverOut);
  pair.server.send(peer, utf8('are you there'), pair.serverOut);
  pair.pass(50);
  t.strictSame(pair.client.delivered, ['are you there']);
});

t.test('without the mark of its last change an old record would take effect a second time', async t => {
  const pair = handshakePair().connect();
  pair.client.send('first');
  pair.client.send('second');
  pair.pass(50);
  const records = pair.datagramsFrom('client').slice(-2);
  const origin = { peer: rowOf(pair).peer, sequence: pair.delivered[0]!.sequence };
  for (const what of ['a change', 'a value']) {
    const kept = new Kept().keep(rowOf(pair));
    if (what === 'a change') kept.lastExchange = { association: origin.peer, sequence: origin.sequence };
    else kept.values = [{ peer: 99 as Peer, sequence: 1000 }, origin];
    restart(pair, kept);
    pair.delivered.length = 0;
    for (const record of records) pair.toServer(record);
    t.strictSame(
      pair.delivered.map(({ text }) => text),
      ['second'],
      `${what}: what changed nothing may come again`,
    );
  }
});

t.test('a session whose credential was revoked meanwhile does not wake', async t => {
  const pair = handshakePair().connect();
  const kept = new Kept().keep(rowOf(pair));
  const { stored, overslept } = restart(pair, kept);
  kept.rows.clear();
  pair.client.send('anybody?');
  pair.pass(50);
  t.equal(overslept.length, 1);
  t.strictSame([pair.delivered.length, stored.size, pair.server.counters.noAssociation], [0, 0, 1]);
});

t.test('a session that a newer one replaced does not wake', async t => {
  const pair = handshakePair({ cid: noBytes }).connect();
  const kept = new Kept().keep(rowOf(pair));
  restart(pair, kept);
  const old = pair.datagramsFrom('client').at(-1)!;
  pair.client.send('old');
  const late = pair.datagramsFrom('client').at(-1)!;
  t.not(late, old);
  kept.keep({ ...rowOf(pair), peer: 99 as Peer });
  pair.pass(50);
  t.strictSame(pair.delivered, []);
});

t.test('of two at one address the newer one is there, and the other is found by its connection ID', async t => {
  const pair = handshakePair({ cid: noBytes });
  pair.psks.set('device-2', { key: pair.psks.get('device-1')!.key, owner: { row: 2, credential: 2 } });
  pair.connect();
  const second = pair.addClient({ identity: 'device-2', remote: elsewhere });
  pair.connect(second);
  const state = rowOf(pair, 1).state;
  for (const rows of [
    [{ ...rowOf(pair, 0), state }, rowOf(pair, 1)],
    [rowOf(pair, 1), { ...rowOf(pair, 0), state }],
  ]) {
    const { stored } = restart(pair, new Kept().keep(...rows));
    t.equal(stored.byAddress(elsewhere)?.peer, rowOf(pair, 1).peer);
    t.equal(stored.byAddress(elsewhere), undefined, 'handed over once');
    t.equal(stored.byPeer(rowOf(pair, 0).peer)?.peer, rowOf(pair, 0).peer);
    t.equal(stored.size, 0);
  }
});

t.test('of two that had one address after each other only one would go on after a restart', async t => {
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const pair = handshakePair({ cid: noBytes, returnRoutability: false });
    pair.psks.set('device-2', { key: pair.psks.get('device-1')!.key, owner: { row: 2, credential: 2 } });
    pair.connect();
    pair.connect(pair.addClient({ identity: 'device-2', remote: elsewhere }));
    // The first one was at this address before the second, and has not been heard since.
    restart(pair, new Kept().keep({ ...rowOf(pair, 0), state: rowOf(pair, 1).state }, rowOf(pair, 1)));
    for (const n of [...order, ...order]) {
      pair.clients[n]!.send(`from ${n}`);
      pair.pass(50);
      const { peer } = pair.verified[n]!;
      pair.server.send(peer, utf8(`to ${n}`), pair.serverOut);
      pair.pass(50);
    }
    t.strictSame(pair.closed, [], order.join());
    t.strictSame(
      pair.delivered.map(({ text }) => text),
      [...order, ...order].map(n => `from ${n}`),
    );
    t.strictSame(pair.clients[1]!.delivered, ['to 1', 'to 1']);
    t.strictSame(pair.clients[0]!.delivered, ['to 0', 'to 0']);
  }
});

t.test('junk from where a device sleeps wakes it, and changes nothing', async t => {
  const pair = handshakePair().connect();
  restart(pair, new Kept().keep(rowOf(pair)));
  pair.client.send('true');
  const forged = pair.datagramsFrom('client').at(-1)!.slice();
  forged[forged.length - 1]! ^= 1;
  t.strictSame(pair.toServer(forged), []);
  pair.pass(50);
  t.strictSame(
    pair.delivered.map(({ text }) => text),
    ['true'],
  );
});

t.test('a record in the name of a device that sleeps would cost it its session while there is no room', async t => {
  const pair = handshakePair().connect();
  const crowd = Array.from({ length: 4 }, (_, n) => {
    const remote: Remote = { socket: 0, address: '198.51.100.9', port: 9000 + n };
    return {
      ...pair.verified[0]!.session,
      remote,
      peer: (100 + n) as Peer,
      owner: { row: 50 + n, credential: 50 + n },
    };
  });
  const { stored } = restart(pair, new Kept().keep(rowOf(pair)));
  for (const state of crowd) pair.server.restore(pair.now, state, pair.serverOut);
  pair.client.send('nobody is in');
  pair.pass(50);
  t.equal(stored.size, 1, 'it sleeps on');
  pair.server.close(crowd[0]!.peer, 'closed', pair.serverOut);
  pair.client.send('now');
  pair.pass(50);
  t.strictSame(
    pair.delivered.map(({ text }) => text),
    ['now'],
  );
});

t.test('a session that this version cannot read would stay in the store for ever', async t => {
  const unreadable = (pair: HandshakePair) => ({ ...rowOf(pair), state: Uint8Array.of(255) });
  const pair = handshakePair({ cid: noBytes, returnRoutability: false }).connect();
  const head = { peer: rowOf(pair).peer, credential: rowOf(pair).credential };

  await t.test('whoever speaks with its connection ID finds that out', async t => {
    const { stored, ended, overslept } = restart(pair, new Kept().keep(unreadable(pair)));
    t.strictSame([stored.size, ended], [1, []], 'nothing is said of it before there is somebody to hear it');
    pair.client.send('after');
    pair.pass(50);
    t.strictSame([stored.size, ended, overslept], [0, [head], [head.peer]]);
    t.equal(pair.delivered.length, 0);
  });

  await t.test('and time does otherwise', async t => {
    const { stored, ended, overslept } = restart(pair, new Kept().keep(unreadable(pair)));
    stored.expire(idleAt, 10);
    t.strictSame([stored.size, ended, overslept], [0, [head], [head.peer]]);
  });
});

t.test('a session that is never heard again would be kept for ever', async t => {
  const pair = handshakePair().connect();
  const many = Array.from({ length: 25 }, (_, n) => ({
    ...rowOf(pair),
    peer: (n + 1) as Peer,
    credential: (n + 1) as CredentialId,
  }));
  const { stored, ended, overslept } = restart(pair, new Kept().keep(...many));
  stored.expire((idleAt - 1) as Instant, 10);
  t.strictSame(ended, []);
  for (const expected of [10, 20, 25, 25]) {
    stored.expire(idleAt, 10);
    t.equal(ended.length, expected, 'a batch at a time');
    t.equal(overslept.length, expected, 'and what was kept for its peer goes with it');
  }
  t.equal(stored.size, 0);
  t.equal(new Set(ended.map(({ peer }) => peer)).size, 25);
});
