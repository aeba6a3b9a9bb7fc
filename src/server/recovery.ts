import type { DtlsEndpoint } from '../dtls/endpoint.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { Row } from '../fleet/names.ts';
import type { Store } from '../fleet/store.ts';
import type { Service } from '../service/service.ts';
import type { Datapath } from './datapath.ts';

/**
 * Goes on where an earlier process ended, before the first datagram: its sessions live, and the lifetimes of its
 * registrations run. Returns how many sessions there are.
 */
export function recover({ datapath, dtls, service, store }: RecoveredParts): number {
  const sessions = datapath.restore(store.sessions());
  for (const page of devicePages(store)) {
    for (const record of page) {
      service.stored(record);
      // Each change is in the registry with the number of the record it came in: no mark of its own has to be written.
      const { association, sequence } = record.lastExchange ?? {};
      if (association !== undefined && sequence !== undefined) dtls.raiseReadMark(association, sequence);
    }
  }
  // So is each last value: what brought it must not bring it again.
  for (const { peer, sequence } of store.valueRecords()) dtls.raiseReadMark(peer, sequence);
  datapath.restoreDevices(store.rowsWithWork());
  return sessions;
}

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

interface RecoveredParts {
  readonly datapath: Datapath;
  readonly dtls: DtlsEndpoint;
  readonly service: Service;
  readonly store: Store;
}

const pageLength = 500;
