import type { Bytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import { type ConnectionIds, connectionIdLength } from '../dtls/connectionId.ts';
import { BlockPermutation } from './registrationIds.ts';

/** A keyed permutation of the node (2 bytes) and the number of the association (6 bytes), which is never used again. */
export class PermutedConnectionIds implements ConnectionIds {
  readonly #permutation: BlockPermutation;
  readonly #node: number;

  constructor(secret: Bytes, node = 0) {
    this.#permutation = new BlockPermutation(secret);
    this.#node = node;
  }

  of(peer: Peer): Bytes {
    const block = Buffer.alloc(connectionIdLength);
    block.writeUInt16BE(this.#node);
    block.writeUIntBE(peer, 2, 6);
    return this.#permutation.forward(block).slice();
  }

  peer(cid: Bytes): Peer | undefined {
    const block = Buffer.from(this.#permutation.backward(cid));
    return block.readUInt16BE() === this.#node ? (block.readUIntBE(2, 6) as Peer) : undefined;
  }
}
