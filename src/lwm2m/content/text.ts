import { fromBase64, toBase64 } from '../../base/base64.ts';
import { type Bytes, textOf, utf8 } from '../../base/bytes.ts';
import { assertNever } from '../../base/unreachable.ts';
import type { ResourceType } from '../definition.ts';
import type { Path } from '../path.ts';
import {
  type Entry,
  formatObjectLink,
  isBytes,
  isObjectLink,
  isTime,
  parseObjectLink,
  type ResourceValue,
} from '../value.ts';
import { ContentError, wrongType } from './fault.ts';
import { numberText } from './json.ts';
import { limits } from './limits.ts';
import { oneValue, singlePath } from './single.ts';
import { isOfType, narrowed, type Typing } from './typing.ts';

/** Plain text (Content-Format 0; LwM2M Core 1.2 §7.4.2 and appendix C): one value, numbers in decimal, bytes in Base64. */
export function decodeText(base: Path, payload: Bytes, typing: Typing): readonly Entry[] {
  const path = singlePath(base);
  if (payload.length > limits.maxLength) throw new ContentError('too-long', path);
  const text = textOf(payload);
  if (text === undefined) throw new ContentError('malformed', 'invalid UTF-8');
  const type = typing.type(path);
  const value = type === undefined ? text : valueFromText(type, text);
  if (value === undefined) throw wrongType(path, type!);
  return [{ path, value }];
}

export function encodeText(base: Path, entries: readonly Entry[], typing: Typing): Bytes {
  const entry = oneValue(base, entries);
  typing.check(entry);
  return utf8(valueToText(entry.value));
}

/** The value of a type that a text spells; `undefined` if it spells none. */
export function valueFromText(type: ResourceType, text: string): ResourceValue | undefined {
  switch (type) {
    case 'string':
    case 'corelnk':
      return text;
    case 'integer':
    case 'unsigned integer': {
      const value = /^[+-]?\d{1,20}$/.test(text) ? narrowed(BigInt(text.replace('+', ''))) : undefined;
      return value !== undefined && isOfType(type, value) ? value : undefined;
    }
    case 'float': {
      const value = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$/.test(text) ? Number(text) : undefined;
      return Number.isFinite(value) ? value : undefined;
    }
    case 'boolean':
      return text === '1' ? true : text === '0' ? false : undefined;
    case 'opaque':
      return fromBase64(text, 'base64');
    case 'time':
      return /^-?\d{1,15}$/.test(text) ? { unix: Number(text) } : undefined;
    case 'objlnk':
      return parseObjectLink(text);
    case 'none':
      return undefined;
    default:
      return assertNever(type);
  }
}

function valueToText(value: ResourceValue): string {
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return numberText(value);
  if (isBytes(value)) return toBase64(value, 'base64');
  if (isTime(value)) return String(value.unix);
  return isObjectLink(value) ? formatObjectLink(value) : assertNever(value);
}
