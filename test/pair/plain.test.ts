import t from 'tap';
import { type Bytes, noBytes, utf8 } from '../../src/base/bytes.ts';
import { seconds } from '../../src/base/time.ts';
import { Method } from '../../src/coap/codec/code.ts';
import { decodeMessage, encodeMessage, type Message, type Request } from '../../src/coap/codec/message.ts';
import { ContentFormat, Echo, Options, UriPath, UriQuery } from '../../src/coap/codec/option.ts';
import { observerLimits } from '../../src/service/observers.ts';
import { SmallStranger } from '../support/smallStranger.ts';
import { SmallWorld } from '../support/smallWorld.ts';

t.test('a stranger on plain CoAP would have a victim flooded with long answers', t => {
  const { world, stranger } = fleet();
  const refused = stranger.get('/rd-lookup/ep');
  t.equal(refused.code, '4.01');
  t.ok(refused.heard <= 136, `${refused.heard} bytes for ${refused.sent}`);
  const { echo } = refused;
  const answer = stranger.get('/rd-lookup/ep', { echo });
  t.equal(answer.code, '2.05', 'whoever heard what was sent there is told everything');
  t.ok(answer.heard > 3 * answer.sent && answer.heard > 136);
  t.equal(stranger.get('/rd-lookup/ep').code, '2.05', 'once is enough for a while');
  world.run(seconds(301));
  t.equal(stranger.get('/rd-lookup/ep').code, '4.01', 'and not for ever');
  t.equal(stranger.get('/rd-lookup/ep', { echo }).code, '4.01', 'nor is an old value');
  t.end();
});

t.test('a stranger is told three times as much as he said, and no more', t => {
  const { stranger } = fleet(4);
  const asked = (times: number) => {
    const criteria = Array.from({ length: times }, () => 'ep=device-*');
    return stranger.request({ code: Method.GET, options: query(['rd-lookup', 'ep'], ...criteria) });
  };
  let told = 0;
  for (let times = 1; times <= 16; times++) {
    const { code, sent, heard } = asked(times);
    t.ok(heard <= Math.max(136, 3 * sent), `${heard} bytes for ${sent}`);
    if (code === '2.05') told++;
    else t.equal(told, 0);
  }
  t.ok(told > 4 && told < 12);
  t.end();
});

t.test('what one address heard would count for another', t => {
  const { world, stranger } = fleet();
  const { echo } = stranger.get('/rd-lookup/ep');
  const victim = new SmallStranger(world, 50_001);
  t.equal(victim.get('/rd-lookup/ep', { echo }).code, '4.01');
  t.equal(victim.get('/rd-lookup/ep').code, '4.01');
  t.end();
});

t.test('nobody observes from an address that he has not proved', t => {
  const stranger = new SmallStranger(new SmallWorld({ insecureCoap: true }), 50_000);
  t.equal(stranger.get('/rd-lookup/ep').code, '2.05', 'a short answer is no harm');
  const { code, echo, observe } = stranger.get('/rd-lookup/ep', { observe: true });
  t.strictSame([code, observe], ['4.01', undefined]);
  t.type(stranger.get('/rd-lookup/ep', { observe: true, echo }).observe, 'number');
  t.end();
});

t.test('those who made room on plain CoAP would be counted among those who observe for ever', t => {
  const { world } = fleet();
  for (let n = 0; n < observerLimits.others.all + 10; n++) {
    const stranger = new SmallStranger(world, 52_000 + n);
    const { echo } = stranger.get('/rd-lookup/ep');
    t.type(stranger.get('/rd-lookup/ep', { observe: true, echo }).observe, 'number');
  }
  t.end();
});

t.test('the answer to an address that made room before it was stored would end the server', t => {
  const { world, stranger } = fleet(0);
  const options = query(['rd'], 'ep=late', 'lwm2m=1.1').with(ContentFormat, 40);
  const register: Request = {
    kind: 'request',
    type: 'CON',
    messageId: 1,
    token: noBytes,
    code: Method.POST,
    options,
    payload: utf8('</3/0>'),
  };
  const ping = encodeMessage({ kind: 'empty', type: 'CON', messageId: 1 });
  world.toServer(stranger, encodeMessage(register));
  for (let n = 0; n < 16; n++) world.toServer(new SmallStranger(world, 52_000 + n), ping);
  world.run(100);
  t.strictSame(stranger.received, [], 'nobody knows any more where it was');
  world.toServer(stranger, encodeMessage({ ...register, messageId: 2 }));
  world.run(100);
  t.equal(stranger.received.length, 1, 'it registers again');
  t.end();
});

t.test('the server would ask an address for its links that somebody else gave as his own', t => {
  const { world, stranger } = fleet();
  const register = (echo?: Bytes) => {
    const options = query(['.well-known', 'rd'], 'ep=simple', 'lwm2m=1.1');
    return stranger.request({ code: Method.POST, options: echo === undefined ? options : options.with(Echo, echo) });
  };
  const refused = register();
  t.equal(refused.code, '4.01');
  world.run(seconds(10));
  t.equal(stranger.received.length, 1, 'nothing but the refusal');
  register(refused.echo);
  const asked = stranger.received.map(datagram => decodeMessage(datagram) as Message).filter(isRequest);
  t.strictSame(
    asked.map(({ options }) => options.all(UriPath)),
    [['.well-known', 'core']],
  );
  t.end();
});

t.test('a command for a device on plain CoAP goes to where it registered from, and to nobody else', t => {
  for (const others of [0, 16]) {
    const { world, devices } = fleet();
    // So many that the device had to make room.
    for (let n = 0; n < others; n++) new SmallStranger(world, 50_100 + n).get('/nowhere');
    for (const device of devices) device.received.length = 0;
    world.queue(world.disk.names.get('\0device-0')!, { kind: 'read', paths: ['/3/0/0'] });
    world.run(seconds(1));
    const heard = devices.map(device => device.received.map(datagram => decodeMessage(datagram) as Message));
    t.match(heard[0], [{ kind: 'request', code: Method.GET }], `after ${others} others`);
    t.equal(heard.flat().length, 1);
  }
  t.end();
});

/** A server with some devices: to tell of them takes more than 136 bytes. */
function fleet(count = 8): { world: SmallWorld; devices: SmallStranger[]; stranger: SmallStranger } {
  const world = new SmallWorld({ insecureCoap: true });
  const devices: SmallStranger[] = [];
  for (let n = 0; n < count; n++) {
    const options = query(['rd'], `ep=device-${n}`, 'lwm2m=1.1').with(ContentFormat, 40);
    const device = new SmallStranger(world, 51_000 + n);
    devices.push(device);
    device.request({ code: Method.POST, options, payload: utf8('</3/0>') });
  }
  return { world, devices, stranger: new SmallStranger(world, 50_000) };
}

function query(path: readonly string[], ...parameters: readonly string[]): Options {
  const options = path.reduce((before, segment) => before.with(UriPath, segment), Options.empty);
  return parameters.reduce((before, parameter) => before.with(UriQuery, parameter), options);
}

function isRequest(message: Message): message is Request {
  return message.kind === 'request';
}
