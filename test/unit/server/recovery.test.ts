import t from 'tap';
import type { DeviceRecord } from '../../../src/fleet/device.ts';
import type { Row } from '../../../src/fleet/names.ts';
import type { Store } from '../../../src/fleet/store.ts';
import { recoverLifetimes } from '../../../src/server/recovery.ts';
import type { Service } from '../../../src/service/service.ts';

t.test('after a start the lifetimes of all registrations run, of each once, and others come in between', t => {
  for (const count of [0, 1, 499, 500, 501, 1700]) {
    // Not every row has a record.
    const rows = Array.from({ length: count }, (_, n) => 3 * n + 1);
    const store = {
      devices: (from: number, limit: number) =>
        rows
          .filter(row => row >= from)
          .slice(0, limit)
          .map(row => ({ row })),
    } as unknown as Store;
    const stored: Row[] = [];
    const service = { stored: ({ row }: DeviceRecord) => void stored.push(row) } as unknown as Service;
    const turns: (() => void)[] = [];
    let done = 0;
    recoverLifetimes(
      service,
      store,
      run => turns.push(run),
      () => done++,
    );
    let most = stored.length;
    for (let run = turns.shift(); run !== undefined && stored.length <= count; run = turns.shift()) {
      const before = stored.length;
      run();
      most = Math.max(most, stored.length - before);
    }
    t.strictSame(stored, rows, `${count} devices`);
    t.equal(done, 1);
    t.ok(most <= 500);
  }
  t.end();
});
