import { type ConnectionIds, connectionIdLength } from '../dtls/connectionId.ts';
import type { ResumptionPort } from '../dtls/resumption.ts';
import type { Store } from '../fleet/store.ts';
import { readResumable } from './sessionForm.ts';

/** The sessions that may be resumed, in the store and nowhere else: `ids` makes names of associations, and back. */
export function resumptionLookup(store: Store, ids: ConnectionIds): ResumptionPort {
  return {
    idOf: origin => ids.of(origin),
    find(sessionId) {
      const origin = sessionId.length === connectionIdLength ? ids.peer(sessionId) : undefined;
      const row = origin && store.view().resumable(origin);
      return row && readResumable(row);
    },
  };
}
