import { type Bytes, noBytes } from '../../base/bytes.ts';
import { takeFromSlab } from '../../base/slab.ts';
import { isRequestCode, isResponseCode } from './code.ts';
import { Options, type RawOption } from './option.ts';

/** A CoAP message: nothing else can be written, and nothing else can be read (RFC 7252 §4.1, table 1). */
export type Message = Request | Response | Empty;

export interface Request {
  readonly kind: 'request';
  readonly type: 'CON' | 'NON';
  readonly messageId: number;
  readonly token: Bytes;
  readonly code: number;
  readonly options: Options;
  readonly payload: Bytes;
}

export interface Response {
  readonly kind: 'response';
  readonly type: 'CON' | 'NON' | 'ACK';
  readonly messageId: number;
  readonly token: Bytes;
  readonly code: number;
  readonly options: Options;
  readonly payload: Bytes;
}

/** A CON one is a ping, answered by RST (RFC 7252 §4.3). */
export interface Empty {
  readonly kind: 'empty';
  readonly type: 'CON' | 'ACK' | 'RST';
  readonly messageId: number;
}

/** What an answer says, before it is known in which message it will travel. */
export interface Reply {
  readonly code: number;
  readonly options: Options;
  readonly payload: Bytes;
}

/** Why a datagram is no CoAP message. With a readable CON header it is rejected with RST, else ignored (RFC 7252 §4.2). */
export interface MessageFault {
  readonly kind: 'fault';
  readonly reason:
    | 'too-short'
    | 'version'
    | 'token-length'
    | 'option'
    | 'payload-marker'
    | 'empty-with-content'
    | 'type-for-code'
    | 'reserved-class';
  /** The message ID to reject, if it was a Confirmable message. */
  readonly reject: number | undefined;
}

export function reply(code: number, options: Options = Options.empty, payload: Bytes = noBytes): Reply {
  return { code, options, payload };
}

/**
 * ```
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |Ver| T |  TKL  |      Code     |          Message ID           |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |   Token (if any, TKL bytes) ...   Options (if any) ...        |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |1 1 1 1 1 1 1 1|    Payload (if any) ...                       |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * ```
 * (RFC 7252 §3). Tokens, option values and payload are views into `datagram`.
 */
export function decodeMessage(datagram: Bytes): Message | MessageFault {
  const length = datagram.length;
  if (length < headerLength) return fault('too-short', undefined);
  const first = datagram[0]!;
  if (first >>> 6 !== version) return fault('version', undefined);
  const type = (first >>> 4) & 0x3;
  const code = datagram[1]!;
  const messageId = (datagram[2]! << 8) | datagram[3]!;
  const reject = type === typeNumber.CON ? messageId : undefined;

  if (code === 0) {
    if (length !== headerLength || (first & 0xf) !== 0) return fault('empty-with-content', reject);
    if (type === typeNumber.NON) return fault('type-for-code', undefined);
    return { kind: 'empty', type: typeName[type] as Empty['type'], messageId };
  }

  const tokenLength = first & 0xf;
  if (tokenLength > maxTokenLength) return fault('token-length', reject);
  let at = headerLength + tokenLength;
  if (at > length) return fault('too-short', reject);
  const token = tokenLength === 0 ? noBytes : datagram.subarray(headerLength, at);

  const list: RawOption[] = [];
  let number = 0;
  let payload = noBytes;
  while (at < length) {
    const head = datagram[at++]!;
    if (head === payloadMarker) {
      if (at === length) return fault('payload-marker', reject);
      payload = datagram.subarray(at);
      break;
    }
    let delta = head >>> 4;
    let size = head & 0xf;
    if (delta >= 13) {
      const extra = delta === 13 ? 1 : 2;
      if (delta === 15 || at + extra > length) return fault('option', reject);
      delta = extra === 1 ? datagram[at]! + 13 : ((datagram[at]! << 8) | datagram[at + 1]!) + 269;
      at += extra;
    }
    if (size >= 13) {
      const extra = size === 13 ? 1 : 2;
      if (size === 15 || at + extra > length) return fault('option', reject);
      size = extra === 1 ? datagram[at]! + 13 : ((datagram[at]! << 8) | datagram[at + 1]!) + 269;
      at += extra;
    }
    number += delta;
    if (number > maxOptionNumber || at + size > length) return fault('option', reject);
    list.push({ number, value: size === 0 ? noBytes : datagram.subarray(at, at + size) });
    at += size;
  }
  const options = Options.inOrder(list);

  if (isRequestCode(code)) {
    if (type > typeNumber.NON) return fault('type-for-code', reject);
    return {
      kind: 'request',
      type: type === typeNumber.CON ? 'CON' : 'NON',
      messageId,
      token,
      code,
      options,
      payload,
    };
  }
  if (!isResponseCode(code)) return fault('reserved-class', reject);
  if (type === typeNumber.RST) return fault('type-for-code', undefined);
  return { kind: 'response', type: typeName[type] as Response['type'], messageId, token, code, options, payload };
}

export function encodeMessage(message: Message): Bytes {
  if (message.kind === 'empty') {
    const bytes = takeFromSlab(headerLength);
    writeHeader(bytes, typeNumber[message.type], 0, 0, message.messageId);
    return bytes;
  }
  const { token, options, payload } = message;
  let length = headerLength + token.length + (payload.length === 0 ? 0 : 1 + payload.length);
  let number = 0;
  for (const option of options.list) {
    length += 1 + extensionLength(option.number - number) + extensionLength(option.value.length) + option.value.length;
    number = option.number;
  }

  const bytes = takeFromSlab(length);
  writeHeader(bytes, typeNumber[message.type], token.length, message.code, message.messageId);
  bytes.set(token, headerLength);
  let at = headerLength + token.length;
  number = 0;
  for (const { number: next, value } of options.list) {
    const delta = next - number;
    number = next;
    const head = at++;
    const deltaNibble = nibble(delta);
    const lengthNibble = nibble(value.length);
    bytes[head] = (deltaNibble << 4) | lengthNibble;
    at = writeExtension(bytes, at, deltaNibble, delta);
    at = writeExtension(bytes, at, lengthNibble, value.length);
    if (value.length > 0) bytes.set(value, at);
    at += value.length;
  }
  if (payload.length > 0) {
    bytes[at++] = payloadMarker;
    bytes.set(payload, at);
  }
  return bytes;
}

function fault(reason: MessageFault['reason'], reject: number | undefined): MessageFault {
  return { kind: 'fault', reason, reject };
}

function writeHeader(bytes: Bytes, type: number, tokenLength: number, code: number, messageId: number): void {
  bytes[0] = (version << 6) | (type << 4) | tokenLength;
  bytes[1] = code;
  bytes[2] = messageId >>> 8;
  bytes[3] = messageId;
}

/** Deltas and lengths: up to 12 in the nibble, up to 268 in one more byte, up to 65804 in two more (RFC 7252 §3.1). */
function nibble(value: number): number {
  return value < 13 ? value : value < 269 ? 13 : 14;
}

function extensionLength(value: number): number {
  return value < 13 ? 0 : value < 269 ? 1 : 2;
}

function writeExtension(bytes: Bytes, at: number, kind: number, value: number): number {
  if (kind < 13) return at;
  if (kind === 13) {
    bytes[at] = value - 13;
    return at + 1;
  }
  bytes[at] = (value - 269) >>> 8;
  bytes[at + 1] = value - 269;
  return at + 2;
}

const version = 1;
const headerLength = 4;
export const maxTokenLength = 8;
const maxOptionNumber = 0xffff;
const payloadMarker = 0xff;
const typeNumber = { CON: 0, NON: 1, ACK: 2, RST: 3 } as const;
const typeName = ['CON', 'NON', 'ACK', 'RST'] as const;
