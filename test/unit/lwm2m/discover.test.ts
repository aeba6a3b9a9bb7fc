import t from 'tap';
import { utf8 } from '../../../src/base/bytes.ts';
import { formatAttributes, parseAttributes } from '../../../src/lwm2m/attributes.ts';
import { decodeDiscover, encodeDiscover } from '../../../src/lwm2m/content/discover.ts';
import { isContentFault } from '../../../src/lwm2m/content/fault.ts';
import type { Path } from '../../../src/lwm2m/path.ts';

t.test('the examples of LwM2M 1.1 §6.3.2: Discover', async t => {
  const read = (base: string, text: string, root?: string) => {
    const found = decodeDiscover(base as Path, utf8(text), root);
    return isContentFault(found) ? found.reason : found.map(({ path, attributes }) => [path, { ...attributes }]);
  };
  t.same(read('/1/0', '</1/0>,</1/0/0>,</1/0/1>,</1/0/8>'), [
    ['/1/0', {}],
    ['/1/0/0', {}],
    ['/1/0/1', {}],
    ['/1/0/8', {}],
  ]);
  t.same(read('/3/0/7', '</3/0/7>;dim=8;pmin=10;pmax=60;gt=50;lt=42.2,</3/0/7/0>'), [
    ['/3/0/7', { dim: '8', pmin: '10', pmax: '60', gt: '50', lt: '42.2' }],
    ['/3/0/7/0', {}],
  ]);
  t.same(read('/3303', '</3303>;ver=1.1,</3303/0>,</sensors>;rt="x"'), [
    ['/3303', { ver: '1.1' }],
    ['/3303/0', {}],
  ]);
  t.same(read('/3/0', '</lwm2m/3/0>,</lwm2m/3/0/1>', '/lwm2m'), [
    ['/3/0', {}],
    ['/3/0/1', {}],
  ]);
  t.equal(read('/3/0', '</4/0>'), 'wrong-path');
  t.equal(read('/3/0', '</3/0'), 'malformed');
  t.equal(read('/3/0', `</3/0>${',</3/0/1>'.repeat(5000)}`), 'malformed');
  const found = [{ path: '/3/0/7' as Path, attributes: { dim: '8', pmin: '10' } }];
  t.same(decodeDiscover('/3/0' as Path, encodeDiscover(found)), found);
});

t.test('attributes are written in a query, and a name alone takes one away', async t => {
  t.same(formatAttributes({ pmin: 10, gt: -3.5, lt: null }), ['pmin=10', 'gt=-3.5', 'lt']);
  t.same(parseAttributes(['pmin=10', 'gt=-3.5', 'lt', 'con=1']), { pmin: 10, gt: -3.5, lt: null, con: 1 });
  for (const query of ['pmin=', 'pmin=1.5', 'gt=x', 'st=-1', 'edge=2', 'con=yes', 'other=1', '__proto__=1', '=1', '']) {
    t.equal(parseAttributes([query]), undefined, query);
  }
  t.equal(parseAttributes(['pmin=1', 'pmin=1']), undefined);
});
