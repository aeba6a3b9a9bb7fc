import fc from 'fast-check';
import t from 'tap';
import { FifoMap } from '../../../src/base/fifoMap.ts';

t.test('it is a Map whose first entry is at hand, whatever is set and deleted', async () => {
  const key = fc.integer({ min: 0, max: 12 });
  const step = fc.oneof(
    fc.record({ set: key, value: fc.integer() }),
    fc.record({ delete: key }),
    fc.constant({ takeOldest: true }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), steps => {
      const map = new FifoMap<number, number>();
      const model = new Map<number, number>();
      for (const each of steps) {
        if ('set' in each) {
          map.set(each.set, each.value);
          model.delete(each.set);
          model.set(each.set, each.value);
        } else if ('delete' in each) {
          if (map.delete(each.delete) !== model.delete(each.delete)) return false;
        } else {
          const [oldest] = model.keys();
          if (map.oldestKey() !== oldest) return false;
          if (oldest !== undefined) {
            map.delete(oldest);
            model.delete(oldest);
          }
        }
        if (map.size !== model.size || JSON.stringify([...map]) !== JSON.stringify([...model])) return false;
        const [first] = model;
        if (map.oldestKey() !== first?.[0] || map.oldest() !== first?.[1]) return false;
      }
      return true;
    }),
  );
});

t.test('an entry that stays is still the oldest after much came and went behind it', async t => {
  const map = new FifoMap<number, number>();
  map.set(-1, 0);
  for (let i = 0; i < 100_000; i++) {
    map.set(i, i);
    map.delete(i);
  }
  t.equal(map.size, 1);
  t.equal(map.oldestKey(), -1);
});
