import type { Bytes } from '../../src/base/bytes.ts';

/**
 * A well-formed CBOR item with some of its arrays and maps in their indefinite form (RFC 8949 §3.2.2): the n-th of them
 * if `choices` says so, which is gone through again and again.
 */
export function indefiniteForm(bytes: Bytes, choices: readonly boolean[]): Bytes {
  const out: number[] = [];
  let at = 0;
  let containers = 0;
  const copy = (count: number) => {
    for (const end = at + count; at < end; at++) out.push(bytes[at]!);
  };
  const item = () => {
    const initial = bytes[at]!;
    const major = initial >>> 5;
    const information = initial & 0x1f;
    const headLength = 1 + (information < 24 ? 0 : 1 << (information - 24));
    let argument = information < 24 ? information : 0;
    for (const byte of bytes.subarray(at + 1, at + headLength)) argument = argument * 256 + byte;
    const isContainer = major === 4 || major === 5;
    const indefinite = isContainer && choices[containers++ % choices.length] === true;
    if (indefinite) {
      out.push((major << 5) | 31);
      at += headLength;
    } else {
      copy(headLength);
    }
    if (major === 2 || major === 3) copy(argument);
    if (isContainer) for (let i = 0; i < argument * (major - 3); i++) item();
    if (indefinite) out.push(0xff);
  };
  item();
  return Uint8Array.from(out);
}
