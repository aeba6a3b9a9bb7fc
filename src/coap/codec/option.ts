import { type Bytes, noBytes, textOf, utf8 } from '../../base/bytes.ts';

/**
 * What an option's number means and what its value is. The number itself says how to treat an option that nobody
 * knows (RFC 7252 §5.4.6): odd is critical.
 */
export interface OptionDefinition<Value> {
  readonly number: number;
  readonly name: string;
  readonly repeatable: boolean;
  /** Bounds of the value's length, in bytes. */
  readonly minimum: number;
  readonly maximum: number;
  /** `undefined` if the bytes are no such value. */
  decode(bytes: Bytes): Value | undefined;
  encode(value: Value): Bytes;
}

const uint = (number: number, name: string, maximum: number): OptionDefinition<number> => ({
  number,
  name,
  repeatable: false,
  minimum: 0,
  maximum,
  decode: decodeUint,
  encode: encodeUint,
});

const string = (
  number: number,
  name: string,
  minimum: number,
  maximum: number,
  repeatable = false,
): OptionDefinition<string> => ({ number, name, repeatable, minimum, maximum, decode: textOf, encode: utf8 });

const opaque = (
  number: number,
  name: string,
  minimum: number,
  maximum: number,
  repeatable = false,
): OptionDefinition<Bytes> => ({ number, name, repeatable, minimum, maximum, decode: same, encode: same });

// RFC 7252 §5.10
export const UriHost = string(3, 'Uri-Host', 1, 255);
export const ETag = opaque(4, 'ETag', 1, 8, true);
export const UriPort = uint(7, 'Uri-Port', 2);
export const LocationPath = string(8, 'Location-Path', 0, 255, true);
export const UriPath = string(11, 'Uri-Path', 0, 255, true);
export const ContentFormat = uint(12, 'Content-Format', 2);
export const MaxAge = uint(14, 'Max-Age', 4);
export const UriQuery = string(15, 'Uri-Query', 0, 255, true);
export const Accept = uint(17, 'Accept', 2);
export const LocationQuery = string(20, 'Location-Query', 0, 255, true);
export const ProxyUri = string(35, 'Proxy-Uri', 1, 1034);
export const ProxyScheme = string(39, 'Proxy-Scheme', 1, 255);
export const Size1 = uint(60, 'Size1', 4);
// RFC 7641 §2
export const Observe = uint(6, 'Observe', 3);
// RFC 7959 §2.1, §4
export const Block2 = uint(23, 'Block2', 3);
export const Block1 = uint(27, 'Block1', 3);
export const Size2 = uint(28, 'Size2', 4);
// RFC 9175 §2.2.1, §3.2.1
export const Echo = opaque(252, 'Echo', 1, 40);
export const RequestTag = opaque(292, 'Request-Tag', 0, 8, true);

/** One option as it stands in a message. */
export interface RawOption {
  readonly number: number;
  readonly value: Bytes;
}

/** The options of a message, in order of their numbers. Immutable. */
export class Options {
  static readonly empty = new Options([]);

  readonly #list: readonly RawOption[];

  private constructor(list: readonly RawOption[]) {
    this.#list = list;
  }

  /** For the codec, which has them in order already. */
  static inOrder(list: readonly RawOption[]): Options {
    return list.length === 0 ? Options.empty : new Options(list);
  }

  get list(): readonly RawOption[] {
    return this.#list;
  }

  has(option: OptionDefinition<unknown>): boolean {
    return this.#list.some(({ number }) => number === option.number);
  }

  /** The first value of this option, or `undefined` if there is none (or none that can be read). */
  get<Value>(option: OptionDefinition<Value>): Value | undefined {
    for (const { number, value } of this.#list) if (number === option.number) return decodeOption(option, value);
    return undefined;
  }

  /** All values of a repeatable option, in the order of the message. */
  all<Value>(option: OptionDefinition<Value>): Value[] {
    const values: Value[] = [];
    for (const { number, value } of this.#list) {
      if (number !== option.number) continue;
      const decoded = decodeOption(option, value);
      if (decoded !== undefined) values.push(decoded);
    }
    return values;
  }

  /** The same options and one more, after those with its number. */
  with<Value>(option: OptionDefinition<Value>, value: Value): Options {
    const added = { number: option.number, value: option.encode(value) };
    const list = this.#list;
    let at = list.length;
    while (at > 0 && list[at - 1]!.number > option.number) at--;
    return new Options([...list.slice(0, at), added, ...list.slice(at)]);
  }

  without(option: OptionDefinition<unknown>): Options {
    return this.has(option) ? Options.inOrder(this.#list.filter(({ number }) => number !== option.number)) : this;
  }
}

/** The definition behind a number, if we understand it. */
export function knownOption(number: number): OptionDefinition<unknown> | undefined {
  return definitions.get(number);
}

export const isCritical = (number: number): boolean => (number & 1) === 1;

/** A value whose length is out of bounds makes an option one that nobody knows (RFC 7252 §5.4.3). */
export function decodeOption<Value>(option: OptionDefinition<Value>, value: Bytes): Value | undefined {
  return value.length < option.minimum || value.length > option.maximum ? undefined : option.decode(value);
}

function same(bytes: Bytes): Bytes {
  return bytes;
}

/** Leading zeros are tolerated from others (RFC 7252 §3.2) and never sent. */
function decodeUint(bytes: Bytes): number {
  let value = 0;
  for (let i = 0; i < bytes.length; i++) value = value * 256 + bytes[i]!;
  return value;
}

function encodeUint(value: number): Bytes {
  if (value === 0) return noBytes;
  const length = value < 0x100 ? 1 : value < 0x1_0000 ? 2 : value < 0x100_0000 ? 3 : 4;
  const bytes = new Uint8Array(length);
  for (let i = length - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest & 0xff;
  return bytes;
}

const definitions = new Map<number, OptionDefinition<unknown>>(
  [
    UriHost,
    ETag,
    Observe,
    UriPort,
    LocationPath,
    UriPath,
    ContentFormat,
    MaxAge,
    UriQuery,
    Accept,
    LocationQuery,
    Block2,
    Block1,
    Size2,
    ProxyUri,
    ProxyScheme,
    Size1,
    Echo,
    RequestTag,
  ].map(definition => [definition.number, definition as OptionDefinition<unknown>]),
);
