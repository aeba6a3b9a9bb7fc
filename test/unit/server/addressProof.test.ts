import t from 'tap';
import type { Remote } from '../../../src/base/peer.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { type Instant, seconds } from '../../../src/base/time.ts';
import { AddressProof, amplificationLimit } from '../../../src/server/addressProof.ts';

const home: Remote = { socket: 0, address: '192.0.2.1', port: 5683 };
const now = 1_000_500 as Instant;
const later = (span: number) => (now + span) as Instant;

t.test('what was sent to an address proves that one, and for a minute', t => {
  const proof = new AddressProof(new SeededRandom(1));
  const echo = proof.echo(now, home);
  t.ok(proof.proves(now, home, echo));
  t.ok(proof.proves(later(seconds(59)), home, echo));
  t.notOk(proof.proves(later(seconds(60)), home, echo));
  t.notOk(proof.proves(later(-seconds(1)), home, echo), 'nor before it was made');
  t.end();
});

t.test('an Echo value that somebody else heard, or nobody, would prove an address', t => {
  const proof = new AddressProof(new SeededRandom(1));
  const echo = proof.echo(now, home);
  const others: readonly Remote[] = [
    { ...home, port: 5684 },
    { ...home, socket: 1 },
    { ...home, address: '192.0.2.2' },
  ];
  for (const other of others) t.notOk(proof.proves(now, other, echo));
  t.notOk(new AddressProof(new SeededRandom(2)).proves(now, home, echo), 'a process has a secret of its own');
  for (let at = 0; at < echo.length; at++) {
    for (const bit of [1, 0x80]) {
      const changed = echo.slice();
      changed[at]! ^= bit;
      t.notOk(proof.proves(later(seconds(2)), home, changed), `byte ${at}`);
    }
  }
  for (const length of [0, 4, 11]) t.notOk(proof.proves(now, home, echo.slice(0, length)), `${length} bytes of it`);
  t.notOk(proof.proves(now, home, Uint8Array.of(...echo, 0)));
  t.end();
});

t.test('nobody who has not proved its address is sent more than three times what came, or 136 bytes', t => {
  for (const [received, limit] of [
    [0, 136],
    [45, 136],
    [46, 138],
    [1000, 3000],
  ] as const) {
    t.equal(amplificationLimit(received), limit);
  }
  t.end();
});
