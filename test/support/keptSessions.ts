import type { SessionRow } from '../../src/fleet/session.ts';
import type { Store } from '../../src/fleet/store.ts';

/** All sessions that a restarted server would go on with. */
export function keptSessions(store: Store): SessionRow[] {
  return [...store.sessionHeads()].flatMap(({ credential }) => store.session(credential) ?? []);
}
