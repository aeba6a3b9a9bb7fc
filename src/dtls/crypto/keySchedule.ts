import { type Bytes, concatBytes, noBytes } from '../../base/bytes.ts';
import type { CipherSuite } from '../codec/cipherSuite.ts';
import { digest } from './hmac.ts';
import { Prf } from './prf.ts';

/** What protects the records of one direction. */
export interface DirectionKeys {
  readonly key: Bytes;
  /** The implicit part of the nonce, 4 bytes (RFC 6655 §3); empty in CBC suites. */
  readonly iv: Bytes;
  /** Empty in AEAD suites. */
  readonly mac: Bytes;
}

export interface SessionKeys {
  readonly client: DirectionKeys;
  readonly server: DirectionKeys;
}

export interface Randoms {
  readonly client: Bytes;
  readonly server: Bytes;
}

/** The secrets of one handshake, from the master secret to the Finished messages. */
export class KeySchedule {
  readonly masterSecret: Bytes;
  readonly #suite: CipherSuite;
  readonly #master: Prf;
  readonly #randoms: Randoms;

  /** Of a session that is resumed: its master secret with the randoms of the new handshake (RFC 5246 §F.1.4). */
  constructor(suite: CipherSuite, masterSecret: Bytes, randoms: Randoms) {
    this.masterSecret = masterSecret;
    this.#suite = suite;
    this.#master = new Prf(suite.hash, masterSecret);
    this.#randoms = randoms;
  }

  /**
   * `transcript`: all handshake messages from the second ClientHello to ClientKeyExchange, both included.
   * With `extended` the master secret covers them (RFC 7627 §4), without it only the randoms (RFC 5246 §8.1).
   */
  static full(
    suite: CipherSuite,
    premaster: Bytes,
    randoms: Randoms,
    extended: boolean,
    transcript: Bytes,
  ): KeySchedule {
    const prf = new Prf(suite.hash, premaster);
    const masterSecret = extended
      ? prf.derive('extended master secret', digest(suite.hash, transcript), masterSecretLength)
      : prf.derive('master secret', concatBytes(randoms.client, randoms.server), masterSecretLength);
    return new KeySchedule(suite, masterSecret, randoms);
  }

  /** The key block: MAC keys, keys, implicit nonces, the client's before the server's (RFC 5246 §6.3). */
  keys(): SessionKeys {
    const { keyLength, macKeyLength, implicitIvLength } = this.#suite;
    const seed = concatBytes(this.#randoms.server, this.#randoms.client);
    const block = this.#master.derive('key expansion', seed, 2 * (macKeyLength + keyLength + implicitIvLength));
    let at = 0;
    const next = (length: number): Bytes => (length === 0 ? noBytes : block.subarray(at, (at += length)));
    const mac = [next(macKeyLength), next(macKeyLength)] as const;
    const key = [next(keyLength), next(keyLength)] as const;
    const iv = [next(implicitIvLength), next(implicitIvLength)] as const;
    return { client: { key: key[0], iv: iv[0], mac: mac[0] }, server: { key: key[1], iv: iv[1], mac: mac[1] } };
  }

  /** The verify_data over everything before this Finished (RFC 5246 §7.4.9). */
  verifyData(side: 'client' | 'server', transcript: Bytes): Bytes {
    return this.#master.derive(`${side} finished`, digest(this.#suite.hash, transcript), verifyDataLength);
  }
}

/**
 * Another secret, then the key, each with its length (RFC 4279 §2). The other secret is what an ephemeral exchange
 * agreed on (RFC 5489 §2), in plain PSK as many zeros as the key has bytes.
 */
export function premasterSecret(psk: Bytes, agreed?: Bytes): Bytes {
  const otherLength = agreed?.length ?? psk.length;
  const secret = new Uint8Array(4 + otherLength + psk.length);
  const view = new DataView(secret.buffer);
  view.setUint16(0, otherLength);
  if (agreed !== undefined) secret.set(agreed, 2);
  view.setUint16(2 + otherLength, psk.length);
  secret.set(psk, 4 + otherLength);
  return secret;
}

export const masterSecretLength = 48;
export const verifyDataLength = 12;
