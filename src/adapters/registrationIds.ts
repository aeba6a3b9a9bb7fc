import { type Cipher, createCipheriv, createDecipheriv, type Decipher } from 'node:crypto';
import type { Bytes } from '../base/bytes.ts';
import type { Permutation } from '../fleet/registrationId.ts';

/**
 * The permutation behind registration ids: a block cipher of 64 bits with one block for each id. Triple DES is the one
 * that node:crypto has; its birthday bound is about blocks chained under one key and does not matter here, where ids
 * only have to be hard to guess and to hide the rows behind them.
 */
export class BlockPermutation implements Permutation {
  readonly #cipher: Cipher;
  readonly #decipher: Decipher;

  constructor(secret: Bytes) {
    const key = secret.subarray(0, 24);
    this.#cipher = createCipheriv('des-ede3-ecb', key, null).setAutoPadding(false);
    this.#decipher = createDecipheriv('des-ede3-ecb', key, null).setAutoPadding(false);
  }

  forward(block: Bytes): Bytes {
    return this.#cipher.update(block);
  }

  backward(block: Bytes): Bytes {
    return this.#decipher.update(block);
  }
}
