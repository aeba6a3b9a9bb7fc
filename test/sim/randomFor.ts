import { SeededRandom } from '../../src/base/random.ts';

/** A source for one part of a world: what one part draws does not shift what another sees. */
export function randomFor(seed: number, part: string): SeededRandom {
  let mix = seed >>> 0;
  for (let i = 0; i < part.length; i++) mix = Math.imul(mix ^ part.charCodeAt(i), 0x01000193) >>> 0;
  return new SeededRandom(mix);
}
