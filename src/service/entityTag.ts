import type { Bytes } from '../base/bytes.ts';

/** 64 bits that change when a representation does. No secret and no proof: a client compares what it was given. */
export function entityTag(payload: Bytes, format: number): Bytes {
  let a = 0x811c9dc5 ^ format;
  let b = 0x9e3779b9 ^ payload.length;
  for (let i = 0; i < payload.length; i++) {
    a = Math.imul(a ^ payload[i]!, 0x01000193);
    b = Math.imul(b ^ payload[i]!, 0x85ebca6b) ^ (b >>> 15);
  }
  const tag = new Uint8Array(8);
  const view = new DataView(tag.buffer);
  view.setUint32(0, a);
  view.setUint32(4, b);
  return tag;
}
