import t from 'tap';
import { textOf } from '../../../src/base/bytes.ts';
import { parseLinks } from '../../../src/coap/codec/linkFormat.ts';
import type { Reply } from '../../../src/coap/codec/message.ts';
import { Observe, type Options } from '../../../src/coap/codec/option.ts';
import { type Caller, codeOf, locationOf, Registrar } from '../../support/registrar.ts';

/** Who sees what: operators the fleet, devices themselves. */
const observe = { options: (options: Options) => options.with(Observe, 0) };
const operator: Caller = { operator: 'dashboard', association: 90 };
const names = (reply: Reply): string[] =>
  codeOf(reply) === '2.05'
    ? parseLinks(textOf(reply.payload)!)!.map(({ attributes }) => String(attributes.ep))
    : [codeOf(reply)];

/** Three devices over DTLS, node-1 to node-3, each with two links. */
function fleet(options: ConstructorParameters<typeof Registrar>[0] = { insecureCoap: false }) {
  const registrar = new Registrar(options);
  const devices = ['node-1', 'node-2', 'node-3'].map((psk, i): Caller => ({ psk, association: i + 1, port: 5684 + i }));
  const locations = devices.map(device => {
    const reply = registrar.register({ contentFormat: 40, payload: '</a>;rt=lamp,</b>;rt=lamp' }, device);
    if (codeOf(reply) !== '2.01') throw new Error(codeOf(reply));
    return locationOf(reply);
  });
  return { registrar, devices, locations };
}

t.test('an operator would register, update, remove or report as a device', async t => {
  for (const insecureCoap of [false, true]) {
    const { registrar, locations } = fleet({ insecureCoap });
    const body = { query: 'ep=dashboard', contentFormat: 40, payload: '</a>' };
    for (const refused of [
      registrar.register(body, operator),
      registrar.register({ ...body, query: 'ep=node-1' }, operator),
      registrar.register({ ...body, query: '' }, operator),
      registrar.update(locations[0]!, {}, operator),
      registrar.deregister(locations[0]!, operator),
      registrar.simple('ep=somebody', operator),
      registrar.send({ contentFormat: 110, payload: '[{"n":"/3303/0/5700","v":1}]' }, operator),
    ]) {
      t.equal(codeOf(refused), '4.03');
      t.equal(registrar.refused, 'not-a-device');
    }
    t.equal(registrar.device('dashboard'), undefined, 'and has no record');
    t.equal(registrar.device('node-1')?.state, 'registered');
  }
});

t.test('an operator looks up the fleet, and a device only itself', async t => {
  const { registrar, devices } = fleet();
  t.strictSame(names(registrar.get('/rd-lookup/ep', {}, operator)), ['node-1', 'node-2', 'node-3']);
  for (const [i, device] of devices.entries()) {
    t.strictSame(names(registrar.get('/rd-lookup/ep', {}, device)), [`node-${i + 1}`]);
    t.equal(parseLinks(textOf(registrar.get('/rd-lookup/res?rt=lamp', {}, device).payload)!)!.length, 2);
  }
  t.strictSame(names(registrar.get('/rd-lookup/ep?ep=node-1', {}, devices[1])), [], 'nor by name');
  t.strictSame(names(registrar.get('/rd-lookup/ep', {}, { psk: 'new', association: 9 })), [], 'nor one not registered');
  t.strictSame(names(registrar.get('/rd-lookup/ep')), ['4.01'], 'and nobody without a credential');
});

t.test('a page of a lookup would tell a device how many others there are', async t => {
  const { registrar, devices } = fleet();
  const third = devices[2]!;
  // Where the operator's second page begins is known now; it is not where that of a device begins.
  registrar.get('/rd-lookup/ep?count=1', {}, operator);
  t.strictSame(names(registrar.get('/rd-lookup/ep?page=1&count=1', {}, operator)), ['node-2']);
  t.strictSame(names(registrar.get('/rd-lookup/ep?page=0&count=1', {}, third)), ['node-3']);
  t.strictSame(names(registrar.get('/rd-lookup/ep?page=1&count=1', {}, third)), []);
  t.equal(parseLinks(textOf(registrar.get('/rd-lookup/res?page=1&count=1', {}, third).payload)!)!.length, 1);
  t.equal(parseLinks(textOf(registrar.get('/rd-lookup/res?page=2&count=1', {}, third).payload)!)!.length, 0);
  t.strictSame(names(registrar.get('/rd-lookup/ep?page=1&count=1', {}, operator)), ['node-2']);
});

t.test('a device that observes a lookup would hear of others', async t => {
  const { registrar, devices, locations } = fleet();
  t.ok(registrar.get('/rd-lookup/ep', observe, devices[0]).options.has(Observe));
  registrar.deregister(locations[1]!, devices[1]);
  registrar.update(locations[2]!, { query: 'lt=1000' }, { ...devices[2], port: 9999 });
  registrar.wait(5);
  t.strictSame(registrar.notifications(), []);
  registrar.update(locations[0]!, {}, { ...devices[0], port: 9999 });
  t.strictSame(registrar.notifications().map(names), [['node-1']], 'but of itself it does');
});

t.test('with --open-lookup devices look each other up, as those of a resource directory do', async t => {
  const { registrar, devices } = fleet({ insecureCoap: false, openLookup: true });
  t.strictSame(names(registrar.get('/rd-lookup/ep', {}, devices[0])), ['node-1', 'node-2', 'node-3']);
});

t.test('plain CoAP with --insecure-coap looks up as before', async t => {
  const { registrar } = fleet({ insecureCoap: true });
  t.strictSame(names(registrar.get('/rd-lookup/ep')), ['node-1', 'node-2', 'node-3']);
});

t.test('last values would be there for anybody who knows a name', async t => {
  for (const insecureCoap of [false, true]) {
    const { registrar, devices } = fleet({ insecureCoap });
    for (const caller of [{}, devices[0]!]) {
      for (const path of ['/device', '/device/node-1', '/device/node-1/3303/0/5700', '/device/nobody']) {
        t.equal(codeOf(registrar.get(path, observe, caller)), '4.01', path);
        t.equal(registrar.refused, 'values-need-operator');
      }
      const core = registrar.get('/.well-known/core', {}, caller);
      t.notMatch(textOf(core.payload), /device/, 'nor are they told of it');
    }
    t.equal(codeOf(registrar.update('/device/node-1', {}, operator)), '4.05');
    t.equal(codeOf(registrar.deregister('/device', operator)), '4.05');
  }
});
