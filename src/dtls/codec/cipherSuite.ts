import type { Brand } from '../../base/brand.ts';

/** A cipher suite's number (IANA TLS Cipher Suites). An open registry: a client may offer any. */
export type CipherSuiteId = Brand<number, 'CipherSuiteId'>;

/** How a suite we speak protects records and derives keys. All are AEAD suites with a 4-byte implicit nonce part. */
export interface CipherSuite {
  readonly id: CipherSuiteId;
  readonly name: string;
  /** As node:crypto calls it. */
  readonly cipher: 'aes-128-ccm' | 'aes-256-ccm' | 'aes-128-gcm' | 'aes-256-gcm';
  /** In bytes. */
  readonly keyLength: 16 | 32;
  /** In bytes. */
  readonly tagLength: 8 | 16;
  /** The hash of PRF and transcript (RFC 5246 §5; RFC 5487 §2 for SHA-384). */
  readonly hash: 'sha256' | 'sha384';
}

const suite = (
  id: number,
  name: string,
  cipher: CipherSuite['cipher'],
  keyLength: 16 | 32,
  tagLength: 8 | 16,
  hash: 'sha256' | 'sha384' = 'sha256',
): CipherSuite => ({ id: id as CipherSuiteId, name, cipher, keyLength, tagLength, hash });

/**
 * The suites we speak, most wanted first. CCM_8 leads: it is the one that every constrained client has (RFC 7252
 * §9.1.3.1) and its short tag saves 8 bytes of air in each record. Then the full tags, GCM last since few
 * microcontrollers have hardware for it.
 */
export const cipherSuites: readonly CipherSuite[] = [
  suite(0xc0a8, 'TLS_PSK_WITH_AES_128_CCM_8', 'aes-128-ccm', 16, 8), // RFC 6655 §4
  suite(0xc0a4, 'TLS_PSK_WITH_AES_128_CCM', 'aes-128-ccm', 16, 16),
  suite(0xc0a9, 'TLS_PSK_WITH_AES_256_CCM_8', 'aes-256-ccm', 32, 8),
  suite(0xc0a5, 'TLS_PSK_WITH_AES_256_CCM', 'aes-256-ccm', 32, 16),
  suite(0x00a8, 'TLS_PSK_WITH_AES_128_GCM_SHA256', 'aes-128-gcm', 16, 16), // RFC 5487 §2
  suite(0x00a9, 'TLS_PSK_WITH_AES_256_GCM_SHA384', 'aes-256-gcm', 32, 16, 'sha384'),
];

const byId = new Map<number, CipherSuite>(cipherSuites.map(known => [known.id, known]));

export function cipherSuite(id: number): CipherSuite | undefined {
  return byId.get(id);
}

/** `TLS_PSK_WITH_AES_128_CCM_8`, or `0x1301` for one that we do not speak. */
export function cipherSuiteName(id: number): string {
  return byId.get(id)?.name ?? `0x${id.toString(16).padStart(4, '0')}`;
}

/** Not a suite but a signal: the client supports secure renegotiation (RFC 5746 §3.3). */
export const emptyRenegotiationInfoScsv = 0x00ff;
