import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

/**
 * Watches every sealing in this process, whoever does it: under one key no nonce may come twice, across crashes and
 * restarts of the machines (invariant 5). Numbers only ever rise here, so that for each key its newest nonce is enough
 * to remember.
 */
export class NonceWatch {
  static #watching: NonceWatch | undefined;
  readonly #newest = new Map<string, Uint8Array>();
  readonly #violated: (what: string) => void;

  private constructor(violated: (what: string) => void) {
    this.#violated = violated;
  }

  /** One world at a time is watched: a new one replaces the one before. */
  static begin(violated: (what: string) => void): NonceWatch {
    const watch = new NonceWatch(violated);
    if (NonceWatch.#watching === undefined) {
      const seal = crypto.createCipheriv as (...args: unknown[]) => unknown;
      const watched = (cipher: string, key: Uint8Array, nonce: Uint8Array | null, options: unknown) => {
        if (/ccm|gcm/.test(cipher)) NonceWatch.#watching?.sealed(key, nonce!);
        return seal(cipher, key, nonce, options);
      };
      (crypto as { createCipheriv: unknown }).createCipheriv = watched;
      syncBuiltinESMExports();
    }
    NonceWatch.#watching = watch;
    return watch;
  }

  sealed(key: Uint8Array, nonce: Uint8Array): void {
    const name = Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
    const before = this.#newest.get(name);
    if (before === undefined) this.#newest.set(name, nonce.slice());
    else if (Buffer.compare(before, nonce) < 0) before.set(nonce);
    else this.#violated(`nonce ${Buffer.from(nonce).toString('hex')} after ${Buffer.from(before).toString('hex')}`);
  }
}
