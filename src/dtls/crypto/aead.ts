import { type CipherCCM, type CipherGCM, createCipheriv, createDecipheriv, type DecipherCCM } from 'node:crypto';
import type { Bytes } from '../../base/bytes.ts';
import type { CipherSuite } from '../codec/cipherSuite.ts';

/**
 * Seals `plaintext` into `out` at `at`: ciphertext, then tag. Returns the number of bytes written
 * (RFC 6655 §3, RFC 5288 §3).
 */
export function seal(
  suite: CipherSuite,
  key: Bytes,
  nonce: Bytes,
  aad: Bytes,
  plaintext: Bytes,
  out: Bytes,
  at: number,
) {
  // One signature serves both modes: the tag's length is fixed by the suite, and CCM must know the plaintext's.
  const cipher = createCipheriv(suite.cipher as 'aes-128-ccm', key, nonce, {
    authTagLength: suite.tagLength,
  }) as CipherCCM | CipherGCM;
  cipher.setAAD(aad, { plaintextLength: plaintext.length });
  out.set(cipher.update(plaintext), at);
  cipher.final();
  out.set(cipher.getAuthTag(), at + plaintext.length);
  return plaintext.length + suite.tagLength;
}

/** Opens what `seal` made. `undefined` if it is not authentic. */
export function open(suite: CipherSuite, key: Bytes, nonce: Bytes, aad: Bytes, sealed: Bytes): Bytes | undefined {
  const length = sealed.length - suite.tagLength;
  if (length < 0) return undefined;
  const decipher = createDecipheriv(suite.cipher as 'aes-128-ccm', key, nonce, {
    authTagLength: suite.tagLength,
  }) as DecipherCCM;
  try {
    decipher.setAuthTag(sealed.subarray(length));
    decipher.setAAD(aad, { plaintextLength: length });
    // In CCM mode the tag is checked by update, in GCM mode by final.
    const plaintext = decipher.update(sealed.subarray(0, length));
    decipher.final();
    return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
  } catch {
    return undefined;
  }
}
