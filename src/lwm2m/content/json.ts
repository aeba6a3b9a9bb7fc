import { type Bytes, textOf } from '../../base/bytes.ts';
import { ContentError } from './fault.ts';
import { limits } from './limits.ts';
import { narrowed } from './typing.ts';

export type JsonValue = null | boolean | number | bigint | string | readonly JsonValue[] | JsonObject;

export type JsonObject = ReadonlyMap<string, JsonValue>;

/**
 * Reads JSON (RFC 8259) as devices report in it. `JSON.parse` would round integers beyond 2^53 (they come as `bigint`
 * here), take the last of two members with one name, and go as deep as the sender likes. Throws `ContentError`.
 */
export function readJson(bytes: Bytes): JsonValue {
  const text = textOf(bytes);
  if (text === undefined) throw malformed('invalid UTF-8');
  const reader = new JsonReader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

export function isJsonObject(value: JsonValue): value is JsonObject {
  return value instanceof Map;
}

/** The text of a number, a `bigint` among them; JSON has none for NaN and the infinities. */
export function numberText(value: number | bigint): string {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new ContentError('not-representable', String(value));
  return Object.is(value, -0) ? '-0' : String(value);
}

class JsonReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): JsonValue {
    if (depth > limits.maxDepth) throw new ContentError('too-deep');
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default:
        return this.#number();
    }
  }

  end(): void {
    this.#skipSpace();
    if (this.#at !== this.#text.length) throw malformed(`text after the end, at ${this.#at}`);
  }

  #object(depth: number): JsonObject {
    const members = new Map<string, JsonValue>();
    this.#at++;
    if (this.#takeIf('}')) return members;
    for (;;) {
      this.#skipSpace();
      if (this.#text[this.#at] !== '"') throw this.#unexpected();
      const name = this.#string();
      if (members.has(name)) throw malformed(`"${name}" twice in one object`);
      if (!this.#takeIf(':')) throw this.#unexpected();
      members.set(name, this.value(depth + 1));
      if (this.#takeIf('}')) return members;
      if (!this.#takeIf(',')) throw this.#unexpected();
    }
  }

  #array(depth: number): readonly JsonValue[] {
    const items: JsonValue[] = [];
    this.#at++;
    if (this.#takeIf(']')) return items;
    for (;;) {
      items.push(this.value(depth + 1));
      if (this.#takeIf(']')) return items;
      if (!this.#takeIf(',')) throw this.#unexpected();
    }
  }

  #string(): string {
    const literal = this.#match(stringLiteral);
    if (literal.length > limits.maxLength) throw new ContentError('too-long', `a text of ${literal.length}`);
    try {
      return JSON.parse(literal) as string;
    } catch {
      throw malformed('a text that is none');
    }
  }

  #number(): number | bigint {
    const literal = this.#match(numberLiteral);
    if (literal.length > maxNumberLength) throw new ContentError('too-long', 'a number');
    if (/^-?\d+$/.test(literal) && literal !== '-0') return narrowed(BigInt(literal));
    const value = Number(literal);
    if (!Number.isFinite(value)) throw malformed(`${literal} is beyond what a double holds`);
    return value;
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected();
    this.#at += word.length;
    return value;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) throw this.#unexpected();
    this.#at += found.length;
    return found;
  }

  #takeIf(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    while (space.has(this.#text.charCodeAt(this.#at))) this.#at++;
  }

  #unexpected(): ContentError {
    return malformed(this.#at < this.#text.length ? `unexpected text at ${this.#at}` : 'ends early');
  }
}

function malformed(detail: string): ContentError {
  return new ContentError('malformed', detail);
}

const stringLiteral = /"[^"\\]*(?:\\.[^"\\]*)*"/y;
const numberLiteral = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const maxNumberLength = 64;
const space: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);
