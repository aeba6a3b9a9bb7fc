import type { DtlsEndpoint } from '../dtls/endpoint.ts';
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
  for (let from = 1 as Row; ; ) {
    const page = store.devices(from, pageLength);
    for (const record of page) {
      service.stored(record);
      // Each change is in the registry with the number of the record it came in: no mark of its own has to be written.
      const { association, sequence } = record.lastExchange ?? {};
      if (association !== undefined && sequence !== undefined) dtls.raiseReadMark(association, sequence);
    }
    if (page.length < pageLength) break;
    from = (page.at(-1)!.row + 1) as Row;
  }
  // So is each last value: what brought it must not bring it again.
  for (const { peer, sequence } of store.valueRecords()) dtls.raiseReadMark(peer, sequence);
  datapath.restoreDevices(store.rowsWithWork());
  return sessions;
}

interface RecoveredParts {
  readonly datapath: Datapath;
  readonly dtls: DtlsEndpoint;
  readonly service: Service;
  readonly store: Store;
}

const pageLength = 1000;
