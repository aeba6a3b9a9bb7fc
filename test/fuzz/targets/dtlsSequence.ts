import { type Bytes, sameBytes, utf8 } from '../../../src/base/bytes.ts';
import type { Remote } from '../../../src/base/peer.ts';
import { days } from '../../../src/base/time.ts';
import { cipherSuites, ecdheSuites, pskSuites } from '../../../src/dtls/codec/cipherSuite.ts';
import { type HandshakePair, handshakePair, ownerOf, type PairClient } from '../../support/handshakePair.ts';
import { Choices } from '../choices.ts';
import { ensure, ensureSame, type Target } from '../target.ts';

/** A quarter of a second passes. */
const soon = [0, 5, 250, 0] as const;

export const targets: readonly Target[] = [
  {
    name: 'dtls-endpoint',
    holds:
      'over a hostile network what is delivered was sent, once, by whoever holds the key; and devices get in again',
    seeds: [
      sequenceOf(0, [0, 0, ...soon, 0, 1, ...soon, 0, 3, 0, 1, 0, 2, ...soon, 0, 8, ...soon]),
      sequenceOf(1, [0, 0, 1, 0, ...soon, 1, 1, 0, 6, 0, 1, ...soon, 0, 1, ...soon, 0, 9, 0, 1, ...soon]),
      sequenceOf(2, [0, 0, ...soon, 0, 0, ...soon, 0, 8, ...soon, 0, 0, ...soon, 2, 0, 0, 5, 200, 2, 0, 7, 0]),
    ],
    words: [Uint8Array.of(22, 0xfe, 0xfd, 0, 0), Uint8Array.of(0, 0, 5, 60), Uint8Array.of(1, 0, 5, 9)],
    weight: 100,
    maxLength: 160,
    check: checkPair,
  },
];

const stranger: Remote = { socket: 0, address: '203.0.113.9', port: 9 };
const limits = { maxAssociations: 3, maxHandshakes: 3 } as const;

/** With this pair of suites and network; the network, which reads from the other end, harms nothing at first. */
function sequenceOf(kind: number, operations: readonly number[]): Bytes {
  return Uint8Array.of(kind, kind, kind, kind, ...operations, ...new Uint8Array(30).fill(7));
}

function checkPair(bytes: Bytes): void {
  const choices = new Choices(bytes);
  const network = new Choices(bytes.toReversed());
  const pair = handshakePair({
    seed: 1 + choices.below(4),
    suites: cipherSuites,
    clientSuites: choices.of([pskSuites, ecdheSuites, cipherSuites]),
    cid: new Uint8Array(choices.below(3)),
    resumption: choices.below(2) === 1,
    limits,
  });
  pair.psks.set('device-2', { key: utf8('another key'), owner: ownerOf(2) });
  const second = pair.addClient({ identity: 'device-2', key: utf8('another key') });
  const impostor = pair.addClient({ identity: 'device-1', key: utf8('no key of anybody') });
  const clients = [pair.client, second, impostor];
  const said = new Set<string>();
  let count = 0;
  let heardOfStranger = 0;
  const inject = (datagram: Bytes, remote: Remote): void => {
    if (remote === stranger) heardOfStranger += datagram.length;
    pair.toServer(datagram, remote);
  };
  pair.intercept = (_, datagram) => {
    if (network.isOver) return [datagram];
    switch (network.below(8)) {
      case 0:
        return [];
      case 1:
        return [datagram, datagram];
      case 2: {
        const damaged = datagram.slice();
        damaged[network.below(damaged.length)]! ^= 1 << network.below(8);
        return [damaged];
      }
      case 3:
        return [datagram.subarray(0, network.below(datagram.length + 1))];
      default:
        return [datagram];
    }
  };
  for (let operations = 0; operations < 24 && !choices.isOver; operations++) {
    const client = choices.of(clients);
    switch (choices.below(10)) {
      case 0:
        client.connect();
        break;
      case 1: {
        const text = `up ${count++}`;
        said.add(text);
        client.send(text);
        break;
      }
      case 2: {
        const peer = pair.verified.at(-1)?.peer;
        const text = `down ${count++}`;
        said.add(text);
        if (peer !== undefined) pair.server.send(peer, utf8(text), pair.serverOut);
        break;
      }
      case 3: {
        // Somebody repeats what was heard, from where it came or from elsewhere.
        const heard = pair.sent.at(-1 - choices.below(8));
        if (heard?.from === 'client') inject(heard.datagram, choices.of([stranger, heard.remote]));
        break;
      }
      case 4:
        inject(choices.some(60), choices.of([stranger, client.remote]));
        break;
      case 5:
        pair.pass(choices.byte() * choices.of([1, 20, 400]));
        break;
      case 6:
        client.remote = { ...client.remote, port: 50_000 + count++ };
        break;
      case 7:
        pair.server.revoke(ownerOf(1 + choices.below(2)), pair.serverOut);
        break;
      case 8:
        client.dtls.close(client.out);
        break;
      default: {
        const moving = pair.moving.at(-1);
        if (moving !== undefined) pair.server.proved(moving.peer, moving.remote, pair.serverOut);
      }
    }
    const { associations, handshakes } = pair.server.sizes();
    ensure(
      associations <= limits.maxAssociations && handshakes <= limits.maxHandshakes,
      'more than may be',
      pair.server.sizes(),
    );
  }
  ensureTold(pair, clients, said, heardOfStranger);
  ensureSettles(pair, second);
}

function ensureTold(
  pair: HandshakePair,
  clients: readonly PairClient[],
  said: ReadonlySet<string>,
  heard: number,
): void {
  const [, , impostor] = clients;
  ensureSame([impostor!.connections, impostor!.delivered], [0, []], 'who has no key got in');
  for (const { session } of pair.verified) {
    const name = `device-${session.owner.row}`;
    ensure(sameBytes(session.identity, utf8(name)), 'another identity', name);
  }
  const up = pair.delivered.map(({ text }) => text);
  for (const list of [up, ...clients.map(({ delivered }) => delivered)]) {
    ensure(new Set(list).size === list.length, 'delivered twice', list);
    for (const text of list) ensure(said.has(text), 'delivered, and never said', text);
  }
  const answered = pair.sent.filter(({ remote }) => remote.address === stranger.address);
  const length = answered.reduce((sum, { datagram }) => sum + datagram.length, 0);
  // Where a device may have moved to, three times as much may go (RFC 9146 §6): one of its records came from there.
  ensure(length <= 3 * heard, 'a stranger was sent more than it may be', length, heard);
}

/** Once the network is good again, a device with a good key is connected soon; and in the end nothing is left. */
function ensureSettles(pair: HandshakePair, device: PairClient): void {
  pair.intercept = (_, datagram) => [datagram];
  pair.pass(400_000);
  device.connect();
  pair.pass(20_000);
  ensure(device.dtls.isConnected, 'it does not get in again', pair.failed.at(-1));
  const before = pair.delivered.length;
  device.send('at last');
  pair.pass(100);
  ensureSame(
    pair.delivered.slice(before).map(({ text }) => text),
    ['at last'],
    'its words do not arrive',
  );
  pair.time += days(8);
  for (let tries = 0; tries < 3; tries++) pair.server.expire(pair.now, pair.serverOut);
  ensureSame(pair.server.sizes(), { associations: 0, handshakes: 0 }, 'left over');
}
