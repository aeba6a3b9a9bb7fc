import { execFile } from 'node:child_process';
import t from 'tap';
import { type Bytes, textOf, utf8 } from '../../src/base/bytes.ts';
import { encodeBlock } from '../../src/coap/codec/block.ts';
import { codeText, Method, ResponseCode } from '../../src/coap/codec/code.ts';
import { encodeMessage, type Message, type Response } from '../../src/coap/codec/message.ts';
import { Block1, ContentFormat, Echo, Observe, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import { PlainClient, pause } from '../support/plainClient.ts';
import { TestServer } from '../support/server.ts';
import { isInstalled } from '../support/tool.ts';

const keyText = 'sixteen byte key';
const keyHex = Buffer.from(keyText).toString('hex');

/** `/a/b?c=d` as options. */
function uri(text: string): Options {
  const [path, query] = text.split('?');
  let options = Options.empty;
  for (const segment of path!.split('/').slice(1)) options = options.with(UriPath, segment);
  for (const parameter of query?.split('&') ?? []) options = options.with(UriQuery, parameter);
  return options;
}

async function next(client: PlainClient, wanted: (message: Message) => boolean): Promise<Message | undefined> {
  for (let waited = 0; waited < 5000; waited += 10) {
    const found = client.received.find(wanted);
    if (found !== undefined) return found;
    await pause(10);
  }
  return undefined;
}

async function ask(client: PlainClient, code: number, options: Options): Promise<Response> {
  const messageId = client.request({ code, options });
  const message = await next(client, ({ messageId: id, kind }) => kind === 'response' && id === messageId);
  if (message?.kind !== 'response') throw new Error('no answer');
  return message;
}

t.test('an address that nobody proved is sent an Echo, and no more than the limit', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const device = await PlainClient.open(t, server.coap);
  for (let i = 0; i < 8; i++) {
    t.equal(await device.answer(device.register(`ep=node-${i}`, 'manufacturer=Acme')), '2.01');
  }

  const stranger = await PlainClient.open(t, server.coap);
  const discovery = await ask(stranger, Method.GET, uri('/.well-known/core'));
  t.equal(codeText(discovery.code), '2.05', 'discovery is small enough for anybody');
  t.ok(encodeMessage(discovery).length <= 136, `${encodeMessage(discovery).length} bytes`);

  const lookup = uri('/rd-lookup/ep?manufacturer=Acme');
  const refused = await ask(stranger, Method.GET, lookup);
  t.equal(codeText(refused.code), '4.01');
  t.equal(refused.type, 'ACK', 'piggy-backed, so that it is not sent again and again');
  t.equal(refused.payload.length, 0);
  const echo = refused.options.get(Echo)!.slice();

  const forged = echo.slice();
  forged[11]! ^= 1;
  t.equal(
    codeText((await ask(stranger, Method.GET, lookup.with(Echo, forged))).code),
    '4.01',
    'a forged one proves nothing',
  );
  const thief = await PlainClient.open(t, server.coap);
  t.equal(
    codeText((await ask(thief, Method.GET, lookup.with(Echo, echo))).code),
    '4.01',
    'nor one from another address',
  );

  const proved = await ask(stranger, Method.GET, lookup.with(Echo, echo));
  t.equal(codeText(proved.code), '2.05');
  t.ok(encodeMessage(proved).length > 136);
  t.equal(codeText((await ask(stranger, Method.GET, lookup)).code), '2.05', 'once is enough');
  t.equal(codeText((await ask(stranger, Method.GET, uri('/rd-lookup/ep?ep=nobody'))).code), '2.05');
  t.equal(
    codeText((await ask(thief, Method.GET, uri('/rd-lookup/ep?ep=nobody'))).code),
    '2.05',
    'a short answer needs no proof',
  );
});

t.test('a registration in blocks from an address that nobody proved leaves nothing behind before its Echo', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const device = await PlainClient.open(t, server.coap);
  const links = utf8('</3/0>,</3303/0>,</3304/0>,</3305/0>');
  const send = async (number: number, more: boolean, echo?: Bytes) => {
    const block = encodeBlock({ number, more, size: 16 });
    const options = uri('/rd?ep=blocks&lwm2m=1.1').with(ContentFormat, 40).with(Block1, block);
    const payload = links.subarray(16 * number, 16 * number + 16);
    const messageId = device.request({
      code: Method.POST,
      options: echo === undefined ? options : options.with(Echo, echo),
      payload,
    });
    const message = await next(device, ({ messageId: id, kind }) => kind === 'response' && id === messageId);
    if (message?.kind !== 'response') throw new Error('no answer');
    return message;
  };
  const refused = await send(0, true);
  t.equal(codeText(refused.code), '4.01');
  t.equal(codeText((await send(1, true)).code), '4.01', 'nor does a later block help');
  t.equal(codeText((await send(0, true, refused.options.get(Echo)!.slice())).code), '2.31');
  t.equal(codeText((await send(1, true)).code), '2.31');
  t.equal(codeText((await send(2, false)).code), '2.01');
});

t.test('a device registers simply: proved by Echo, asked for its links, answered apart', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const device = await PlainClient.open(t, server.coap);
  const registration = uri('/.well-known/rd?ep=simple&lt=6000');
  const refused = await ask(device, Method.POST, registration);
  t.equal(codeText(refused.code), '4.01');
  t.notOk(
    device.received.some(({ kind }) => kind === 'request'),
    'nobody is asked before',
  );

  const options = registration.with(Echo, refused.options.get(Echo)!);
  const messageId = device.request({ code: Method.POST, options });
  const question = await next(device, ({ kind }) => kind === 'request');
  if (question?.kind !== 'request') throw new Error('was not asked');
  t.strictSame(question.options.all(UriPath), ['.well-known', 'core']);
  t.equal(await device.answer(messageId), 'ACK', 'its request is acknowledged meanwhile');
  device.send(
    encodeMessage({
      kind: 'response',
      type: 'ACK',
      messageId: question.messageId,
      token: question.token,
      code: ResponseCode.Content,
      options: Options.empty.with(ContentFormat, 40),
      payload: utf8('</sen/temp>;rt=temp'),
    }),
  );
  const answer = await next(device, message => message.kind === 'response' && message.type === 'CON');
  if (answer?.kind !== 'response') throw new Error('was not answered');
  t.equal(codeText(answer.code), '2.04');
  device.send(encodeMessage({ kind: 'empty', type: 'ACK', messageId: answer.messageId }));
  const shown = JSON.parse(await server.cli('device', 'show', 'simple', '--json')) as {
    description: { links: unknown };
  };
  t.strictSame(shown.description.links, [{ href: '/sen/temp', attributes: { rt: 'temp' } }]);
});

t.test('whoever observes a lookup is told, until he rejects it', async t => {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const device = await PlainClient.open(t, server.coap);
  const observer = await PlainClient.open(t, server.coap);
  const lookup = uri('/rd-lookup/ep?object=3303').with(Observe, 0);
  const refused = await ask(observer, Method.GET, lookup);
  t.equal(codeText(refused.code), '4.01', 'not to an address that nobody proved');
  const first = await ask(observer, Method.GET, lookup.with(Echo, refused.options.get(Echo)!));
  t.ok(first.options.has(Observe));
  t.equal(first.payload.length, 0);

  const links = { options: uri('/rd?ep=a&lwm2m=1.1').with(ContentFormat, 40), payload: utf8('</3303/0>') };
  await device.answer(device.request({ code: Method.POST, ...links }));
  const told = await next(observer, isNotification);
  if (told?.kind !== 'response') throw new Error('was not told');
  t.match(textOf(told.payload), /ep="a"/);

  await server.cli('device', 'forget', 'a');
  const forgotten = await next(observer, m => isNotification(m) && m !== told);
  if (forgotten?.kind !== 'response') throw new Error('was not told what the operator did');
  t.equal(forgotten.payload.length, 0);
  observer.send(encodeMessage({ kind: 'empty', type: 'RST', messageId: forgotten.messageId }));
  await pause(100);
  await device.answer(device.request({ code: Method.POST, ...links }));
  await pause(1500);
  t.equal(observer.received.filter(isNotification).length, 2);
});

t.test('libcoap looks up over DTLS and, where the operator allows it, without', async t => {
  for (const peer of ['coap-client-openssl', 'coap-client-notls']) {
    if (!(await isInstalled(t, peer, 'libcoap3-bin'))) return;
  }
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const device = await PlainClient.open(t, server.coap);
  for (let i = 0; i < 30; i++) await device.answer(device.register(`ep=node-${i}`, 'manufacturer=Acme'));
  await server.cli('credential', 'add', 'reader', '--role', 'operator', '--key', keyHex);
  const psk = ['-u', 'reader', '-k', keyText];
  const found = (printed: string) => [...printed.matchAll(/ep="(node-\d+)"/g)].length;

  const secure = await libcoap('coap-client-openssl', [
    ...psk,
    `coaps://${server.coaps}/rd-lookup/ep?manufacturer=Acme`,
  ]);
  t.equal(found(secure), 30, 'in several blocks');
  const paged = await libcoap('coap-client-openssl', [...psk, `coaps://${server.coaps}/rd-lookup/ep?page=1&count=7`]);
  t.equal(found(paged), 7);
  const core = await libcoap('coap-client-notls', [`coap://${server.coap}/.well-known/core?rt=core.rd*`]);
  t.match(core, /rd-lookup\/res/);
  const short = await libcoap('coap-client-notls', [`coap://${server.coap}/rd-lookup/ep?ep=node-7`]);
  t.match(short, /ep="node-7"/);
  await t.test('and beside the server the command line finds the same', async t => {
    const list = JSON.parse(
      await server.cli('device', 'list', '--where', 'manufacturer=Acme and ep=node-1*', '--json'),
    ) as unknown[];
    t.equal(list.length, 11);
  });
});

function isNotification(message: Message): boolean {
  return message.kind === 'response' && message.type !== 'ACK' && message.options.has(Observe);
}

/** What it prints; the body of an answer is part of that. */
function libcoap(peer: string, args: readonly string[]): Promise<string> {
  return new Promise(resolve => {
    execFile(peer, ['-B', '5', '-m', 'get', ...args], { timeout: 15_000 }, (_error, stdout, stderr) => {
      resolve(stdout + stderr);
    });
  });
}
