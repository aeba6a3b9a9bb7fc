import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../adapters/operatorError.ts';
import { type Bytes, fromHex, textOf, toHex, utf8 } from '../base/bytes.ts';
import { type EndpointName, parseEndpointName, parseSector, type Sector } from '../fleet/names.ts';

/** What all commands on a store have. */
export interface CommonOptions {
  readonly data: string;
  readonly json: boolean;
}

export function withCommonOptions(command: Command): Command {
  return command
    .option('--data <dir>', 'where the store is', './data')
    .option('--json', 'print one JSON document', false);
}

export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map(line => `  ${line}\n`).join('')}`;
}

export function endpointName(text: string): EndpointName {
  const name = parseEndpointName(text);
  if (name === undefined) throw new UsageError('an endpoint name has 1 to 63 bytes and no control characters');
  return name;
}

export function sectorName(text: string): Sector {
  const sector = parseSector(text);
  if (sector === undefined) throw new InvalidArgumentError('a sector has 1 to 63 bytes and no control characters');
  return sector;
}

/** Text, or `hex:` and the bytes in hexadecimal. */
export function identityBytes(text: string): Bytes {
  if (!text.startsWith('hex:')) return utf8(text);
  const bytes = fromHex(text.slice(4));
  if (bytes === undefined) throw new UsageError('after hex: an identity is written in hexadecimal');
  return bytes;
}

export function identityText(identity: Bytes): string {
  const text = textOf(identity);
  return text === undefined || text.startsWith('hex:') || /\p{Control}/u.test(text) ? `hex:${toHex(identity)}` : text;
}

export function keyBytes(text: string): Bytes {
  const key = fromHex(text);
  if (key === undefined)
    throw new UsageError('a key is written in hexadecimal, for example from: openssl rand -hex 16');
  return key;
}

export function digit(text: string): number {
  if (!/^[0-9]$/.test(text)) throw new InvalidArgumentError('expected a digit, 0 to 9');
  return Number(text);
}

export function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return number;
}
