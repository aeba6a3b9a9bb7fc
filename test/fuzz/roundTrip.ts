import type { Bytes } from '../../src/base/bytes.ts';
import { ensure, ensureSame } from './target.ts';

/** What a decoder makes of bytes comes back from its own encoder, in no more bytes; then bytes and value stay as they are. */
export function ensureRoundTrip<Value extends object>(
  bytes: Bytes,
  decode: (bytes: Bytes) => Value | undefined,
  encode: (value: Value) => Bytes,
): Value | undefined {
  const value = decode(bytes);
  if (value === undefined) return undefined;
  const again = encode(value);
  ensure(again.length <= bytes.length, 'longer than it was', again.length, bytes.length);
  const decoded = decode(again);
  ensure(decoded !== undefined, 'what was encoded does not decode', value);
  ensureSame(decoded, value, 'another value came back');
  ensureSame(encode(decoded), again, 'other bytes came back');
  return value;
}
