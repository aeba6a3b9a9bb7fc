import { type Bytes, concatBytes } from '../base/bytes.ts';
import { encodeAlert } from './codec/alert.ts';
import type { CipherSuite } from './codec/cipherSuite.ts';
import { ContentType, changeCipherSpec, dtls12, encodePlainRecord } from './codec/record.ts';
import type { DirectionKeys } from './crypto/keySchedule.ts';
import { sealRecord } from './protection.ts';

/**
 * The records of one side of a handshake, each with a number of its own, in clear (epoch 0) and sealed (epoch 1): what is
 * sent again is sealed again.
 */
export class HandshakeRecords {
  #plainSequence: number;
  #sealedSequence = 0;

  /** `plainSequence` is the number of the first record in clear. */
  constructor(plainSequence: number) {
    this.#plainSequence = plainSequence;
  }

  /** Of the next record in clear. */
  get plainSequence(): number {
    return this.#plainSequence;
  }

  /** Of the next sealed record. */
  get sealedSequence(): number {
    return this.#sealedSequence;
  }

  /** Each message in a record of its own. */
  messages(messages: readonly Bytes[], version: number = dtls12): Bytes {
    return concatBytes(...messages.map(message => this.#plain(ContentType.handshake, message, version)));
  }

  /** A fatal one. */
  alert(description: number): Bytes {
    return this.#plain(ContentType.alert, encodeAlert({ level: 'fatal', description }));
  }

  changeCipherSpec(): Bytes {
    return this.#plain(ContentType.changeCipherSpec, changeCipherSpec);
  }

  /** A handshake message under the new keys. */
  sealed(suite: CipherSuite, keys: DirectionKeys, message: Bytes, cid?: Bytes): Bytes {
    return sealRecord(suite, keys, ContentType.handshake, 1, this.#sealedSequence++, message, cid);
  }

  #plain(type: number, fragment: Bytes, version: number = dtls12): Bytes {
    return encodePlainRecord(type, version, this.#plainSequence++, fragment);
  }
}

/** How often a flight is sent again because its peer asks for it: more than any peer's timers do until it gives up. */
export const maxRepeated = 16;
