import type { Remote } from '../base/peer.ts';
import type { Now } from '../base/time.ts';

/**
 * One input of the loop, from `begin` to `end`: its moment, for which the clock is read once, and what is known about the
 * datagram that it is. There is one object for all of them, one after the other.
 */
export class Turn {
  now: Now;
  remote: Remote | undefined;
  /** Of the DTLS record that is at hand. */
  sequence: number | undefined;
  /** How long the datagram is, in bytes, on plain CoAP. */
  received = 0;
  readonly #clock: () => Now;
  readonly #ended: () => void;

  constructor(clock: () => Now, ended: () => void) {
    this.#clock = clock;
    this.#ended = ended;
    this.now = clock();
  }

  begin(remote: Remote | undefined): void {
    this.now = this.#clock();
    this.remote = remote;
    this.sequence = undefined;
  }

  end(): void {
    this.#ended();
  }
}
