import type { DeviceRecord } from '../fleet/device.ts';
import type { Row } from '../fleet/names.ts';
import type { Store } from '../fleet/store.ts';
import type { Service } from '../service/service.ts';

/**
 * Has the lifetimes of all registrations run, a page at a time, while devices are served already: what ends in these
 * first seconds ends a little later. Calls `done` after the last page.
 */
export function recoverLifetimes(
  service: Service,
  store: Store,
  next: (run: () => void) => void,
  done: () => void,
): void {
  const pages = devicePages(store);
  const step = (): void => {
    const { value: page } = pages.next();
    if (page === undefined) return done();
    for (const record of page) service.stored(record);
    next(step);
  };
  step();
}

function* devicePages(store: Store): Generator<readonly DeviceRecord[], undefined> {
  for (let from = 1 as Row; ; ) {
    const page = store.devices(from, pageLength);
    yield page;
    if (page.length < pageLength) return;
    from = (page.at(-1)!.row + 1) as Row;
  }
}

const pageLength = 500;
