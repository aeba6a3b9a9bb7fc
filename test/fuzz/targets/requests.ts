import { type Bytes, textOf, utf8 } from '../../../src/base/bytes.ts';
import { Method } from '../../../src/coap/codec/code.ts';
import { ContentFormats } from '../../../src/coap/codec/contentFormat.ts';
import { decodeMessage, encodeMessage, type Reply } from '../../../src/coap/codec/message.ts';
import { Observe, UriQuery } from '../../../src/coap/codec/option.ts';
import { answers } from '../../../src/service/answer.ts';
import { type Caller, codeOf, Registrar } from '../../support/registrar.ts';
import { Choices } from '../choices.ts';
import { ensure, type Target } from '../target.ts';

const secret = 'hidden-7f3';
const callers: readonly Caller[] = [
  {},
  { psk: 'node' },
  { operator: 'boss' },
  { address: 'fe80::1%eth0', proved: false },
  { psk: 'node', address: '2001:db8::1', rowless: true },
];
const methods = [Method.GET, Method.POST, Method.DELETE, Method.PUT, Method.FETCH, Method.iPATCH, 0x1f];
const formats = [
  undefined,
  ContentFormats.linkFormat,
  ContentFormats.cbor,
  ContentFormats.senmlCbor,
  ContentFormats.senmlJson,
  ContentFormats.lwm2mTlv,
  ContentFormats.text,
  65_000,
];

export const targets: readonly Target[] = [
  {
    name: 'requests',
    holds:
      'whatever anybody asks of any path is answered, by a message that can be sent; and only who may hears of others',
    seeds: [
      ask(0, 0, 0, 0, '/.well-known/core?rt=core.rd*'),
      ask(0, 0, 1, 0, '/.well-known/core?href=/rd'),
      ask(0, 0, 0, 0, '/.well-known/core?constructor=a*'),
      ask(1, 0, 0, 0, '/rd-lookup/ep?ep=node'),
      ask(2, 0, 0, 0, '/rd-lookup/ep?__proto__=a*&toString=a'),
      ask(2, 0, 0, 2, '/rd-lookup/res?rt=temperature&page=1&count=2'),
      ask(2, 0, 0, 0, '/device?where=manufacturer=Acme&count=1'),
      ask(2, 0, 0, 4, '/device/hidden-7f3/3303/0/5700'),
      ask(1, 1, 1, 0, '/rd?ep=node&lt=60&lwm2m=1.1&b=U', '</1/0>,</3303/0>'),
      ask(1, 1, 0, 0, '/rd/0?lt=90'),
      ask(0, 1, 0, 0, '/.well-known/rd?ep=other'),
      ask(1, 1, 4, 0, '/dp', '[{"n":"/3303/0/5700","v":21.5}]'),
      ask(0, 2, 0, 0, '/rd/0'),
    ],
    words:
      `/.well-known/core /.well-known/rd /rd-lookup/ep /rd-lookup/res /device /dp /rd ? & = * ep= rt= href= where= page=
      count= lt= lwm2m= base= d= constructor=* __proto__=* toString hasOwnProperty hidden- %00 </1/0>`
        .split(/\s+/)
        .map(utf8),
    weight: 20,
    check: bytes => {
      const choices = new Choices(bytes);
      const caller = choices.of(callers);
      const method = choices.of(methods);
      const contentFormat = choices.of(formats);
      const accept = choices.of(formats);
      const observes = choices.below(4) === 1;
      const insecureCoap = choices.below(2) === 1;
      const rest = choices.rest();
      const end = rest.indexOf(0x0a);
      const target = textOf(end < 0 ? rest : rest.subarray(0, end));
      if (target === undefined) return;
      const payload = end < 0 ? new Uint8Array() : rest.slice(end + 1);
      const [path = '', ...query] = target.split('?');
      const parameters = query.join('?').split('&').filter(isOption);
      const segments = path.split('/').slice(1).filter(isOption);
      const registrar = new Registrar({ insecureCoap });
      registrar.register({ query: 'lt=60', payload: '</1/0>,</3303/0>;ver=1.1', contentFormat: 40 }, { psk: secret });
      const options = (all: Parameters<NonNullable<Parameters<Registrar['get']>[1]>['options'] & object>[0]) =>
        parameters.reduce((so, parameter) => so.with(UriQuery, parameter), observes ? all.with(Observe, 0) : all);
      const message = {
        payload,
        options,
        ...(contentFormat !== undefined && { contentFormat }),
        ...(accept !== undefined && { accept }),
      };
      const reply = registrar.request(method, ['', ...segments].join('/'), message, caller);
      ensure(/^[245]\./.test(codeOf(reply)), 'no answer', codeOf(reply));
      ensure(
        registrar.refused === undefined || registrar.refused in answers,
        'a word without an answer',
        registrar.refused,
      );
      ensureSendable(reply);
      const mayHear = caller.operator !== undefined || (insecureCoap && caller.psk === undefined);
      if (!mayHear && !target.includes(secret)) {
        ensure(!(textOf(reply.payload) ?? '').includes(secret), 'somebody else is named', target);
      }
    },
  },
];

/** Who asks, how, in which form, for which form, whether it observes, whether plain CoAP is open; what for, and the payload. */
function ask(caller: number, method: number, format: number, accept: number, path: string, payload?: string): Bytes {
  return Uint8Array.of(
    caller,
    method,
    format,
    accept,
    0,
    0,
    ...utf8(payload === undefined ? path : `${path}\n${payload}`),
  );
}

/** The wire has no longer ones. */
function isOption(text: string): boolean {
  return utf8(text).length <= 255;
}

function ensureSendable({ code, options, payload }: Reply): void {
  const token = Uint8Array.of(1);
  const message = encodeMessage({ kind: 'response', type: 'ACK', messageId: 1, token, code, options, payload });
  const read = decodeMessage(message);
  ensure(read.kind === 'response' && read.payload.length === payload.length, 'an answer that nobody can read');
}
