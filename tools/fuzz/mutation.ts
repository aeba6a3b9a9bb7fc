import type { Bytes } from '../../src/base/bytes.ts';
import type { SeededRandom } from '../../src/base/random.ts';

/** Makes inputs out of inputs: a few small changes, each of a kind that formats are sensitive to. */
export class Mutation {
  readonly #random: SeededRandom;
  readonly #words: readonly Bytes[];
  readonly #maxLength: number;

  constructor(random: SeededRandom, words: readonly Bytes[], maxLength: number) {
    this.#random = random;
    this.#words = words;
    this.#maxLength = maxLength;
  }

  /** `other` is what parts may be taken from. */
  of(input: Bytes, other: Bytes): Bytes {
    let bytes = input;
    for (let changes = 1 << this.#random.below(4); changes > 0; changes--) bytes = this.#change(bytes, other);
    return bytes.length > this.#maxLength ? bytes.slice(0, this.#maxLength) : bytes;
  }

  #change(bytes: Bytes, other: Bytes): Bytes {
    const random = this.#random;
    const at = random.below(bytes.length + 1);
    switch (random.below(11)) {
      case 0:
        return replaced(bytes, at, 1, Uint8Array.of((bytes[at] ?? 0) ^ (1 << random.below(8))));
      case 1:
        return replaced(bytes, at, 1, random.bytes(1));
      case 2:
        return replaced(bytes, at, 1, Uint8Array.of(edges[random.below(edges.length)]!));
      case 3:
        return replaced(bytes, at, 1, Uint8Array.of((bytes[at] ?? 0) + random.below(9) - 4));
      case 4:
        return replaced(bytes, at, 0, random.bytes(1 + random.below(4)));
      case 5:
        return replaced(bytes, at, this.#span(bytes.length - at), none);
      case 6: {
        const from = random.below(bytes.length + 1);
        return replaced(bytes, at, 0, bytes.subarray(from, from + this.#span(bytes.length - from)));
      }
      case 7: {
        const from = random.below(other.length + 1);
        const part = other.subarray(from, from + this.#span(other.length - from));
        return replaced(bytes, at, random.below(2) === 0 ? 0 : part.length, part);
      }
      case 8: {
        const word = this.#words[random.below(Math.max(1, this.#words.length))] ?? none;
        return replaced(bytes, at, random.below(2) === 0 ? 0 : word.length, word);
      }
      case 9:
        return replaced(bytes, at, 2, twoBytes(random.below(3) === 0 ? bytes.length : wideEdges[random.below(6)]!));
      default:
        return at < 2 ? bytes : bytes.subarray(0, at);
    }
  }

  /** Mostly short. */
  #span(most: number): number {
    const random = this.#random;
    return random.below(Math.max(1, Math.min(most, 1 << random.below(8))) + 1);
  }
}

/** Some bytes in place of others, all in new memory. */
export function replaced(bytes: Bytes, at: number, length: number, by: Bytes): Bytes {
  const rest = bytes.subarray(at + length);
  const made = new Uint8Array(at + by.length + rest.length);
  made.set(bytes.subarray(0, at));
  made.set(by, at);
  made.set(rest, at + by.length);
  return made;
}

function twoBytes(value: number): Bytes {
  return Uint8Array.of(value >>> 8, value);
}

const none: Bytes = new Uint8Array();
/** Where lengths, signs and forms change. */
const edges = [0, 1, 12, 13, 14, 15, 23, 24, 25, 31, 32, 0x2f, 0x3b, 0x5f, 0x7f, 0x80, 0x9f, 0xbf, 0xfe, 0xff];
const wideEdges = [0, 0xff, 0x100, 0x7fff, 0x8000, 0xffff];
