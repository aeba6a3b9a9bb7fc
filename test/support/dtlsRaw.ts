import { type Bytes, noBytes, utf8 } from '../../src/base/bytes.ts';
import type { Remote } from '../../src/base/peer.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { ClientHandshake } from '../../src/dtls/clientHandshake.ts';
import type { ClientStep } from '../../src/dtls/clientStep.ts';
import { type CipherSuite, pskSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { encodeClientHello } from '../../src/dtls/codec/clientHello.ts';
import { decodeFragments, encodeHandshake } from '../../src/dtls/codec/handshake.ts';
import { decodeHelloVerifyRequest } from '../../src/dtls/codec/helloVerifyRequest.ts';
import { decodeRecord, encodePlainRecord } from '../../src/dtls/codec/record.ts';
import { openRecord, sealRecord } from '../../src/dtls/protection.ts';
import { defaultKey, type HandshakePair, recordsOf } from './handshakePair.ts';

/**
 * A session with the server of a pair, whose keys the test holds: for records that no decent client would send. The
 * client's Finished had sequence number 0.
 */
export function rawSession(pair: HandshakePair, suites: readonly CipherSuite[] = pskSuites): RawSession {
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

/** A hello of its own for each seed, as a datagram. */
export function hello(seed: number, cookie: Bytes = noBytes, messageSequence = 0, suites = 1): Bytes {
  const body = encodeClientHello({
    version: 0xfefd,
    random: new SeededRandom(seed).bytes(32),
    sessionId: noBytes,
    cookie,
    cipherSuites: Array.from({ length: suites }, (_, n) => 0xc0a8 + n),
    compressionMethods: Uint8Array.of(0),
    extensions: new Map(),
  });
  return encodePlainRecord(22, 0xfeff, messageSequence, encodeHandshake(1, messageSequence, body));
}

/** The cookie that the server of the pair has for that hello. */
export function cookieFrom(pair: HandshakePair, remote: Remote, seed: number): Bytes {
  const [answer] = answersTo(pair, hello(seed), remote);
  return decodeHelloVerifyRequest(decodeFragments(decodeRecord(answer!, 0)!.fragment)![0]!.body)!.cookie.slice();
}

/** A handshake from this address, up to where the client has to name its identity. */
export function begin(pair: HandshakePair, remote: Remote, seed: number): void {
  answersTo(pair, hello(seed, cookieFrom(pair, remote, seed), 1), remote);
}

/** What the server sends to an address where nobody is: it does not go over the network of the pair. */
export function answersTo(pair: HandshakePair, datagram: Bytes, remote: Remote): Bytes[] {
  const answers: Bytes[] = [];
  const out = { ...pair.serverOut, transmit: (_: Remote, answer: Bytes) => void answers.push(answer.slice()) };
  pair.server.receive(pair.now, remote, datagram, out);
  return answers;
}
