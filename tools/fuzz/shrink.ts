import type { Bytes } from '../../src/base/bytes.ts';
import { replaced } from './mutation.ts';

/** The smallest input that still `fails`, as far as leaving parts out and making bytes zero gets within so many tries. */
export function shrink(input: Bytes, fails: (candidate: Bytes) => boolean, tries = 4000): Bytes {
  let smallest = input;
  let left = tries;
  const accept = (candidate: Bytes): boolean => {
    if (left-- <= 0 || !fails(candidate)) return false;
    smallest = candidate;
    return true;
  };
  for (let before = -1; before !== smallest.length; ) {
    before = smallest.length;
    for (let size = Math.max(1, before >>> 1); size >= 1; size >>>= 1) {
      for (let at = 0; at < smallest.length; ) {
        if (!accept(replaced(smallest, at, size, new Uint8Array()))) at += size;
      }
    }
  }
  for (let at = 0; at < smallest.length; at++) {
    for (const simple of [0, 0x30]) {
      if (smallest[at] === simple || accept(replaced(smallest, at, 1, Uint8Array.of(simple)))) break;
    }
  }
  return smallest;
}
