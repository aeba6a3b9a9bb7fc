import { type Bytes, utf8 } from '../../base/bytes.ts';
import { digestLength, type HashName, Hmac } from './hmac.ts';

/** The pseudorandom function of TLS 1.2 under one secret (RFC 5246 §5). */
export class Prf {
  readonly #hmac: Hmac;
  readonly #digestLength: number;

  constructor(name: HashName, secret: Bytes) {
    this.#hmac = new Hmac(name, secret);
    this.#digestLength = digestLength[name];
  }

  /**
   * ```
   *  P_hash(secret, seed) = HMAC_hash(secret, A(1) + seed) + HMAC_hash(secret, A(2) + seed) + …
   *  A(0) = seed, A(i) = HMAC_hash(secret, A(i-1)); the seed is label + seed
   * ```
   */
  derive(label: string, seed: Bytes, length: number): Bytes {
    const labelled = new Uint8Array(label.length + seed.length);
    labelled.set(utf8(label));
    labelled.set(seed, label.length);
    const output = new Uint8Array(Math.ceil(length / this.#digestLength) * this.#digestLength);
    let a: Bytes = labelled;
    for (let at = 0; at < length; at += this.#digestLength) {
      a = this.#hmac.tag(a);
      output.set(this.#hmac.tag(a, labelled), at);
    }
    return output.subarray(0, length);
  }
}
