import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { type Bytes, concatBytes, utf8 } from '../base/bytes.ts';
import { SystemRandom } from './systemRandom.ts';

/**
 * The keys of a data directory. They are random, made with it, and kept in it wrapped under the master key: so that a
 * new master key, and a new key to seal with, leave the locations of registrations as they are.
 */
export class Keyring {
  readonly #keys: Keys;
  /** As they are stored. */
  readonly wrapped: Bytes;

  private constructor(keys: Keys, wrapped: Bytes) {
    this.#keys = keys;
    this.wrapped = wrapped;
  }

  static create(master: Bytes): Keyring {
    return Keyring.#wrap(master, { sealing: freshKey(), registrationIds: freshKey(), fakeKeys: freshKey() });
  }

  /** `undefined` if they were wrapped under another master key. */
  static unwrap(master: Bytes, wrapped: Bytes): Keyring | undefined {
    const plain = openWith(wrappingKey(master), wrapped, wrapContext);
    if (plain === undefined || plain.length !== 3 * keyLength) return undefined;
    const part = (i: number) => plain.slice(i * keyLength, (i + 1) * keyLength);
    return new Keyring({ sealing: part(0), registrationIds: part(1), fakeKeys: part(2) }, wrapped);
  }

  /** The same but for the key that seals, wrapped under another master key. */
  rotated(master: Bytes): Keyring {
    return Keyring.#wrap(master, { ...this.#keys, sealing: freshKey() });
  }

  get registrationIds(): Bytes {
    return this.#keys.registrationIds;
  }

  /** As lasting as registration ids: a session that outlives a rotation keeps its connection ID. */
  get connectionIds(): Bytes {
    return this.#derive('connection ids');
  }

  /** Of their own, so that nothing shows which session id belongs to which connection ID. */
  get sessionIds(): Bytes {
    return this.#derive('session ids');
  }

  get fakeKeys(): Bytes {
    return this.#keys.fakeKeys;
  }

  /** Seals a secret (AES-256-GCM); it opens only together with the same `context`. */
  seal(secret: Bytes, context: Bytes): Bytes {
    return sealWith(this.#keys.sealing, secret, context);
  }

  /** `undefined` if it was sealed by another keyring, or was changed. */
  open(sealed: Bytes, context: Bytes): Bytes | undefined {
    return openWith(this.#keys.sealing, sealed, context);
  }

  #derive(purpose: string): Bytes {
    return new Uint8Array(hkdfSync('sha256', this.#keys.registrationIds, new Uint8Array(0), purpose, keyLength));
  }

  static #wrap(master: Bytes, keys: Keys): Keyring {
    const plain = concatBytes(keys.sealing, keys.registrationIds, keys.fakeKeys);
    return new Keyring(keys, sealWith(wrappingKey(master), plain, wrapContext));
  }
}

/** In constant time for secrets of one length. */
export function sameSecret(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function sealWith(key: Bytes, secret: Bytes, context: Bytes): Bytes {
  const nonce = random.bytes(nonceLength);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(context);
  return concatBytes(nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag());
}

function openWith(key: Bytes, sealed: Bytes, context: Bytes): Bytes | undefined {
  if (sealed.length < nonceLength + tagLength) return undefined;
  const end = sealed.length - tagLength;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceLength));
  decipher.setAAD(context);
  decipher.setAuthTag(sealed.subarray(end));
  const secret = decipher.update(sealed.subarray(nonceLength, end));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return new Uint8Array(secret);
}

function wrappingKey(master: Bytes): Bytes {
  return new Uint8Array(hkdfSync('sha256', master, '', 'rollcall wrapped keys', keyLength));
}

function freshKey(): Bytes {
  return new Uint8Array(randomBytes(keyLength));
}

interface Keys {
  /** Of devices' keys and of sessions. */
  readonly sealing: Bytes;
  readonly registrationIds: Bytes;
  readonly fakeKeys: Bytes;
}

const random = new SystemRandom();
const wrapContext = utf8('keys of the data directory');
const keyLength = 32;
const nonceLength = 12;
const tagLength = 16;
