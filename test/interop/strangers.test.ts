import t from 'tap';
import { Method } from '../../src/coap/codec/code.ts';
import { encodeMessage, type Request } from '../../src/coap/codec/message.ts';
import { Block2, ContentFormat, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import { PlainClient, pause } from '../support/plainClient.ts';
import { TestServer } from '../support/server.ts';

t.test('nobody on plain CoAP hears more than 136 bytes, or three times what he sent', async t => {
  const server = await TestServer.start();
  t.teardown(() => server.remove());
  const client = await PlainClient.open(t, server.coap);
  const get = (...segments: readonly string[]): Partial<Request> => ({
    code: Method.GET,
    options: segments.reduce((options, segment) => options.with(UriPath, segment), Options.empty),
  });
  const discovery = get('.well-known', 'core');
  const asked: readonly Partial<Request>[] = [
    discovery,
    { ...discovery, type: 'NON' },
    { ...discovery, options: discovery.options!.with(Block2, 6) },
    get('rd-lookup', 'ep'),
    get('rd-lookup', 'res'),
    get('nowhere'),
    get('rd'),
    { options: Options.empty.with(UriPath, 'rd').with(UriQuery, 'ep=a') },
    { options: Options.empty.with(UriPath, 'rd').with(ContentFormat, 60), payload: new Uint8Array(200) },
    { options: Options.empty.with(UriPath, '.well-known').with(UriPath, 'rd').with(UriQuery, 'ep=a') },
    { code: Method.FETCH, options: Options.empty.with(UriPath, 'rd') },
  ];
  for (const parts of asked) {
    const before = client.received.length;
    const messageId = client.request(parts);
    const sent = {
      kind: 'request',
      type: 'CON',
      token: new Uint8Array(2),
      payload: new Uint8Array(),
      code: 2,
    } as const;
    const bytesIn = encodeMessage({ ...sent, messageId, options: Options.empty, ...parts }).length;
    await client.answer(messageId, 500);
    await pause(20);
    const bytesOut = client.received.slice(before).reduce((sum, message) => sum + encodeMessage(message).length, 0);
    t.ok(bytesOut <= Math.max(136, 3 * bytesIn), `${bytesOut} bytes for ${bytesIn}`);
  }
  t.ok(client.received.length >= 6, 'and most is answered');
});
