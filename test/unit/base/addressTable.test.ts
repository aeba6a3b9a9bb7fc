import fc from 'fast-check';
import t from 'tap';
import { AddressTable, networkOf } from '../../../src/base/addressTable.ts';
import type { Remote } from '../../../src/base/peer.ts';

const at = (address: string, port = 5684, socket = 0): Remote => ({ socket, address, port });

t.test('an address is found again in every form it can be written in', async t => {
  const table = new AddressTable(8, 1);
  table.set(3, at('2001:db8::1'));
  t.equal(table.find(at('2001:DB8:0:0::1')), 3);
  t.equal(table.find(at('2001:db8::1', 5683)), -1);
  t.equal(table.find(at('2001:db8::1', 5684, 1)), -1);
  table.set(4, at('::ffff:192.0.2.7'));
  t.equal(table.find(at('::ffff:c000:207')), 4);
  t.equal(table.find(at('192.0.2.7')), -1);
  table.set(5, at('192.0.2.7'));
  t.strictSame(table.remote(5), at('192.0.2.7'));
  t.strictSame(table.remote(3).address, '2001:db8:0:0:0:0:0:1');
});

t.test('what is no address has no slot', async t => {
  const table = new AddressTable(8, 1);
  for (const text of ['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '1..2.3', 'localhost', ':::', '1:2', 'g::', '::1::']) {
    t.equal(table.find(at(text)), -1, text);
    t.equal(table.set(0, at(text)), false, text);
  }
});

t.test('a link-local address keeps its zone, without which it cannot be answered', async t => {
  const table = new AddressTable(8, 1);
  table.set(0, at('fe80::1%eth0'));
  t.equal(table.remote(0).address, 'fe80:0:0:0:0:0:0:1%eth0');
});

t.test('the devices of two links would have one place, and the answers of the one go to the other', async t => {
  const table = new AddressTable(8, 1);
  table.set(0, at('fe80::1%eth0'));
  t.equal(table.find(at('fe80::1%eth1')), -1, 'a zone that nobody was in');
  table.set(1, at('fe80::1%eth1'));
  table.set(2, at('fe80::1'));
  t.equal(table.find(at('FE80:0::1%eth0')), 0);
  t.equal(table.find(at('fe80::1%eth1')), 1);
  t.equal(table.find(at('fe80::1')), 2);
  t.equal(table.remote(1).address, 'fe80:0:0:0:0:0:0:1%eth1');
  t.equal(table.remote(2).address, 'fe80:0:0:0:0:0:0:1');
  t.ok(table.is(1, at('fe80::1%eth1')));
  t.notOk(table.is(1, at('fe80::1%eth0')));
  table.release(0);
  t.equal(table.find(at('fe80::1%eth0')), -1);
  t.equal(table.find(at('fe80::1%eth1')), 1);
  t.not(networkOf(at('fe80::1%eth0')), networkOf(at('fe80::1%eth1')), 'they are two networks');
  t.equal(networkOf(at('fe80::1%eth0')), networkOf(at('fe80::2%eth0')));
});

t.test(
  'interfaces that come and go would use up the numbers of zones, and an address would come back with another zone',
  async t => {
    const table = new AddressTable(4, 1);
    for (let n = 0; n < 100; n++) {
      table.set(n % 3, at('fe80::1%stays'));
      table.set(3, at(`fe80::1%veth${n}`));
      t.equal(table.remote(3).address, `fe80:0:0:0:0:0:0:1%veth${n}`);
      table.release(n % 3);
      t.equal(table.remote(n % 3).address, 'fe80:0:0:0:0:0:0:1%stays');
      table.delete(n % 3);
      table.delete(3);
      t.equal(table.find(at(`fe80::1%veth${n}`)), -1);
    }
  },
);

t.test('only a link-local address has a zone', async t => {
  const table = new AddressTable(4, 1);
  for (const text of ['2001:db8::1%eth0', '192.0.2.1%eth0', 'fe80:0:0:1::1%eth0']) {
    t.equal(table.set(0, at(text)), false, text);
  }
});

t.test('the table agrees with a map, whatever comes and goes', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(40), fc.boolean()), { maxLength: 400 }), fc.integer(), (steps, seed) => {
      const table = new AddressTable(32, seed);
      const expected = new Map<string, number>();
      const free = Array.from({ length: 32 }, (_, slot) => slot);
      for (const [n, add] of steps) {
        const remote = at(`10.0.${n % 3}.${n}`, 1000 + n);
        const known = expected.get(remote.address);
        if (add && known === undefined && free.length > 0) {
          const slot = free.pop()!;
          table.set(slot, remote);
          expected.set(remote.address, slot);
        } else if (!add && known !== undefined) {
          table.delete(known);
          expected.delete(remote.address);
          free.push(known);
        }
      }
      for (let n = 0; n <= 40; n++) {
        const remote = at(`10.0.${n % 3}.${n}`, 1000 + n);
        if (table.find(remote) !== (expected.get(remote.address) ?? -1)) return false;
      }
      return true;
    }),
  );
});
