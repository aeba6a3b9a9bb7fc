import { hash, timingSafeEqual } from 'node:crypto';
import type { Bytes } from '../../base/bytes.ts';

export type HashName = 'sha256' | 'sha384';

/**
 * HMAC under one key (RFC 2104), built from one-shot hashes with the padded key prepared: in a handshake each key
 * serves several times, and this costs two thirds of `createHmac`.
 */
export class Hmac {
  readonly #hash: HashName;
  readonly #inner: Bytes;
  readonly #outer: Bytes;
  readonly #block: number;

  constructor(name: HashName, key: Bytes) {
    this.#hash = name;
    this.#block = blockLength[name];
    const short = key.length > this.#block ? digest(name, key) : key;
    this.#inner = new Uint8Array(this.#block).fill(0x36);
    this.#outer = new Uint8Array(this.#block + digestLength[name]).fill(0x5c, 0, this.#block);
    for (let i = 0; i < short.length; i++) {
      this.#inner[i]! ^= short[i]!;
      this.#outer[i]! ^= short[i]!;
    }
  }

  /** The tag of the concatenation of `parts`. */
  tag(...parts: readonly Bytes[]): Bytes {
    let length = this.#block;
    for (const part of parts) length += part.length;
    const message = length > workspace.length ? new Uint8Array(length) : workspace.subarray(0, length);
    message.set(this.#inner);
    let at = this.#block;
    for (const part of parts) {
      message.set(part, at);
      at += part.length;
    }
    this.#outer.set(digest(this.#hash, message), this.#block);
    message.fill(0);
    return digest(this.#hash, this.#outer);
  }
}

export function digest(name: HashName, message: Bytes): Bytes {
  return hash(name, message, 'buffer');
}

/** Whether two secrets are the same, in a time that tells nothing about where they differ. */
export function sameSecret(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Where messages are put together: memory of its own for each costs more than its hash. No secret stays in it. */
const workspace = new Uint8Array(1024);
const blockLength = { sha256: 64, sha384: 128 } as const;
export const digestLength = { sha256: 32, sha384: 48 } as const;
