import { createECDH, createPrivateKey, createPublicKey, diffieHellman, type ECDH, type KeyObject } from 'node:crypto';
import type { Bytes } from '../../base/bytes.ts';
import type { RandomSource } from '../../base/random.ts';
import { NamedGroup } from '../codec/namedGroup.ts';

/** One side's half of an ephemeral exchange (RFC 8422 §5.10, §5.11): made for one handshake, and used once. */
export interface EphemeralKey {
  readonly group: NamedGroup;
  /** As it goes onto the wire. */
  readonly point: Bytes;
  /** The shared secret; `undefined` if that is no point of the curve, or one that leaves no secret. */
  agree(point: Bytes): Bytes | undefined;
}

export function ephemeralKey(group: NamedGroup, random: RandomSource): EphemeralKey {
  return group === NamedGroup.x25519 ? new X25519Key(random) : new P256Key(random);
}

/** RFC 7748 §6.1. As JWK, since a key in DER takes node:crypto twenty times as long to read. */
class X25519Key implements EphemeralKey {
  readonly group = NamedGroup.x25519;
  readonly point: Bytes;
  readonly #key: KeyObject;

  constructor(random: RandomSource) {
    const d = base64Url(random.bytes(x25519Length));
    this.#key = createPrivateKey({ key: { ...x25519, d, x: '' }, format: 'jwk' });
    this.point = new Uint8Array(Buffer.from(this.#key.export({ format: 'jwk' }).x!, 'base64url'));
  }

  agree(point: Bytes): Bytes | undefined {
    if (point.length !== x25519Length) return undefined;
    try {
      const publicKey = createPublicKey({ key: { ...x25519, x: base64Url(point) }, format: 'jwk' });
      const secret = new Uint8Array(diffieHellman({ privateKey: this.#key, publicKey }));
      // A point of small order leaves nothing: OpenSSL refuses it already, and RFC 8422 §5.11 wants it checked.
      return secret.some(byte => byte !== 0) ? secret : undefined;
    } catch {
      return undefined;
    }
  }
}

class P256Key implements EphemeralKey {
  readonly group = NamedGroup.secp256r1;
  readonly point: Bytes;
  readonly #key: ECDH;

  constructor(random: RandomSource) {
    this.#key = createECDH('prime256v1');
    // All but one in four thousand million 32-byte numbers are below the order of the curve.
    while (!isTaken(this.#key, random.bytes(32)));
    this.point = new Uint8Array(this.#key.getPublicKey());
  }

  agree(point: Bytes): Bytes | undefined {
    // node:crypto also reads compressed points, which must not be spoken (RFC 8422 §5.1.2).
    if (point.length !== uncompressedLength || point[0] !== 4) return undefined;
    try {
      // Checks that the point is on the curve, whose order is prime: no other check is needed (RFC 8422 §5.11).
      return new Uint8Array(this.#key.computeSecret(point));
    } catch {
      return undefined;
    }
  }
}

function isTaken(key: ECDH, secret: Bytes): boolean {
  try {
    key.setPrivateKey(secret);
    return true;
  } catch {
    return false;
  }
}

function base64Url(bytes: Bytes): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
}

const x25519 = { kty: 'OKP', crv: 'X25519' } as const;
const x25519Length = 32;
const uncompressedLength = 65;
