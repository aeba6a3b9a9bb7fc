import type { Bytes } from '../base/bytes.ts';
import { sameSecret } from './crypto/hmac.ts';

/**
 * Values that only their check can make: "established" asks for one, so that no path through the code can forget the
 * check.
 */
export class FinishedVerified {
  readonly #brand = true;

  private constructor() {}

  /** Compares in constant time. `undefined`: whoever sent this does not hold the key. */
  static check(expected: Bytes, received: Bytes): FinishedVerified | undefined {
    return sameSecret(expected, received) ? new FinishedVerified() : undefined;
  }

  get verified(): true {
    return this.#brand;
  }
}

/** The client receives at the address that it sends from (RFC 6347 §4.2.1). */
export class CookieVerified {
  readonly #brand = true;

  private constructor() {}

  static check(accepted: readonly Bytes[], received: Bytes): CookieVerified | undefined {
    let matches = false;
    for (const cookie of accepted) if (sameSecret(cookie, received)) matches = true;
    return matches ? new CookieVerified() : undefined;
  }

  get verified(): true {
    return this.#brand;
  }
}
