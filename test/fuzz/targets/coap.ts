import coapPacket from 'coap-packet';
import { type Bytes, fromHex, textOf, toHex, utf8 } from '../../../src/base/bytes.ts';
import { decodeBlock, encodeBlock } from '../../../src/coap/codec/block.ts';
import { codeText } from '../../../src/coap/codec/code.ts';
import { formatLinks, parseLinks } from '../../../src/coap/codec/linkFormat.ts';
import { decodeMessage, encodeMessage, type Message } from '../../../src/coap/codec/message.ts';
import {
  Block1,
  ContentFormat,
  decodeOption,
  Echo,
  knownOption,
  Observe,
  Options,
  UriPath,
  UriQuery,
} from '../../../src/coap/codec/option.ts';
import { ensure, ensureSame, type Target } from '../target.ts';

const registration = encodeMessage({
  kind: 'request',
  type: 'CON',
  messageId: 0x1234,
  token: Uint8Array.of(1, 2, 3, 4),
  code: 2,
  options: Options.empty
    .with(UriPath, 'rd')
    .with(UriQuery, 'ep=node-1')
    .with(UriQuery, 'lt=86400')
    .with(ContentFormat, 40)
    .with(Observe, 0)
    .with(Block1, 0x0e)
    .with(Echo, utf8('echo')),
  payload: utf8('</1/0>,</3/0>'),
});

export const targets: readonly Target[] = [
  {
    name: 'coap-message',
    holds: "what decodes comes back, and node-coap's codec reads the same from it; what it refuses we refuse",
    seeds: [registration, fromHex('60450001')!, fromHex('40000001')!, fromHex('62451234aabbc13cff01')!],
    words: [Uint8Array.of(0xff), Uint8Array.of(0xd0), Uint8Array.of(0xe0), Uint8Array.of(0x0d), Uint8Array.of(0x0e)],
    check: checkMessage,
  },
  {
    name: 'link-format',
    holds: 'links that are read are written in a form that reads the same, and no longer than quotes make it',
    seeds: ['</1/0>,</3303/0>;ver=1.1', '</>;rt="oma.lwm2m";ct="60 112"', '</a>;title="a \\"b\\", <c>;d";obs'].map(
      utf8,
    ),
    words: ['</', '>', ';', ',', '="', '"', '\\', 'rt=', 'ct=', '__proto__'].map(utf8),
    check: checkLinks,
  },
];

function checkMessage(bytes: Bytes): void {
  const message = decodeMessage(bytes);
  const theirs = parsedByOthers(bytes);
  if (message.kind === 'fault') {
    ensure(message.reject === undefined || bytes[0]! >>> 4 === 4, 'rejected, and was not Confirmable', message);
    return;
  }
  const again = encodeMessage(message);
  ensure(again.length <= bytes.length, 'longer than it was', again.length, bytes.length);
  ensureSame(flat(decodeMessage(again) as Message), flat(message), 'another message came back');
  ensure(theirs !== undefined, 'node-coap refuses it', message);
  ensureSame(theirs.messageId, message.messageId, 'message ID');
  if (message.kind === 'empty') return;
  ensureSame(theirs.code, codeText(message.code), 'code');
  ensureSame(toHex(theirs.token), toHex(message.token), 'token');
  ensureSame(toHex(theirs.payload), toHex(message.payload), 'payload');
  ensureSame(
    theirs.options.map(({ value }) => toHex(value as Buffer)),
    message.options.list.map(({ value }) => toHex(value)),
    'options',
  );
  for (const { number, value } of message.options.list) checkOption(number, value);
}

function checkOption(number: number, value: Bytes): void {
  const known = knownOption(number);
  const decoded = known && decodeOption(known, value);
  if (known === undefined || decoded === undefined) return;
  const encoded = known.encode(decoded);
  ensure(encoded.length <= value.length, `${known.name} is longer than it was`, value);
  ensureSame(decodeOption(known, encoded), known.minimum > encoded.length ? undefined : decoded, known.name);
  const block = known === Block1 ? decodeBlock(decoded as number) : undefined;
  if (block !== undefined) ensureSame(encodeBlock(block), decoded, 'block');
}

function parsedByOthers(bytes: Bytes): coapPacket.ParsedPacket | undefined {
  try {
    return coapPacket.parse(Buffer.from(bytes));
  } catch {
    return undefined;
  }
}

function flat(message: Message): unknown {
  return message.kind === 'empty' ? message : { ...message, options: message.options.list };
}

function checkLinks(bytes: Bytes): void {
  const text = textOf(bytes);
  const links = text === undefined ? undefined : parseLinks(text);
  if (links === undefined) return;
  const written = formatLinks(links);
  // Quotes about each value, a backslash before each quote.
  ensure(written.length <= 3 * text!.length + 2, 'longer than quotes make it', written.length, text!.length);
  const again = parseLinks(written);
  ensure(again !== undefined, 'what was written cannot be read', written);
  ensureSame(again, links, 'other links');
}
