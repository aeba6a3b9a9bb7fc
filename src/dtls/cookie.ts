import { type Bytes, utf8 } from '../base/bytes.ts';
import type { Remote } from '../base/peer.ts';
import type { RandomSource } from '../base/random.ts';
import { after, type Instant, type Milliseconds, seconds } from '../base/time.ts';
import type { ClientHelloStart } from './codec/clientHello.ts';
import { Hmac } from './crypto/hmac.ts';
import { CookieVerified } from './proof.ts';

/**
 * Cookies that need no memory (RFC 6347 §4.2.1): an HMAC over the address and what the hello says, under a secret that
 * changes. The secret before the current one is still accepted, so that a handshake may straddle the change.
 */
export class Cookies {
  readonly #random: RandomSource;
  #current: Hmac;
  #previous: Hmac | undefined;
  #rotateAt: Instant | undefined;

  constructor(random: RandomSource) {
    this.#random = random;
    this.#current = new Hmac('sha256', random.bytes(32));
  }

  make(now: Instant, remote: Remote, hello: ClientHelloStart): Bytes {
    this.#rotate(now);
    return cookie(this.#current, remote, hello);
  }

  check(now: Instant, remote: Remote, hello: ClientHelloStart): CookieVerified | undefined {
    this.#rotate(now);
    if (hello.cookie.length !== cookieLength) return undefined;
    const accepted = [cookie(this.#current, remote, hello)];
    if (this.#previous !== undefined) accepted.push(cookie(this.#previous, remote, hello));
    return CookieVerified.check(accepted, hello.cookie);
  }

  #rotate(now: Instant): void {
    if (this.#rotateAt === undefined) {
      this.#rotateAt = after(now, rotation);
      return;
    }
    if (now < this.#rotateAt) return;
    // After a silence of two periods not even the last cookie that left may be good any more.
    this.#previous = now < after(this.#rotateAt, rotation) ? this.#current : undefined;
    this.#current = new Hmac('sha256', this.#random.bytes(32));
    this.#rotateAt = after(now, rotation);
  }
}

/**
 * Over what a first fragment always holds. The suites and compression methods, which RFC 6347 §4.2.1 would have in it too,
 * may stand in a later one, and where the hello is cut differs between the one without a cookie and the one with it.
 */
function cookie(secret: Hmac, remote: Remote, hello: ClientHelloStart): Bytes {
  const where = utf8(`${remote.socket} ${remote.port} ${remote.address}\n${hello.version} ${hello.sessionId.length}\n`);
  return secret.tag(where, hello.random, hello.sessionId).subarray(0, cookieLength);
}

/** Short enough that the HelloVerifyRequest is never longer than the smallest ClientHello it answers. */
const cookieLength = 16;
const rotation: Milliseconds = seconds(60);
