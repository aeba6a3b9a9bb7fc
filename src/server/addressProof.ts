import { type Bytes, concatBytes, utf8 } from '../base/bytes.ts';
import type { Remote } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import { type Instant, type Milliseconds, seconds } from '../base/time.ts';
import { Writer } from '../base/writer.ts';
import { Hmac, sameSecret } from '../dtls/crypto/hmac.ts';

/**
 * Whether somebody on plain CoAP hears what is sent to the address that it claims (RFC 9175 §2.4 item 3). The Echo value
 * is an HMAC over that address and the time, so that nothing is kept for whoever never answers:
 *
 * ```
 *  time 4, in seconds | tag 8
 * ```
 */
export class AddressProof {
  readonly #hmac: Hmac;

  constructor(random: RandomSource) {
    this.#hmac = new Hmac('sha256', random.bytes(32));
  }

  /** What to send with 4.01, for the client to send back. */
  echo(now: Instant, remote: Remote): Bytes {
    return this.#value(Math.floor(now / 1000), remote);
  }

  /** Whether the value came from us, for this address, a short while ago. */
  proves(now: Instant, remote: Remote, echo: Bytes): boolean {
    if (echo.length !== echoLength) return false;
    const at = new DataView(echo.buffer, echo.byteOffset).getUint32(0);
    const age = now - 1000 * at;
    return age >= 0 && age <= echoLifetime && sameSecret(this.#value(at, remote), echo);
  }

  #value(at: number, { socket, address, port }: Remote): Bytes {
    const time = new Writer(4).u32(at).finish();
    return concatBytes(time, this.#hmac.tag(time, utf8(`${socket} ${port} ${address}`)).subarray(0, tagLength));
  }
}

/** In bytes: what may be sent to an address that nobody has proved (RFC 9175 §2.4; RFC 9000 §8 for the factor). */
export function amplificationLimit(received: number): number {
  return Math.max(136, 3 * received);
}

/** How long the client may take to send it back; once is enough for `provedFor`. */
const echoLifetime: Milliseconds = seconds(60);
/** Addresses are given to somebody else in the end. */
export const provedFor: Milliseconds = seconds(300);
const tagLength = 8;
const echoLength = 4 + tagLength;
