import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import type { Remote } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { ClientHandshake, type ClientStep } from '../../src/dtls/clientHandshake.ts';
import { type CipherSuite, cipherSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { decodeFragments } from '../../src/dtls/codec/handshake.ts';
import { openRecord, sealRecord } from '../../src/dtls/protection.ts';
import { defaultKey, type HandshakePair, recordsOf } from './handshakePair.ts';

/**
 * A session with the server of a pair, whose keys the test holds: for records that no decent client would send. The
 * client's Finished had sequence number 0.
 */
export function rawSession(pair: HandshakePair, suites: readonly CipherSuite[] = cipherSuites): RawSession {
  const remote: Remote = { socket: 0, address: '203.0.113.1', port: 9 };
  const handshake = new ClientHandshake({
    identity: utf8('device-1'),
    key: defaultKey,
    suites,
    random: new SeededRandom(99),
  });
  let step: ClientStep = handshake.start();
  for (let flights = 0; flights < 4 && step.kind === 'send'; flights++) {
    const before = pair.sent.length;
    pair.toServer(step.datagram, remote);
    pair.pass(1);
    step = { kind: 'nothing' };
    for (const { from, datagram } of pair.sent.slice(before)) {
      if (from !== 'server') continue;
      for (const record of recordsOf(datagram)) {
        if (record.epoch === 1) step = handshake.receiveProtected(record);
        else if (record.type === 20) handshake.receiveChangeCipherSpec();
        else step = handshake.receive(decodeFragments(record.fragment) ?? []);
      }
    }
  }
  if (step.kind !== 'established') throw new Error(`not established but ${step.kind}`);
  const { suite, keys } = step;
  return {
    remote,
    send: (type, sequence, plaintext) =>
      pair.toServer(sealRecord(suite, keys.client, type, 1, sequence, plaintext), remote),
    open: datagram =>
      recordsOf(datagram).flatMap(record => {
        const plaintext = record.epoch === 1 ? openRecord(suite, keys.server, record)?.plaintext : undefined;
        return plaintext === undefined ? [] : [{ type: record.type, plaintext: plaintext.slice() }];
      }),
  };
}

export interface RawSession {
  readonly remote: Remote;
  /** Seals a record, hands it to the server, and returns what the server sent in answer. */
  send(type: number, sequence: number, plaintext: Bytes): Bytes[];
  open(datagram: Bytes): { type: number; plaintext: Bytes }[];
}
