import t from 'tap';
import { fromHex, noBytes, textOf, toHex, utf8 } from '../../src/base/bytes.ts';
import { decodeBlock, encodeBlock } from '../../src/coap/codec/block.ts';
import { codeText, Method, ResponseCode } from '../../src/coap/codec/code.ts';
import { formatLinks, parseLinks } from '../../src/coap/codec/linkFormat.ts';
import { decodeMessage, encodeMessage, type Message } from '../../src/coap/codec/message.ts';
import { Block1, Block2, ETag, Observe, Options, UriPath } from '../../src/coap/codec/option.ts';

const temperature = Options.empty.with(UriPath, 'temperature');
const answer = { code: ResponseCode.Content, options: Options.empty, payload: utf8('22.3 C') };

t.test('the messages of RFC 7252, appendix A, are these bytes', async t => {
  const messages: readonly [figure: string, message: Message, hex: string][] = [
    [
      '16, request',
      request({ messageId: 0x7d34, token: noBytes, options: temperature }),
      `40017d34bb${toHex(utf8('temperature'))}`,
    ],
    [
      '16, response',
      { kind: 'response', type: 'ACK', messageId: 0x7d34, token: noBytes, ...answer },
      `60457d34ff${toHex(utf8('22.3 C'))}`,
    ],
    [
      '17, request',
      request({ messageId: 0x7d35, token: Uint8Array.of(0x20), options: temperature }),
      `41017d3520bb${toHex(utf8('temperature'))}`,
    ],
    [
      '17, response',
      { kind: 'response', type: 'ACK', messageId: 0x7d35, token: Uint8Array.of(0x20), ...answer },
      `61457d3520ff${toHex(utf8('22.3 C'))}`,
    ],
    ['20, empty acknowledgement', { kind: 'empty', type: 'ACK', messageId: 0x7d38 }, '60007d38'],
    ['21, reset', { kind: 'empty', type: 'RST', messageId: 0xad7c }, '7000ad7c'],
  ];
  for (const [figure, message, hex] of messages) {
    t.equal(toHex(encodeMessage(message)), hex, `figure ${figure}`);
    t.same(plain(decodeMessage(fromHex(hex)!)), plain(message), `figure ${figure}, read`);
  }
});

t.test('the messages of RFC 7959, figure 12, are these bytes', async t => {
  const observe = request({
    messageId: 0x1636,
    token: Uint8Array.of(0xfb),
    options: Options.empty.with(Observe, 0).with(UriPath, 'status-icon'),
  });
  t.equal(toHex(encodeMessage(observe)), `41011636fb605b${toHex(utf8('status-icon'))}`);
  const notification = decodeMessage(fromHex('4145af9cfb446f00f392 22f392 d1040b ff00'.replaceAll(' ', ''))!);
  if (notification.kind !== 'response') throw new Error('no response');
  t.equal(codeText(notification.code), '2.05');
  t.equal(toHex(notification.options.get(ETag)!), '6f00f392');
  t.equal(notification.options.get(Observe), 62354);
  t.same(decodeBlock(notification.options.get(Block2)!), { number: 0, more: true, size: 128 });
});

t.test('block values are those of the figures of RFC 7959', async t => {
  // As the figures write them: number, more, size.
  const values: readonly [number, boolean, 16 | 32 | 64 | 128 | 1024, value: number][] = [
    [0, true, 128, 0x0b],
    [1, true, 128, 0x1b],
    [2, false, 64, 0x22],
    [5, false, 64, 0x52],
    [4, true, 32, 0x49],
    [0, false, 16, 0],
    [1_048_575, true, 1024, 0xffffe + 0xf00000],
  ];
  for (const [number, more, size, value] of values) {
    t.equal(encodeBlock({ number, more, size }), value, `${number}/${more ? 1 : 0}/${size}`);
    t.same(decodeBlock(value), { number, more, size });
  }
  t.equal(decodeBlock(0x0f), undefined, 'size exponent 7 is reserved');
  t.equal(toHex(Block1.encode(0)), '', '0/0/16 is an option without a value');
});

t.test('the examples of RFC 6690 and RFC 9176 read as links', async t => {
  const documents: readonly [text: string, links: readonly { href: string; attributes: object }[]][] = [
    ['</sensors>;ct=40', [{ href: '/sensors', attributes: { ct: '40' } }]],
    [
      '</sensors/temp>;rt="temperature-c";if="sensor",</sensors/light>;rt="light-lux";if="sensor"',
      [
        { href: '/sensors/temp', attributes: { rt: 'temperature-c', if: 'sensor' } },
        { href: '/sensors/light', attributes: { rt: 'light-lux', if: 'sensor' } },
      ],
    ],
    [
      '</sensors>;ct=40;title="Sensor Index",<http://www.example.com/sensors/t123>;anchor="/sensors/temp";rel="describedby",</t>;anchor="/sensors/temp";rel="alternate"',
      [
        { href: '/sensors', attributes: { ct: '40', title: 'Sensor Index' } },
        { href: 'http://www.example.com/sensors/t123', attributes: { anchor: '/sensors/temp', rel: 'describedby' } },
        { href: '/t', attributes: { anchor: '/sensors/temp', rel: 'alternate' } },
      ],
    ],
    [
      '</firmware/v2.1>;rt="firmware";sz=262144',
      [{ href: '/firmware/v2.1', attributes: { rt: 'firmware', sz: '262144' } }],
    ],
    ['</rd>;rt=core.rd;ct=40', [{ href: '/rd', attributes: { rt: 'core.rd', ct: '40' } }]],
    [
      '</sensors/temp>;rt=temperature-c;if=sensor,<http://www.example.com/sensors/temp>;anchor="/sensors/temp";rel=describedby',
      [
        { href: '/sensors/temp', attributes: { rt: 'temperature-c', if: 'sensor' } },
        { href: 'http://www.example.com/sensors/temp', attributes: { anchor: '/sensors/temp', rel: 'describedby' } },
      ],
    ],
  ];
  for (const [text, links] of documents) {
    const parsed = parseLinks(text);
    t.same(
      parsed?.map(({ href, attributes }) => ({ href, attributes: { ...attributes } })),
      links,
      text,
    );
    t.same(parseLinks(formatLinks(parsed ?? [])), parsed, 'and written again they say the same');
  }
});

function request(parts: { messageId: number; token: Uint8Array; options: Options }): Message {
  return { kind: 'request', type: 'CON', code: Method.GET, payload: noBytes, ...parts };
}

/** Without classes and views, for a comparison by value. */
function plain(message: ReturnType<typeof decodeMessage>): unknown {
  if (message.kind === 'fault' || message.kind === 'empty') return { ...message };
  const options = message.options.list.map(({ number, value }) => [number, toHex(value)]);
  return { ...message, token: toHex(message.token), payload: textOf(message.payload), options };
}
