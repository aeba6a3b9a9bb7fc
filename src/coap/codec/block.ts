/**
 * The value of Block1 and Block2: which block, whether more follow, and its size as a power of two (RFC 7959 §2.2).
 *
 * ```
 * +-+-+-+-+-+-+-+-+ … +-+-+-+-+-+-+-+-+
 * |         NUM (up to 20 bits) |M| SZX |
 * +-+-+-+-+-+-+-+-+ … +-+-+-+-+-+-+-+-+
 * ```
 */
export interface Block {
  readonly number: number;
  readonly more: boolean;
  /** In bytes: 16, 32 … 1024. */
  readonly size: BlockSize;
}

export type BlockSize = 16 | 32 | 64 | 128 | 256 | 512 | 1024;

/** `undefined` for the reserved size exponent 7. */
export function decodeBlock(value: number): Block | undefined {
  const exponent = value & 0x7;
  if (exponent === 7) return undefined;
  return { number: value >>> 4, more: (value & 0x8) !== 0, size: (16 << exponent) as BlockSize };
}

export function encodeBlock(block: Block): number {
  return (block.number << 4) | (block.more ? 0x8 : 0) | (Math.log2(block.size) - 4);
}

export const maxBlockNumber = 2 ** 20 - 1;
