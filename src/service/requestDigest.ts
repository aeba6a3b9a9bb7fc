import type { Bytes } from '../base/bytes.ts';
import type { Request } from '../coap/codec/message.ts';

/**
 * 64 bits that tell a retransmission from another request that happens to have the same message ID. The token is in it:
 * hours later an update may draw the message ID of the one before and say the same, but not with the same token. No cryptographic
 * hash: only the peer itself could make two of its own requests collide, and would gain an answer that it had before.
 */
export function requestDigest(request: Request): Bytes {
  let a = 0x811c9dc5;
  let b = 0x1000193;
  const mix = (byte: number) => {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x85ebca6b) ^ (a >>> 16);
  };
  mix(request.code);
  for (let i = 0; i < request.token.length; i++) mix(request.token[i]!);
  mix(request.token.length);
  for (const { number, value } of request.options.list) {
    mix(number & 0xff);
    mix(number >>> 8);
    for (let i = 0; i < value.length; i++) mix(value[i]!);
  }
  mix(0xff);
  for (let i = 0; i < request.payload.length; i++) mix(request.payload[i]!);
  const digest = new Uint8Array(8);
  for (let i = 0; i < 4; i++) {
    digest[i] = a >>> (8 * i);
    digest[4 + i] = b >>> (8 * i);
  }
  return digest;
}
