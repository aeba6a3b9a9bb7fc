import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import t from 'tap';
import { utf8 } from '../../src/base/bytes.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { ResponseCode } from '../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage } from '../../src/coap/codec/message.ts';
import { Options, UriPath } from '../../src/coap/codec/option.ts';
import { TestServer } from '../support/server.ts';

t.test('a server that was sent junk still answers', async t => {
  const server = await TestServer.start();
  t.teardown(() => server.remove());
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  const random = new SeededRandom(3);
  const portOf = (address: string) => Number(address.split(':')[1]);
  for (let i = 0; i < 500; i++) {
    socket.send(random.bytes(random.below(200)), portOf(i % 2 === 0 ? server.coap : server.coaps), '127.0.0.1');
  }

  const answers: number[] = [];
  for (const path of [['.well-known', 'core'], ['rd']]) {
    const options = path.reduce((before, segment) => before.with(UriPath, segment), Options.empty);
    const code = path.length === 1 ? 0x02 : 0x01;
    const token = utf8(`t${path.length}`);
    const messageId = 60_000 + path.length;
    const request = {
      kind: 'request',
      type: 'CON',
      messageId,
      token,
      code,
      options,
      payload: new Uint8Array(),
    } as const;
    socket.send(encodeMessage(request), portOf(server.coap), '127.0.0.1');
    for (let answered = false; !answered; ) {
      const [datagram] = (await once(socket, 'message')) as [Buffer];
      const message = decodeMessage(new Uint8Array(datagram));
      if (message.kind !== 'response' || message.messageId !== messageId) continue;
      answers.push(message.code);
      answered = true;
    }
  }
  t.strictSame(answers, [ResponseCode.Content, ResponseCode.Unauthorized]);
  t.equal(await server.end('SIGTERM'), 0);
});
