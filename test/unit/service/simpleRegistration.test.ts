import t from 'tap';
import { noBytes, utf8 } from '../../../src/base/bytes.ts';
import { ResponseCode } from '../../../src/coap/codec/code.ts';
import type { Response } from '../../../src/coap/codec/message.ts';
import { ContentFormat, MaxAge, Options, UriPath } from '../../../src/coap/codec/option.ts';
import {
  type Caller,
  codeOf,
  hrefsOf,
  locationOf,
  Registrar,
  registerLinks,
  textOrCode,
} from '../../support/registrar.ts';

/** A device that answers GET /.well-known/core. */
function serving(
  payload: string,
  maxAge?: number,
  { code = ResponseCode.Content as number, format = 40 } = {},
): Caller & { count: number } {
  const caller = {
    count: 0,
    address: '2001:db8:3::5',
    answers: (draft: { options: Options }): Response => {
      caller.count++;
      if (draft.options.all(UriPath).join('/') !== '.well-known/core') throw new Error('asked for something else');
      let options = Options.empty.with(ContentFormat, format);
      if (maxAge !== undefined) options = options.with(MaxAge, maxAge);
      return {
        kind: 'response',
        type: 'ACK',
        messageId: 0,
        token: noBytes,
        code,
        options,
        payload: utf8(payload),
      };
    },
  };
  return caller;
}

t.test('§5.1, simple registration reads the links of the device and answers 2.04', async t => {
  const registrar = new Registrar();
  const device = serving('</sen/temp>');
  const reply = registrar.simple('lt=6000&ep=node1', device);
  t.equal(codeOf(reply), '2.04');
  t.equal(locationOf(reply), '/', 'no location');
  t.strictSame(hrefsOf(registrar.get('/rd-lookup/res?ep=node1')), ['coap://[2001:db8:3::5]/sen/temp']);
  t.match(registrar.device('node1'), { lifetime: 6000, state: 'registered' });

  await t.test('and does not read them again as long as they are fresh', async t => {
    t.equal(codeOf(registrar.simple('lt=6000&ep=node1', device)), '2.04');
    t.equal(device.count, 1);
    registrar.now = (registrar.now + 61_000) as typeof registrar.now;
    t.equal(codeOf(registrar.simple('lt=6000&ep=node1', device)), '2.04');
    t.equal(device.count, 2);
  });
  await t.test('it ends with its lifetime', async t => {
    t.equal(registrar.wait(6000 + 93 + 5), 1);
    t.equal(textOrCode(registrar.get('/rd-lookup/ep')), '');
  });
});

t.test('a simple registration that cannot be is refused before the device is asked', async t => {
  const registrar = new Registrar();
  registerLinks(registrar, 'ep=taken', '</a>', { address: '192.0.2.1' });
  const device = serving('</sen/temp>');
  for (const [query, code, reason, caller] of [
    ['ep=node1&base=coap://x', '4.00', 'bad-query', device],
    ['ep=taken', '4.03', 'name-taken', device],
    ['lt=5', '4.00', 'missing-endpoint-name', device],
    ['ep=node1&lt=0', '4.00', 'bad-lifetime', device],
    ['ep=node1', '4.01', 'address-not-proved', { ...device, proved: false }],
  ] as const) {
    t.equal(codeOf(registrar.simple(query, caller)), code, query);
    t.equal(registrar.refused, reason);
  }
  t.equal(codeOf(registrar.simple('ep=node1', device, { payload: '</a>', contentFormat: 40 })), '4.00');
  t.equal(registrar.asked, 0);

  t.equal(codeOf(registrar.simple('ep=node1', { address: '192.0.2.8', association: 2 })), '5.03', 'it does not answer');
  t.equal(codeOf(registrar.simple('ep=node1', { ...serving('</a', 0), association: 3 })), '4.00', 'or with junk');
  for (const [answer, reason] of [
    [{ code: ResponseCode.NotFound }, 'links-not-read'],
    [{ code: ResponseCode.Changed }, 'links-not-read'],
    [{ format: 0 }, 'content-format'],
  ] as const) {
    registrar.simple('ep=node1', { ...serving('</sen/temp>', 0, answer), association: 4 });
    t.equal(registrar.refused, reason, 'or with something else than its links');
  }
  t.equal(registrar.device('node1'), undefined);
});
