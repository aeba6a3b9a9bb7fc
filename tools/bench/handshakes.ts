import { type CipherSuite, cipherSuite } from '../../src/dtls/codec/cipherSuite.ts';
import { NamedGroup } from '../../src/dtls/codec/namedGroup.ts';
import { handshakePair } from '../../test/support/handshakePair.ts';
import { round } from './figures.ts';
import type { Findings } from './study.ts';

/**
 * What each kind of handshake costs the server's DTLS, without sockets and without a store: microseconds from the
 * hello with the cookie to the session, the median of many, so that what else the machine does counts little.
 */
export async function measureHandshakes(): Promise<Findings> {
  // Once for the compiler, once for the figures.
  for (const kind of kinds) medianMicros(kind);
  return {
    figures: { rounds },
    table: kinds.map(kind => ({ handshake: kind.name, serverMicros: round(medianMicros(kind)) })),
  };
}

const kinds: readonly { name: string; suite: CipherSuite; group?: NamedGroup; resumed?: boolean }[] = [
  { name: 'PSK, full', suite: cipherSuite(0xc0a8)! },
  { name: 'PSK, resumed', suite: cipherSuite(0xc0a8)!, resumed: true },
  { name: 'ECDHE_PSK with X25519, full', suite: cipherSuite(0xd003)!, group: NamedGroup.x25519 },
  { name: 'ECDHE_PSK with P-256, full', suite: cipherSuite(0xd003)!, group: NamedGroup.secp256r1 },
  { name: 'ECDHE_PSK, resumed', suite: cipherSuite(0xd003)!, resumed: true },
];
const rounds = 400;
const unlimited = { burst: Number.POSITIVE_INFINITY, perSecond: Number.POSITIVE_INFINITY };

function medianMicros({ suite, group, resumed = false }: (typeof kinds)[number]): number {
  const options = { suites: [suite], clientSuites: [suite], ...(group !== undefined && { groups: [group] }) };
  const pair = handshakePair({ ...options, resumption: resumed, limits: { handshakesPerIdentity: unlimited } });
  const { server } = pair;
  const receive = server.receive.bind(server);
  let spent = 0;
  server.receive = (...args) => {
    const start = process.hrtime.bigint();
    receive(...args);
    spent += Number(process.hrtime.bigint() - start) / 1000;
  };
  pair.connect().pass(20);
  const all: number[] = [];
  for (let round = 0; round < rounds; round++) {
    pair.ladder.length = 0;
    pair.sent.length = 0;
    spent = 0;
    pair.connect().pass(20);
    all.push(spent);
  }
  return all.sort((a, b) => a - b)[rounds / 2]!;
}
