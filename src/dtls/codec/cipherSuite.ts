import type { Brand } from '../../base/brand.ts';

/** A cipher suite's number (IANA TLS Cipher Suites). An open registry: a client may offer any. */
export type CipherSuiteId = Brand<number, 'CipherSuiteId'>;

/** How a suite we speak agrees on a secret, derives keys and protects records. */
export interface CipherSuite {
  readonly id: CipherSuiteId;
  readonly name: string;
  /** The document that defines it, e.g. `RFC 6655`. */
  readonly document: string;
  /** What the premaster secret is made of: the pre-shared key, with or without an ephemeral exchange beside it. */
  readonly keyExchange: 'psk' | 'ecdhe-psk';
  /** As node:crypto calls it. CBC is spoken with encrypt-then-MAC only (RFC 7366). */
  readonly cipher: 'aes-128-ccm' | 'aes-256-ccm' | 'aes-128-gcm' | 'aes-256-gcm' | 'aes-128-cbc';
  /** In bytes. */
  readonly keyLength: 16 | 32;
  /** In bytes: the AEAD's tag, or the MAC behind what CBC encrypted. */
  readonly tagLength: 8 | 16 | 32;
  /** In bytes; an AEAD needs no key for it. */
  readonly macKeyLength: 0 | 32;
  /** In bytes: the part of the nonce that no record carries (RFC 6655 §3, RFC 5288 §3). */
  readonly implicitIvLength: 0 | 4;
  /** The hash of PRF and transcript (RFC 5246 §5; RFC 5487 §2 for SHA-384). */
  readonly hash: 'sha256' | 'sha384';
}

const aead = (
  id: number,
  name: string,
  document: string,
  cipher: CipherSuite['cipher'],
  tagLength: 8 | 16,
  hash: CipherSuite['hash'] = 'sha256',
): CipherSuite => ({
  id: id as CipherSuiteId,
  name,
  document,
  keyExchange: keyExchangeOf(name),
  cipher,
  keyLength: cipher.startsWith('aes-256') ? 32 : 16,
  tagLength,
  macKeyLength: 0,
  implicitIvLength: 4,
  hash,
});

const cbc = (id: number, name: string, document: string): CipherSuite => ({
  id: id as CipherSuiteId,
  name,
  document,
  keyExchange: keyExchangeOf(name),
  cipher: 'aes-128-cbc',
  keyLength: 16,
  tagLength: 32,
  macKeyLength: 32,
  implicitIvLength: 0,
  hash: 'sha256',
});

/** Plain PSK: each secret follows from the pre-shared key alone, and whoever learns it later reads what was recorded. */
export const pskSuites: readonly CipherSuite[] = [
  aead(0xc0a8, 'TLS_PSK_WITH_AES_128_CCM_8', 'RFC 6655', 'aes-128-ccm', 8),
  aead(0xc0a4, 'TLS_PSK_WITH_AES_128_CCM', 'RFC 6655', 'aes-128-ccm', 16),
  aead(0xc0a9, 'TLS_PSK_WITH_AES_256_CCM_8', 'RFC 6655', 'aes-256-ccm', 8),
  aead(0xc0a5, 'TLS_PSK_WITH_AES_256_CCM', 'RFC 6655', 'aes-256-ccm', 16),
  aead(0x00a8, 'TLS_PSK_WITH_AES_128_GCM_SHA256', 'RFC 5487', 'aes-128-gcm', 16),
  aead(0x00a9, 'TLS_PSK_WITH_AES_256_GCM_SHA384', 'RFC 5487', 'aes-256-gcm', 16, 'sha384'),
];

/** With forward secrecy (RFC 8442 §3). */
export const ecdheSuites: readonly CipherSuite[] = [
  aead(0xd003, 'TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256', 'RFC 8442', 'aes-128-ccm', 8),
  aead(0xd005, 'TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256', 'RFC 8442', 'aes-128-ccm', 16),
  aead(0xd001, 'TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256', 'RFC 8442', 'aes-128-gcm', 16),
  aead(0xd002, 'TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384', 'RFC 8442', 'aes-256-gcm', 16, 'sha384'),
];

/** Only where an operator asked for them. */
export const cbcSuites: readonly CipherSuite[] = [
  cbc(0xc037, 'TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256', 'RFC 5489'),
  cbc(0x00ae, 'TLS_PSK_WITH_AES_128_CBC_SHA256', 'RFC 5487'),
];

/**
 * What a server agrees to by default, most wanted first. Forward secrecy leads, since a client that offers it has paid
 * for it in code and time. Then CCM_8: it is the one that every constrained client has (RFC 7252 §9.1.3.1), and its
 * short tag saves 8 bytes of air in each record. Then the full tags, GCM last since few microcontrollers have hardware
 * for it.
 */
export const cipherSuites: readonly CipherSuite[] = [...ecdheSuites, ...pskSuites];

/** Also those that are off by default, which come last. */
export const allCipherSuites: readonly CipherSuite[] = [...cipherSuites, ...cbcSuites];

const byId = new Map<number, CipherSuite>(allCipherSuites.map(known => [known.id, known]));

export function cipherSuite(id: number): CipherSuite | undefined {
  return byId.get(id);
}

/** `TLS_PSK_WITH_AES_128_CCM_8`, or `0x1301` for one that we do not speak. */
export function cipherSuiteName(id: number): string {
  return byId.get(id)?.name ?? `0x${id.toString(16).padStart(4, '0')}`;
}

/** Not a suite but a signal: the client supports secure renegotiation (RFC 5746 §3.3). */
export const emptyRenegotiationInfoScsv = 0x00ff;

function keyExchangeOf(name: string): CipherSuite['keyExchange'] {
  return name.startsWith('TLS_ECDHE_PSK_') ? 'ecdhe-psk' : 'psk';
}
