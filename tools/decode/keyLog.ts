import { type Bytes, fromHex, toHex } from '../../src/base/bytes.ts';
import { allCipherSuites, type CipherSuite } from '../../src/dtls/codec/cipherSuite.ts';
import { decodeClientHelloStart } from '../../src/dtls/codec/clientHello.ts';
import { decodeConnectionId, ExtensionType } from '../../src/dtls/codec/extension.ts';
import { decodeFragments, type Fragment, HandshakeType } from '../../src/dtls/codec/handshake.ts';
import { ContentType, type DtlsRecord, decodeRecord, recordLength } from '../../src/dtls/codec/record.ts';
import { decodeServerHello } from '../../src/dtls/codec/serverHello.ts';
import { KeySchedule, type SessionKeys } from '../../src/dtls/crypto/keySchedule.ts';
import { openRecord } from '../../src/dtls/protection.ts';
import type { Opener } from './describe.ts';

/**
 * Opens the records of sessions whose handshake was captured, with the master secrets of a key log (`SSLKEYLOGFILE`).
 * Hand in all datagrams, in their order. Which session a record belongs to its tag decides: those between the same two
 * addresses are tried, the newest first, and the one that gave out its connection ID.
 */
export class KeyLogOpener {
  /** By the client's random. */
  readonly #secrets = new Map<string, Bytes>();
  readonly #randoms = new Map<string, Bytes>();
  readonly #sessions = new Map<string, readonly CapturedSession[]>();

  constructor(keyLog: string) {
    for (const [, random, secret] of keyLog.matchAll(/^CLIENT_RANDOM ([0-9a-f]{64}) ([0-9a-f]{96})\s*$/gim)) {
      this.#secrets.set(random!.toLowerCase(), fromHex(secret!)!);
    }
  }

  /** How many secrets the log has. */
  get size(): number {
    return this.#secrets.size;
  }

  /** Takes in what a datagram says in clear; opens what it holds. */
  datagram(from: string, to: string, datagram: Bytes, cidLength: number): Opener {
    const pair = [from, to].sort().join(' ');
    for (const record of recordsIn(datagram, cidLength)) {
      if (record.epoch !== 0 || record.type !== ContentType.handshake) continue;
      for (const fragment of decodeFragments(record.fragment) ?? []) this.#hear(pair, fragment);
    }
    return record => this.#open(pair, record);
  }

  #hear(pair: string, { type, offset, body }: Fragment): void {
    if (offset !== 0) return;
    if (type === HandshakeType.clientHello) {
      const hello = decodeClientHelloStart(body);
      if (hello !== undefined) this.#randoms.set(pair, hello.random.slice());
    }
    const hello = type === HandshakeType.serverHello ? decodeServerHello(body) : undefined;
    const client = this.#randoms.get(pair);
    const suite = allCipherSuites.find(({ id }) => id === hello?.cipherSuite);
    const secret = client && this.#secrets.get(toHex(client));
    if (hello === undefined || suite === undefined || client === undefined || secret === undefined) return;
    const session = { suite, keys: new KeySchedule(suite, secret, { client, server: hello.random }).keys() };
    this.#add(pair, session);
    const cid = decodeConnectionId(hello.extensions.get(ExtensionType.connectionId) ?? new Uint8Array());
    if (cid !== undefined && cid.length > 0) this.#add(toHex(cid), session);
  }

  #add(key: string, session: CapturedSession): void {
    this.#sessions.set(key, [session, ...(this.#sessions.get(key) ?? [])].slice(0, maxSessions));
  }

  #open(pair: string, record: DtlsRecord): ReturnType<Opener> {
    const sessions = [...(this.#sessions.get(pair) ?? []), ...(this.#sessions.get(toHex(record.cid)) ?? [])];
    for (const { suite, keys } of sessions) {
      const opened = openRecord(suite, keys.client, record) ?? openRecord(suite, keys.server, record);
      if (opened !== undefined) return opened;
    }
    return undefined;
  }
}

interface CapturedSession {
  readonly suite: CipherSuite;
  readonly keys: SessionKeys;
}

function* recordsIn(datagram: Bytes, cidLength: number): Iterable<DtlsRecord> {
  for (let at = 0; at < datagram.length; ) {
    const record = decodeRecord(datagram, at, cidLength);
    if (record === undefined) return;
    yield record;
    at += recordLength(record);
  }
}

/** Between two addresses, or with one connection ID: those before are over. */
const maxSessions = 8;
