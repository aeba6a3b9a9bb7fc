import type { Brand } from './brand.ts';

/**
 * Whom a CoAP message came from or goes to: one DTLS association in one epoch, or one plain address (RFC 7252 §9.1).
 * Numbers are never used again within a process, so what was kept for one peer can never match another.
 */
export type Peer = Brand<number, 'Peer'>;

/** Peers fit in 37 bits, so that a peer and a 16-bit message ID make one exact number. */
export const maxPeer = 2 ** 37 - 1;

/** A transport address of somebody else, and the local socket that reaches it. */
export interface Remote {
  /** Which of our sockets it talks to: an answer leaves from where the question arrived (`0…255`). */
  readonly socket: number;
  /** An IPv4 or IPv6 address in the text form the operating system gives; a link-local one with its zone, `fe80::1%eth0`. */
  readonly address: string;
  readonly port: number;
}

export function sameRemote(a: Remote, b: Remote): boolean {
  return a.port === b.port && a.socket === b.socket && a.address === b.address;
}
