import type { Bytes } from '../base/bytes.ts';
import type { RegistrationId, Row } from './names.ts';

/**
 * A keyed permutation of 64 bits. With it a registration id is computed from row and generation instead of stored, and
 * still tells nobody how many devices there are, or which other ids are valid. `adapters/registrationIds` has the real one.
 */
export interface Permutation {
  /** Eight bytes into eight others; the result belongs to the caller. */
  forward(block: Bytes): Bytes;
  backward(block: Bytes): Bytes;
}

/** The ids of registrations: 11 characters of base64url, stable while a registration lives, never used again. */
export class RegistrationIds {
  readonly #permutation: Permutation;
  /** The last one: a registration needs its id for the event and for the answer. */
  #last: { row: Row; generation: number; id: RegistrationId } | undefined;

  constructor(permutation: Permutation) {
    this.#permutation = permutation;
  }

  of(row: Row, generation: number): RegistrationId {
    if (this.#last?.row !== row || this.#last.generation !== generation) {
      this.#last = { row, generation, id: this.#compute(row, generation) };
    }
    return this.#last.id;
  }

  #compute(row: Row, generation: number): RegistrationId {
    const block = new Uint8Array(8);
    const view = new DataView(block.buffer);
    view.setUint32(0, row);
    view.setUint32(4, generation);
    return toBase64Url(this.#permutation.forward(block)) as RegistrationId;
  }

  /** Where the record of an id would be; `undefined` if the text cannot be one. Whether it exists, the record says. */
  read(id: string): { row: Row; generation: number } | undefined {
    const block = fromBase64Url(id);
    if (block === undefined) return undefined;
    const plain = this.#permutation.backward(block);
    const view = new DataView(plain.buffer, plain.byteOffset, 8);
    return { row: view.getUint32(0) as Row, generation: view.getUint32(4) };
  }
}

/** RFC 4648 §5, without padding. */
function toBase64Url(block: Bytes): string {
  let text = '';
  let bits = 0;
  let count = 0;
  for (const byte of block) {
    bits = (bits << 8) | byte;
    count += 8;
    while (count >= 6) {
      count -= 6;
      text += alphabet[(bits >>> count) & 0x3f];
    }
    bits &= (1 << count) - 1;
  }
  return text + alphabet[(bits << (6 - count)) & 0x3f];
}

function fromBase64Url(text: string): Bytes | undefined {
  if (text.length !== idLength) return undefined;
  const block = new Uint8Array(8);
  let bits = 0;
  let count = 0;
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = alphabet.indexOf(text[i]!);
    if (digit < 0) return undefined;
    bits = ((bits << 6) | digit) & 0xffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    block[at++] = bits >>> count;
  }
  // The last character carries two bits too many: of the texts that differ only there one is the id.
  return (bits & 0x3) === 0 ? block : undefined;
}

const idLength = 11;
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
