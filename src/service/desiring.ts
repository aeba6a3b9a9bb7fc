import type { Peer } from '../base/peer.ts';
import { codeText } from '../coap/codec/code.ts';
import type { RequestFault } from '../coap/exchange.ts';
import { type Desired, delivered, isNotKept, refusedWith, tried } from '../fleet/desired.ts';
import type { FleetRules, Registered } from '../fleet/registration.ts';
import { type Commit, emptyCommit } from '../fleet/store.ts';
import { isContentFault } from '../lwm2m/content/fault.ts';
import type { Dossier } from './dossier.ts';
import type { DownlinkOut } from './downlinkOut.ts';
import { writeValue } from './operationOf.ts';
import { draftOf } from './operations.ts';
import { deviceEvent, reported } from './reports.ts';

/**
 * Writes one desired value to the device (LwM2M Core 1.2 §6.3.3, Write of one resource): as often as it takes, since the
 * same value twice is the same. What the device has taken is its last value. Calls `done` once.
 */
export function askToSet(asked: AskedDesired, out: DownlinkOut, done: (outcome: SetOutcome) => void): void {
  const { record, desired, peer, dossier } = asked;
  const { registration } = record;
  const refused = (reason: string) => commitOf(asked, refusedWith(desired, reason, registration, out.now.wall), out);
  if (isNotKept(desired, registration, out.now.wall)) return done({ kind: 'unasked', commit: refused('not-kept') });
  const operation = writeValue(desired.path, desired.value, false, dossier);
  if (isContentFault(operation)) return done({ kind: 'unasked', commit: refused(operation.reason) });
  const handle = out.ask(peer, draftOf(operation, dossier.root), {
    response: ({ code }) => {
      const taken = code >>> 5 === 2;
      const commit = taken
        ? commitOf(asked, delivered(desired, registration, out.now.wall), out)
        : refused(codeText(code));
      done({ kind: 'answered', commit });
    },
    failed: fault => {
      const counts = fault !== 'peer-gone' && fault !== 'queue-full';
      const commit = counts ? commitOf(asked, tried(desired, fault, registration, out.now.wall), out) : undefined;
      done({ kind: 'unanswered', fault, commit });
    },
  });
  if (handle === undefined) done({ kind: 'unanswered', fault: 'queue-full', commit: undefined });
}

function commitOf({ record, desired, dossier, rules }: AskedDesired, next: Desired, out: DownlinkOut): Commit {
  const { row } = record;
  const { path, state, reason, value } = next;
  const { wall } = out.now;
  const commit = { ...emptyCommit, desired: [{ row, path, expected: desired.version, desired: next }] };
  if (state === 'pending') return commit;
  const details = { path, state, ...(reason === undefined ? {} : { reason }) };
  const events = [deviceEvent(rules, 'desired', wall, record, details)];
  if (state !== 'delivered') return { ...commit, events };
  const receipt = { received: wall, source: 'write' as const, peer: undefined, sequence: undefined };
  const { values } = reported([{ path, value }], record, dossier, receipt, out.view());
  return { ...commit, events, values };
}

export interface AskedDesired {
  readonly record: Registered;
  readonly desired: Desired;
  readonly peer: Peer;
  readonly dossier: Dossier;
  readonly rules: FleetRules;
}

/** `unasked`: there was nothing to ask the device. */
export type SetOutcome =
  | { readonly kind: 'answered' | 'unasked'; readonly commit: Commit }
  | { readonly kind: 'unanswered'; readonly fault: RequestFault; readonly commit: Commit | undefined };
