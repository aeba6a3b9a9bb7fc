import { type Bytes, textOf, toHex } from '../../src/base/bytes.ts';
import { printable } from '../../src/cli/output.ts';
import { codeText, isRequestCode, methodName } from '../../src/coap/codec/code.ts';
import { decodeMessage, type Message } from '../../src/coap/codec/message.ts';
import { knownOption } from '../../src/coap/codec/option.ts';
import { alertName, decodeAlert } from '../../src/dtls/codec/alert.ts';
import { cipherSuiteName, ecdheSuites, pskSuites } from '../../src/dtls/codec/cipherSuite.ts';
import { decodeClientHello, decodeClientHelloStart } from '../../src/dtls/codec/clientHello.ts';
import { decodeClientKeyExchange } from '../../src/dtls/codec/clientKeyExchange.ts';
import { type Extensions, ExtensionType } from '../../src/dtls/codec/extension.ts';
import { decodeFragments, type Fragment, HandshakeType } from '../../src/dtls/codec/handshake.ts';
import { decodeHelloVerifyRequest } from '../../src/dtls/codec/helloVerifyRequest.ts';
import { ContentType, type DtlsRecord, decodeRecord, recordLength } from '../../src/dtls/codec/record.ts';
import { decodeServerHello } from '../../src/dtls/codec/serverHello.ts';

/** What a protected record holds, for whoever has its key. */
export type Opener = (record: DtlsRecord) => { readonly type: number; readonly plaintext: Bytes } | undefined;

/**
 * A datagram in words, one line a thing, indented by what holds it: DTLS records with their handshake messages, or a CoAP
 * message. Whatever it holds, this does not throw.
 */
export function describe(datagram: Bytes, cidLength: number, open: Opener = () => undefined): string[] {
  return looksLikeDtls(datagram) ? records(datagram, cidLength, open) : coap(datagram);
}

export function looksLikeDtls(datagram: Bytes): boolean {
  const [type = 0, major] = datagram;
  return type >= ContentType.changeCipherSpec && type <= ContentType.returnRoutabilityCheck && major === 0xfe;
}

function records(datagram: Bytes, cidLength: number, open: Opener): string[] {
  const lines: string[] = [];
  let at = 0;
  while (at < datagram.length) {
    const record = decodeRecord(datagram, at, cidLength);
    if (record === undefined) break;
    at += recordLength(record);
    lines.push(...describeRecord(record, open));
  }
  if (at < datagram.length)
    lines.push(`${datagram.length - at} bytes that are no record: ${hex(datagram.subarray(at))}`);
  return lines;
}

function describeRecord(record: DtlsRecord, open: Opener): string[] {
  const { type, epoch, sequence, cid, fragment } = record;
  const from = cid.length === 0 ? '' : `, connection ID ${toHex(cid)}`;
  const heading = `record ${nameOf(ContentType, type)}, ${version(record.version)}, epoch ${epoch}, sequence ${sequence}${from}, ${fragment.length} bytes`;
  if (epoch === 0) return [heading, ...indented(content(type, fragment))];
  const opened = open(record);
  if (opened === undefined) return [heading, ...indented(['protected'])];
  const inside = `protected: ${nameOf(ContentType, opened.type)}, ${opened.plaintext.length} bytes`;
  return [heading, ...indented([inside, ...indented(content(opened.type, opened.plaintext))])];
}

function content(type: number, bytes: Bytes): string[] {
  switch (type) {
    case ContentType.handshake: {
      const fragments = decodeFragments(bytes);
      if (fragments === undefined) return [`malformed handshake messages: ${hex(bytes)}`];
      return fragments.flatMap(describeFragment);
    }
    case ContentType.alert: {
      const alert = decodeAlert(bytes);
      return [
        alert === undefined ? `malformed alert: ${hex(bytes)}` : `${alert.level} ${alertName(alert.description)}`,
      ];
    }
    case ContentType.applicationData:
      return coap(bytes);
    default:
      return [hex(bytes)];
  }
}

function describeFragment(fragment: Fragment): string[] {
  const { type, length, messageSequence, offset, body } = fragment;
  const whole = body.length === length;
  const range = whole ? `${length} bytes` : `bytes ${offset} to ${offset + body.length} of ${length}`;
  const heading = `${nameOf(HandshakeType, type)}, message_seq ${messageSequence}, ${range}`;
  const said = whole ? handshake(type, body) : offset === 0 ? firstFragment(type, body) : [];
  return [heading, ...indented(said ?? [`malformed: ${hex(body)}`])];
}

/** `undefined` if it is malformed. */
function handshake(type: number, body: Bytes): string[] | undefined {
  switch (type) {
    case HandshakeType.clientHello: {
      const hello = decodeClientHello(body);
      if (hello === undefined) return undefined;
      return [
        ...helloStart(hello),
        `cookie ${hex(hello.cookie)}`,
        `cipher_suites ${hello.cipherSuites.map(cipherSuiteName).join(' ')}`,
        ...extensions(hello.extensions),
      ];
    }
    case HandshakeType.serverHello: {
      const hello = decodeServerHello(body);
      if (hello === undefined) return undefined;
      return [
        ...helloStart(hello),
        `cipher_suite ${cipherSuiteName(hello.cipherSuite)}`,
        ...extensions(hello.extensions),
      ];
    }
    case HandshakeType.helloVerifyRequest: {
      const request = decodeHelloVerifyRequest(body);
      return request && [`cookie ${hex(request.cookie)}`];
    }
    case HandshakeType.clientKeyExchange: {
      // Without the hello nobody knows which of the two it is: bytes behind the identity tell.
      const exchange = decodeClientKeyExchange(body, pskSuites[0]!) ?? decodeClientKeyExchange(body, ecdheSuites[0]!);
      if (exchange === undefined) return undefined;
      const point = exchange.point === undefined ? [] : [`point ${hex(exchange.point)}`];
      return [`identity ${words(exchange.identity)}`, ...point];
    }
    default:
      return body.length === 0 ? [] : [hex(body)];
  }
}

function firstFragment(type: number, body: Bytes): string[] | undefined {
  if (type !== HandshakeType.clientHello) return [];
  const start = decodeClientHelloStart(body);
  return start && [...helloStart(start), `cookie ${hex(start.cookie)}`];
}

function helloStart(hello: { version: number; random: Bytes; sessionId: Bytes }): string[] {
  return [`version ${version(hello.version)}`, `random ${toHex(hello.random)}`, `session_id ${hex(hello.sessionId)}`];
}

function extensions(all: Extensions): string[] {
  return [...all].map(([type, data]) => `extension ${nameOf(ExtensionType, type)} ${hex(data)}`);
}

function coap(bytes: Bytes): string[] {
  const message = decodeMessage(bytes);
  if (message.kind === 'fault') return [`no CoAP message (${message.reason}): ${hex(bytes)}`];
  if (message.kind === 'empty') return [`CoAP ${message.type} empty, message ID ${message.messageId}`];
  const code = isRequestCode(message.code) ? methodName(message.code) : codeText(message.code);
  const heading = `CoAP ${message.type} ${code}, message ID ${message.messageId}, token ${hex(message.token)}`;
  return [heading, ...indented([...coapOptions(message), ...payload(message.payload)])];
}

function coapOptions({ options }: Exclude<Message, { kind: 'empty' }>): string[] {
  return options.list.map(({ number, value }) => {
    const known = knownOption(number);
    const decoded = known?.decode(value);
    const text = typeof decoded === 'string' || typeof decoded === 'number' ? printable(String(decoded)) : hex(value);
    return `${known?.name ?? `option ${number}`} ${text}`;
  });
}

function payload(bytes: Bytes): string[] {
  return bytes.length === 0 ? [] : [`payload, ${bytes.length} bytes: ${words(bytes)}`];
}

function words(bytes: Bytes): string {
  const text = textOf(bytes);
  return text === undefined || /\p{Control}/u.test(text) ? hex(bytes) : JSON.stringify(text);
}

function hex(bytes: Bytes): string {
  if (bytes.length === 0) return '(empty)';
  return bytes.length <= longest ? toHex(bytes) : `${toHex(bytes.subarray(0, longest))}… (${bytes.length} bytes)`;
}

function version(number: number): string {
  return { 65277: 'DTLS 1.2', 65279: 'DTLS 1.0' }[number] ?? `0x${number.toString(16)}`;
}

function nameOf(values: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(values).find(([, number]) => number === value)?.[0] ?? String(value);
}

function indented(lines: readonly string[]): string[] {
  return lines.map(line => `  ${line}`);
}

const longest = 256;
