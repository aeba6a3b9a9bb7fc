import fc from 'fast-check';
import t from 'tap';
import { AddressTable } from '../../../src/base/addressTable.ts';
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
