import type { Bytes } from '../../src/base/bytes.ts';
import { describe } from '../support/handshakePair.ts';
import type { Clock } from './clock.ts';
import type { Address } from './network.ts';

/** The conversation: a digest of all of it, and its last lines, for whoever has to find out what went wrong. */
export class Journal {
  readonly #clock: Clock;
  readonly #lines: (() => string)[] = [];
  #next = 0;
  #a = 0x811c9dc5;
  #b = 0x01000193;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The same world from the same seed has the same one. */
  get digest(): string {
    return [this.#a, this.#b].map(half => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }

  datagram(fate: string, from: Address, to: Address, datagram: Bytes): void {
    this.#mix(this.#clock.now * 1000);
    for (let i = 0; i < datagram.length; i++) {
      this.#a = Math.imul(this.#a ^ datagram[i]!, 0x01000193);
      this.#b = Math.imul(this.#b ^ datagram[i]!, 0x85ebca6b) ^ (this.#a >>> 16);
    }
    const { now } = this.#clock;
    this.#add(() => `${timeText(now)}  ${placeText(from)} → ${placeText(to)}  ${fate} ${describe(datagram)}`);
  }

  note(text: string): void {
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
    const { now } = this.#clock;
    this.#add(() => `${timeText(now)}  ${text}`);
  }

  last(count: number): string[] {
    const newest = [...this.#lines.slice(this.#next), ...this.#lines.slice(0, this.#next)];
    return newest.slice(-count).map(line => line());
  }

  #add(line: () => string): void {
    this.#lines[this.#next] = line;
    this.#next = (this.#next + 1) % capacity;
  }

  #mix(value: number): void {
    this.#a = Math.imul(this.#a ^ value, 0x01000193);
    this.#b = Math.imul(this.#b ^ value, 0x85ebca6b) ^ (this.#a >>> 16);
  }
}

function timeText(now: number): string {
  return (now / 1000).toFixed(3).padStart(12);
}

function placeText({ address, port }: Address): string {
  return `${address}:${port}`;
}

const capacity = 512;
