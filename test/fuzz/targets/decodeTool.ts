import { type Bytes, concatBytes, utf8 } from '../../../src/base/bytes.ts';
import { isCapture, readCapture } from '../../../tools/decode/capture.ts';
import { describe } from '../../../tools/decode/describe.ts';
import { KeyLogOpener } from '../../../tools/decode/keyLog.ts';
import { captureOf } from '../../support/capture.ts';
import { hello } from '../../support/dtlsRaw.ts';
import { ensure, type Target } from '../target.ts';

const coap = concatBytes(Uint8Array.of(0x41, 2, 0, 1, 7, 0xb2), utf8('rd'), Uint8Array.of(0xff), utf8('</1>'));
const keyLog = `CLIENT_RANDOM ${'00'.repeat(32)} ${'11'.repeat(48)}\n`;

/** What people read of captures: bytes of strangers, on their terminal. */
export const targets: readonly Target[] = [
  {
    name: 'capture',
    holds: 'datagrams of a capture lie within it, and what is said of them moves no cursor and ends',
    seeds: [
      captureOf([
        { from: 'client', datagram: hello(1) },
        { from: 'server', datagram: coap },
      ]),
    ],
    words: [
      Uint8Array.of(0x0a, 0x0d, 0x0d, 0x0a),
      Uint8Array.of(0x1a, 0x2b, 0x3c, 0x4d),
      Uint8Array.of(0xa1, 0xb2, 0xc3, 0xd4),
      Uint8Array.of(0x45, 0),
      Uint8Array.of(0x60),
      Uint8Array.of(0x81, 0),
    ],
    weight: 4,
    maxLength: 1024,
    check: bytes => {
      if (!isCapture(bytes)) return;
      const opener = new KeyLogOpener(keyLog);
      let length = 0;
      for (const { from, to, payload } of readCapture(bytes)) {
        ensure(payload.buffer === bytes.buffer, 'bytes from elsewhere');
        length += payload.length;
        ensure(/^(\d+(\.\d+){3}|\[[0-9a-f:]+\]):\d+$/.test(from), 'no address', from);
        checkWords(payload, describe(payload, 8, opener.datagram(from, to, payload, 8)));
      }
      ensure(length <= bytes.length, 'more than there is', length);
    },
  },
  {
    name: 'describe',
    holds: 'a datagram in words is text of a bounded length, without control characters',
    seeds: [hello(1), coap],
    words: [Uint8Array.of(0xfe, 0xfd), Uint8Array.of(22, 0xfe, 0xfd), Uint8Array.of(0xff)],
    check: bytes => {
      for (const cidLength of [0, 8]) checkWords(bytes, describe(bytes, cidLength));
    },
  },
];

function checkWords(datagram: Bytes, lines: readonly string[]): void {
  for (const line of lines) ensure(!/\p{Control}/u.test(line), 'it steers the terminal', line);
  const length = lines.reduce((sum, line) => sum + line.length, 0);
  ensure(length <= 400 + 80 * datagram.length, 'many words', length, datagram.length);
}
