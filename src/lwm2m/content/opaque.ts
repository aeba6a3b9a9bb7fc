import type { Bytes } from '../../base/bytes.ts';
import type { Path } from '../path.ts';
import { type Entry, isBytes } from '../value.ts';
import { ContentError, wrongType } from './fault.ts';
import { limits } from './limits.ts';
import { oneValue, singlePath } from './single.ts';
import type { Typing } from './typing.ts';

/** Opaque (Content-Format 42; LwM2M Core 1.2 §7.4.3): the bytes of one value. */
export function decodeOpaque(base: Path, payload: Bytes, typing: Typing): readonly Entry[] {
  const path = singlePath(base);
  if (payload.length > limits.maxLength) throw new ContentError('too-long', path);
  const type = typing.type(path) ?? 'opaque';
  if (type !== 'opaque') throw wrongType(path, type);
  return [{ path, value: payload.slice() }];
}

export function encodeOpaque(base: Path, entries: readonly Entry[], typing: Typing): Bytes {
  const entry = oneValue(base, entries);
  typing.check(entry);
  if (!isBytes(entry.value)) throw wrongType(entry.path, 'opaque');
  return entry.value.slice();
}
