import { type Bytes, concatBytes } from '../../base/bytes.ts';
import type { CipherSuite } from '../codec/cipherSuite.ts';
import { digest } from './hmac.ts';
import { Prf } from './prf.ts';

/** What protects the records of one direction. */
export interface DirectionKeys {
  readonly key: Bytes;
  /** The implicit part of the nonce, 4 bytes (RFC 6655 §3). */
  readonly iv: Bytes;
}

export interface SessionKeys {
  readonly client: DirectionKeys;
  readonly server: DirectionKeys;
}

/** The secrets of one handshake, from the pre-shared key to the Finished messages. */
export class KeySchedule {
  readonly #suite: CipherSuite;
  readonly #master: Prf;
  readonly #randoms: { client: Bytes; server: Bytes };

  /**
   * `transcript`: all handshake messages from the second ClientHello to ClientKeyExchange, both included.
   * With `extended` the master secret covers them (RFC 7627 §4), without it only the randoms (RFC 5246 §8.1).
   */
  constructor(
    suite: CipherSuite,
    psk: Bytes,
    randoms: { client: Bytes; server: Bytes },
    extended: boolean,
    transcript: Bytes,
  ) {
    const premaster = new Prf(suite.hash, premasterSecret(psk));
    const secret = extended
      ? premaster.derive('extended master secret', digest(suite.hash, transcript), masterSecretLength)
      : premaster.derive('master secret', concatBytes(randoms.client, randoms.server), masterSecretLength);
    this.#suite = suite;
    this.#master = new Prf(suite.hash, secret);
    this.#randoms = randoms;
  }

  /** The key block, without MAC keys, which an AEAD does not need (RFC 5246 §6.3). */
  keys(): SessionKeys {
    const { keyLength } = this.#suite;
    const seed = concatBytes(this.#randoms.server, this.#randoms.client);
    const block = this.#master.derive('key expansion', seed, 2 * keyLength + 2 * implicitIvLength);
    const ivs = 2 * keyLength;
    return {
      client: { key: block.subarray(0, keyLength), iv: block.subarray(ivs, ivs + implicitIvLength) },
      server: { key: block.subarray(keyLength, ivs), iv: block.subarray(ivs + implicitIvLength) },
    };
  }

  /** The verify_data over everything before this Finished (RFC 5246 §7.4.9). */
  verifyData(side: 'client' | 'server', transcript: Bytes): Bytes {
    return this.#master.derive(`${side} finished`, digest(this.#suite.hash, transcript), verifyDataLength);
  }
}

/** As many zeros as the key has bytes, then the key, each with its length (RFC 4279 §2). */
function premasterSecret(psk: Bytes): Bytes {
  const length = psk.length;
  const secret = new Uint8Array(4 + 2 * length);
  secret[0] = length >>> 8;
  secret[1] = length;
  secret[2 + length] = length >>> 8;
  secret[3 + length] = length;
  secret.set(psk, 4 + length);
  return secret;
}

const masterSecretLength = 48;
const implicitIvLength = 4;
export const verifyDataLength = 12;
