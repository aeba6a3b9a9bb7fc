import t from 'tap';
import type { Peer, Remote } from '../../../src/base/peer.ts';
import type { Instant } from '../../../src/base/time.ts';
import { firstPlainPeer, isPlainPeer, PlainPeers } from '../../../src/server/plainPeers.ts';

t.test('whoever takes the place of a proved address would count as proved', t => {
  const peers = new PlainPeers(2, 1);
  const first = peers.peer(at(1), nobody)!;
  peers.prove(first, 1000 as Instant);
  t.ok(peers.isProved(first, 999 as Instant));
  t.notOk(peers.isProved(first, 1000 as Instant), 'nor is it one for ever');
  peers.peer(at(2), nobody);
  const displaced: Peer[] = [];
  const third = peers.peer(at(3), peer => displaced.push(peer))!;
  t.strictSame(displaced, [first], 'the one that came first goes first');
  t.notOk(peers.isProved(third, 1 as Instant));
  t.notOk(peers.isProved(first, 1 as Instant));
  peers.prove(first, 1000 as Instant);
  t.notOk(peers.isProved(third, 1 as Instant), 'nor does the proof of one that is gone count for him');
  t.end();
});

t.test('an answer would go to whoever has the place of the one who asked', t => {
  const peers = new PlainPeers(3, 1);
  const numbers = new Set<Peer>();
  for (let n = 0; n < 20; n++) {
    const peer = peers.peer(at(n), () => undefined)!;
    t.notOk(numbers.has(peer), 'no number comes twice');
    t.ok(isPlainPeer(peer));
    t.equal(peers.peer(at(n), nobody), peer, 'an address keeps its number');
    t.strictSame(peers.remote(peer), at(n));
    numbers.add(peer);
  }
  const there = [...numbers].filter(peer => peers.remote(peer) !== undefined);
  t.strictSame(there, [...numbers].slice(-3));
  t.equal(peers.remote(1 as Peer), undefined);
  t.notOk(isPlainPeer((firstPlainPeer - 1) as Peer), 'associations have the lower half of all numbers');
  t.end();
});

t.test('a device is reached from the socket on which it was heard', t => {
  const peers = new PlainPeers(4, 1);
  const heard = peers.peer({ ...at(1), socket: 2 }, nobody)!;
  t.equal(peers.reach(at(1).address, at(1).port, nobody), heard);
  const silent = peers.reach(at(2).address, at(2).port, nobody)!;
  t.strictSame(peers.remote(silent), at(2), 'one that was never heard from the first');
  t.end();
});

function at(port: number): Remote {
  return { socket: 0, address: '192.0.2.1', port: 5000 + port };
}

function nobody(peer: Peer): void {
  throw new Error(`${peer} had to make room`);
}
