import t from 'tap';
import { Observe, type Options } from '../../../src/coap/codec/option.ts';
import { codeOf, hrefsOf, Registrar, registerLinks, textOrCode } from '../../support/registrar.ts';

t.test('§6.2, an observed lookup tells what changed, once for many changes, and nothing else', async t => {
  const registrar = new Registrar();
  const base = 'base=coap://[2001:db8:3::124]';
  const observe = { options: (options: Options) => options.with(Observe, 0) };
  const light = 'rt="tag:example.org,2020:light"';
  const first = registrar.get('/rd-lookup/res?rt=tag:example.org,2020:light', observe);
  t.equal(textOrCode(first), '');
  t.ok(first.options.has(Observe));
  t.equal(registrar.service.nextNotification(), undefined);
  const later = (seconds = 2) => {
    registrar.now = (registrar.now + seconds * 1000) as typeof registrar.now;
    return registrar.notifications();
  };

  const lamps = registerLinks(registrar, `ep=lamps&lt=100&${base}`, `</west>;${light},</south>;${light}`);
  registerLinks(registrar, 'ep=other', '</x>;rt=other');
  registerLinks(registrar, `ep=lamps&lt=100&${base}`, `</west>;${light},</south>;${light},</east>;${light}`);
  const [told, more] = later();
  t.equal(more, undefined, 'one for all of them');
  t.ok(told!.options.get(Observe)! > first.options.get(Observe)!);
  t.strictSame(
    hrefsOf(told!),
    ['west', 'south', 'east'].map(name => `coap://[2001:db8:3::124]/${name}`),
  );

  registrar.update(lamps);
  t.strictSame(later(), [], 'a refresh changes nothing that is shown');
  registrar.update(lamps, { query: 'foo=bar' });
  t.strictSame(later(), [], 'nor does an attribute of the endpoint change its links');
  registrar.update(lamps, { query: 'base=coap://moved.example.com' });
  t.strictSame(hrefsOf(later()[0]!)[0], 'coap://moved.example.com/west');
  t.equal(textOrCode(later(200)[0]!), '', 'its lifetime ends');
  t.strictSame(later(200), []);

  registrar.get('/rd-lookup/res?rt=tag:example.org,2020:light', {
    options: options => options.with(Observe, 1),
  });
  registerLinks(registrar, `ep=lamps&${base}`, `</west>;${light}`);
  t.strictSame(later(), [], 'who cancelled is not told');
});

t.test('who asks to observe once more would take the answer, and what follows, for older than what he has', async t => {
  let registrar = new Registrar();
  const sequences: number[] = [];
  const ask = (observe: number) => {
    const reply = registrar.get('/rd-lookup/ep', { options: options => options.with(Observe, observe) });
    if (observe === 0) sequences.push(reply.options.get(Observe)!);
  };
  const change = (name: string) => {
    registerLinks(registrar, `ep=${name}`, '</x>');
    registrar.now = (registrar.now + 2000) as typeof registrar.now;
    for (const told of registrar.notifications()) sequences.push(told.options.get(Observe)!);
  };
  ask(0);
  for (const name of ['a', 'b', 'c']) change(name);
  ask(0);
  change('d');
  ask(1);
  ask(0);
  change('e');
  const { now } = registrar;
  registrar = new Registrar();
  registrar.now = (now + 1000) as typeof now;
  ask(0);
  change('f');
  t.equal(sequences.length, 10);
  for (let i = 1; i < sequences.length; i++) {
    const ahead = (sequences[i]! - sequences[i - 1]! + 2 ** 24) % 2 ** 24;
    t.ok(ahead > 0 && ahead < 2 ** 23, `${i}: ${sequences[i - 1]}, then ${sequences[i]} (RFC 7641 §4.4)`);
  }
});

t.test('each update of a device would have everybody who observes others search again', async t => {
  const registrar = new Registrar();
  const observe = { options: (options: Options) => options.with(Observe, 0) };
  registerLinks(registrar, 'ep=first&lt=9000', '</x>');
  const second = registerLinks(registrar, 'ep=second&lt=100', '</x>');
  registrar.get('/rd-lookup/ep?count=1', observe);
  const due = registrar.service.nextNotification();
  for (let n = 0; n < 3; n++) registrar.update(second);
  t.equal(registrar.service.nextNotification(), due, 'its lifetime goes on, and that is all');

  await t.test('and one that was lapsed would not be found again', async t => {
    registrar.get('/rd-lookup/ep?ep=second', observe, { association: 2 });
    registrar.now = (registrar.now + 110_000) as typeof registrar.now;
    t.equal(textOrCode(registrar.notifications().at(-1)!), '', 'its lifetime ended');
    registrar.update(second);
    registrar.now = (registrar.now + 2000) as typeof registrar.now;
    t.match(textOrCode(registrar.notifications().at(-1)!), /ep="second"/, 'within its grace it is back');
  });
});

t.test('observers are bounded, for each peer and in all', async t => {
  const registrar = new Registrar();
  const observes = (association: number, path = '/rd-lookup/ep') =>
    registrar.get(path, { options: options => options.with(Observe, 0) }, { association }).options.has(Observe);
  for (let peer = 1; peer <= 64; peer++) t.ok(observes(peer), `observer ${peer}`);
  t.notOk(observes(65), 'one too many is answered, and not told more');
  t.ok(observes(64), 'the same token again takes no more room');
  registrar.service.forget(1 as never);
  t.ok(observes(65), 'room for another when one has gone');
  t.equal(codeOf(registrar.get('/rd-lookup/ep', { options: o => o.with(Observe, 0) }, { proved: false })), '4.01');
});
