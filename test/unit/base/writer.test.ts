import t from 'tap';
import { Writer } from '../../../src/base/writer.ts';

t.test('a byte written where the memory ends is not lost', async t => {
  for (const capacity of [0, 1, 2, 3, 4]) {
    const writer = new Writer(capacity);
    for (let i = 1; i <= 40; i++) writer.u8(i);
    t.same(
      [...writer.finish()],
      Array.from({ length: 40 }, (_, i) => i + 1),
      `from ${capacity} bytes`,
    );
  }
});
