import coapPacket from 'coap-packet';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { concatBytes, fromHex, noBytes, toHex, utf8 } from '../../../src/base/bytes.ts';
import { codeText, isIdempotent, Method, methodName, ResponseCode } from '../../../src/coap/codec/code.ts';
import { formatLinks, parseLinks } from '../../../src/coap/codec/linkFormat.ts';
import { decodeMessage, encodeMessage, type Message } from '../../../src/coap/codec/message.ts';
import {
  ContentFormat,
  Echo,
  isCritical,
  knownOption,
  MaxAge,
  Observe,
  Options,
  Size1,
  UriPath,
  UriQuery,
} from '../../../src/coap/codec/option.ts';

t.test('what is no CoAP message is a fault, and rejected only if it was Confirmable', async t => {
  const rejected = 0x1234;
  const table: readonly [what: string, hex: string, reason: string, reject?: number][] = [
    ['nothing at all', '', 'too-short'],
    ['half a header', '400112', 'too-short'],
    ['another version', '80011234', 'version'],
    ['a reserved token length', '49011234000000000000000000', 'token-length', rejected],
    ['the longest nibble as token length', '4f011234', 'token-length', rejected],
    ['a token that ends early', '4401123401', 'too-short', rejected],
    ['the same, Non-confirmable', '5401123401', 'too-short'],
    ['a marker without a payload', '40011234ff', 'payload-marker', rejected],
    ['a marker without a payload, Non-confirmable', '50011234ff', 'payload-marker'],
    ['a reserved option delta', '40011234f0', 'option', rejected],
    ['a reserved option length', '400112340f', 'option', rejected],
    ['an option that is longer than what is left', '40011234b5', 'option', rejected],
    ['an extended delta that is missing', '40011234d0', 'option', rejected],
    ['half of a two-byte delta', '40011234e000', 'option', rejected],
    ['half of a two-byte length', '400112340e00', 'option', rejected],
    ['an option number beyond 65535', '40011234e0fff0e0fff0', 'option', rejected],
    ['an empty message with a token', '4100123400', 'empty-with-content', rejected],
    ['an empty message with bytes behind it', '40001234ff00', 'empty-with-content', rejected],
    ['an empty Non-confirmable message', '50001234', 'type-for-code'],
    ['a request in an ACK', '60011234', 'type-for-code'],
    ['a request in an RST', '70011234', 'type-for-code'],
    ['a response in an RST', '70451234', 'type-for-code'],
    ['class 1', '40211234', 'reserved-class', rejected],
    ['class 3', '50611234', 'reserved-class'],
    ['class 6', '40c11234', 'reserved-class', rejected],
    ['class 7, of the signals of CoAP over TCP', '40e11234', 'reserved-class', rejected],
  ];
  for (const [what, hex, reason, reject] of table) {
    t.match(decodeMessage(fromHex(hex)!), { kind: 'fault', reason, reject }, what);
  }
});

t.test('nothing a peer sends makes the decoder throw, and what decodes encodes to the same meaning', async t => {
  holds(
    t,
    fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
      const message = decodeMessage(bytes);
      return message.kind === 'fault' || sameMessage(decodeMessage(encodeMessage(message)), message);
    }),
    { numRuns: 2000 },
  );
  holds(
    t,
    fc.property(anyMessage, fc.nat(), (message, cut) => {
      const bytes = encodeMessage(message);
      decodeMessage(bytes.subarray(0, cut % bytes.length));
    }),
  );
});

t.test('every message comes back from its bytes', async t => {
  holds(
    t,
    fc.property(anyMessage, message => sameMessage(decodeMessage(encodeMessage(message)), message)),
  );
});

t.test("node-coap's codec writes the same bytes, and reads ours", async t => {
  holds(
    t,
    fc.property(anyMessage, message => {
      const ours = encodeMessage(message);
      const theirs = coapPacket.generate(packetOf(message), 65_536);
      if (toHex(ours) !== toHex(theirs)) throw new Error(`${toHex(ours)} and ${toHex(theirs)}`);
      const parsed = coapPacket.parse(Buffer.from(ours));
      const options = message.kind === 'empty' ? [] : message.options.list;
      if (parsed.options.length !== options.length) throw new Error('another number of options');
      for (const [i, { value }] of parsed.options.entries()) {
        if (toHex(value as Buffer) !== toHex(options[i]!.value)) throw new Error('another value');
      }
    }),
  );
});

t.test("what node-coap's codec refuses we refuse, and what only we refuse is what RFC 7252 forbids", async t => {
  const strict = new Set<string>();
  holds(
    t,
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 24 }), bytes => {
      // Half of the time the start of a plausible message, so that options are reached.
      const datagram = bytes[0]! % 2 === 0 ? bytes : concatBytes(Uint8Array.of(0x41, 0x02), bytes);
      const message = decodeMessage(datagram);
      if (message.kind === 'fault') {
        strict.add(message.reason);
        return;
      }
      const theirs = coapPacket.parse(Buffer.from(datagram));
      if (theirs.messageId !== message.messageId) throw new Error('another message ID');
      if (message.kind === 'empty') return;
      if (theirs.code !== codeText(message.code)) throw new Error('another code');
      if (toHex(theirs.token) !== toHex(message.token)) throw new Error('another token');
      if (toHex(theirs.payload) !== toHex(message.payload)) throw new Error('another payload');
    }),
    { numRuns: 5000 },
  );
  t.ok(strict.size >= 5, `the run met ${[...strict].join(', ')}`);
});

t.test('an option says by its number whether it may be ignored, and by its length whether it is one', async t => {
  for (const number of [1, 3, 7, 11, 35, 65_001]) t.ok(isCritical(number), String(number));
  for (const number of [4, 6, 60, 252, 292]) t.notOk(isCritical(number), String(number));
  t.equal(knownOption(11), UriPath);
  t.equal(knownOption(9), undefined);
  const options = Options.inOrder([
    { number: 6, value: fromHex('0000000001')! },
    { number: 12, value: fromHex('01003c')! },
    { number: 14, value: fromHex('000e10')! },
    { number: 252, value: noBytes },
  ]);
  t.equal(options.get(Observe), undefined, 'an Observe of five bytes is none');
  t.equal(options.get(ContentFormat), undefined, 'nor is a Content-Format of three');
  t.equal(options.get(MaxAge), 3600, 'leading zeros are tolerated');
  t.equal(options.get(Echo), undefined, 'an empty Echo is none');
});

t.test('options stay in order, and the same number keeps the order of its values', async t => {
  const options = Options.empty
    .with(UriQuery, 'a=1')
    .with(UriPath, 'rd')
    .with(UriQuery, 'b=2')
    .with(UriPath, 'x')
    .with(Observe, 0);
  t.same(
    options.list.map(({ number }) => number),
    [6, 11, 11, 15, 15],
  );
  t.same(options.all(UriPath), ['rd', 'x']);
  t.same(options.all(UriQuery), ['a=1', 'b=2']);
  t.notOk(options.without(UriPath).has(UriPath));
  t.equal(options.without(Size1), options, 'nothing to leave out, nothing made');
  t.equal(Options.empty.list.length, 0);
  for (const [value, hex] of [
    [0, ''],
    [255, 'ff'],
    [256, '0100'],
    [65_536, '010000'],
    [4_294_967_295, 'ffffffff'],
  ] as const) {
    t.equal(toHex(Size1.encode(value)), hex);
    t.equal(Size1.decode(fromHex(hex)!), value);
  }
});

t.test('codes print themselves, those that nobody knows too', async t => {
  t.equal(codeText(ResponseCode.Created), '2.01');
  t.equal(codeText(0xbf), '5.31');
  t.equal(methodName(Method.iPATCH), 'iPATCH');
  t.equal(methodName(0x1f), '0.31');
  t.same([Method.GET, Method.PUT, Method.DELETE, Method.FETCH, Method.iPATCH].map(isIdempotent), Array(5).fill(true));
  t.same([Method.POST, Method.PATCH].map(isIdempotent), [false, false]);
});

t.test('malformed link-format is refused whole', async t => {
  for (const text of [
    '</1',
    '1>',
    '</1>;',
    '</1>;=3',
    '</1>;ver=',
    '</1>;ver="1.0',
    '</1>;title="a\\',
    '</1>,',
    '</1>,,</2>',
    '</1> </2>',
    '</a b>',
    '<<1>>',
    '</1>;a b',
    '</\u0000>',
  ]) {
    t.equal(parseLinks(text), undefined, JSON.stringify(text));
  }
  t.equal(parseLinks(Array(1025).fill('</1>').join(',')), undefined, 'too many links');
  t.equal(parseLinks(Array(1024).fill('</1>').join(','))?.length, 1024);
});

t.test('links that clients in the field send are read', async t => {
  t.same(parseLinks(''), []);
  t.match(parseLinks('</1/0>,\r\n </3/0>'), [{ href: '/1/0' }, { href: '/3/0' }]);
  t.match(
    parseLinks('</1>;ver=1.1;ver=2.0'),
    [{ attributes: { ver: '1.1' } }],
    'of an attribute twice the first counts',
  );
  t.match(parseLinks('<>;rt="oma.lwm2m"'), [{ href: '' }]);
  t.match(parseLinks('</1>;title="a \\"b\\", <c>;d"'), [{ attributes: { title: 'a "b", <c>;d' } }]);
  t.match(parseLinks("</1>;obs;title*=UTF-8''x"), [{ attributes: { obs: true, 'title*': "UTF-8''x" } }]);
  const [polluted] = parseLinks('</1>;__proto__=x')!;
  t.equal(Object.getPrototypeOf(polluted!.attributes), null);
  t.equal(({} as Record<string, unknown>).x, undefined, 'an attribute is a value and no prototype');
});

t.test('links come back from their text', async t => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,7}$/);
  const value = fc.oneof(fc.constant(true as const), fc.string({ maxLength: 12 }));
  const link = fc.record({
    href: fc.stringMatching(/^\/[a-z0-9/._~-]{0,12}$/),
    attributes: fc.dictionary(name, value, { maxKeys: 4 }),
  });
  holds(
    t,
    fc.property(fc.array(link, { minLength: 1, maxLength: 5 }), links => {
      const again = parseLinks(formatLinks(links));
      const flat = (list: readonly { href: string; attributes: object }[]) =>
        JSON.stringify(list.map(({ href, attributes }) => [href, Object.entries(attributes)]));
      return again !== undefined && flat(again) === flat(links);
    }),
  );
});

const bytesUpTo = (maxLength: number) => fc.uint8Array({ maxLength });
const anyOptions = fc
  .array(fc.tuple(fc.nat({ max: 65_535 }), bytesUpTo(300)), { maxLength: 6 })
  .map(list => Options.inOrder(list.map(([number, value]) => ({ number, value })).sort((a, b) => a.number - b.number)));
const content = { messageId: fc.nat({ max: 65_535 }), token: bytesUpTo(8), options: anyOptions };
// node-coap takes a payload that is empty as text for none: a payload of zero bytes only would be such a one.
const payload = fc.oneof(fc.constant(noBytes), fc.string({ minLength: 1, maxLength: 40 }).map(utf8));
const anyMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    kind: fc.constant('request' as const),
    type: fc.constantFrom('CON' as const, 'NON' as const),
    code: fc.integer({ min: 1, max: 31 }),
    ...content,
    payload,
  }),
  fc.record({
    kind: fc.constant('response' as const),
    type: fc.constantFrom('CON' as const, 'NON' as const, 'ACK' as const),
    code: fc.oneof(fc.integer({ min: 64, max: 95 }), fc.integer({ min: 128, max: 191 })),
    ...content,
    payload,
  }),
  fc.record({
    kind: fc.constant('empty' as const),
    type: fc.constantFrom('CON' as const, 'ACK' as const, 'RST' as const),
    messageId: fc.nat({ max: 65_535 }),
  }),
);

function packetOf(message: Message): coapPacket.Packet {
  const base = {
    messageId: message.messageId,
    confirmable: message.type === 'CON',
    ack: message.type === 'ACK',
    reset: message.type === 'RST',
  };
  if (message.kind === 'empty') return { ...base, code: '0.00' };
  return {
    ...base,
    code: codeText(message.code),
    token: Buffer.from(message.token),
    payload: Buffer.from(message.payload),
    options: message.options.list.map(({ number, value }) => ({ name: number, value: Buffer.from(value) })),
  };
}

function sameMessage(a: ReturnType<typeof decodeMessage>, b: Message): boolean {
  return a.kind !== 'fault' && flat(a) === flat(b);
}

function flat(message: Message): string {
  const { kind, type, messageId } = message;
  if (message.kind === 'empty') return `${kind} ${type} ${messageId}`;
  const options = message.options.list.map(({ number, value }) => `${number}=${toHex(value)}`);
  return [kind, type, messageId, message.code, toHex(message.token), ...options, toHex(message.payload)].join(' ');
}

/** A property as an assertion of the test, with its smallest counterexample if it does not hold. */
function holds<T>(t: Test, property: fc.IProperty<T>, parameters?: fc.Parameters<T>): void {
  t.doesNotThrow(() => fc.assert(property, parameters));
}
