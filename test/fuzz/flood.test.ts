import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { utf8 } from '../../src/base/bytes.ts';
import type { Remote } from '../../src/base/peer.ts';
import { seconds } from '../../src/base/time.ts';
import { begin } from '../support/dtlsRaw.ts';
import { handshakePair, ownerOf } from '../support/handshakePair.ts';

t.test('a hundred thousand failed handshakes leave nothing behind, and devices get in', async t => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const pair = handshakePair({ limits: { maxAssociations: 30, giveUpAfter: 1500 } });
  const heap = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const wave = (first: number, count: number): void => {
    for (let n = first; n < first + count; n++) {
      const remote: Remote = {
        socket: 0,
        address: `10.${n % 200}.${(n >> 8) % 256}.${n % 250}`,
        port: 1 + (n % 60_000),
      };
      begin(pair, remote, n);
    }
    // Nobody goes on with any of them. What is sent again until they are given up does not go over the network.
    const out = { ...pair.serverOut, transmit: () => undefined, failed: () => undefined };
    for (let second = 0; second < 3; second++) {
      pair.time += 1000;
      pair.server.expire(pair.now, out);
    }
  };
  wave(0, 10_000);
  const before = heap();
  for (let first = 10_000; first < 100_000; first += 10_000) wave(first, 10_000);
  pair.pass(seconds(600));
  t.equal(pair.server.counters.failedHandshakes, 100_000);
  t.same(pair.server.sizes(), { associations: 0, handshakes: 0 });
  t.equal(pair.server.throttled, 0);
  t.equal(pair.server.nextExpiry(), undefined, 'no timer either');
  const grown = heap() - before;
  t.ok(grown < 2 ** 20, `${grown} bytes more`);
  for (let n = 0; n < 20; n++) {
    const identity = `honest-${n}`;
    pair.psks.set(identity, { key: utf8(identity), owner: ownerOf(100 + n) });
    const device = pair.addClient({ identity, key: utf8(identity) });
    pair.connect(device);
    t.equal(device.connections, 1, identity);
  }
});
