import { type Bytes, noBytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import { codeText } from '../coap/codec/code.ts';
import type { Response } from '../coap/codec/message.ts';
import { Observe } from '../coap/codec/option.ts';
import type { RequestFault } from '../coap/exchange.ts';
import type { ObservationId } from '../coap/observations.ts';
import type { Row } from '../fleet/names.ts';
import { hasAttributes, type Observation, splitObservation } from '../fleet/observation.ts';
import type { FleetRules, Registered } from '../fleet/registration.ts';
import type { Commit } from '../fleet/store.ts';
import { isContentFault } from '../lwm2m/content/fault.ts';
import { type Path, rootPath } from '../lwm2m/path.ts';
import type { Dossier } from './dossier.ts';
import type { DownlinkOut } from './downlinkOut.ts';
import { attributeQuery, compositeFormat, draftOf, observeDraft, preferredFormat } from './operations.ts';
import { deviceEvent, readReport, reported } from './reports.ts';

/**
 * Makes one observation: its attributes first, where there are any (LwM2M Core 1.2 §6.3.5), then Observe, or
 * Observe-Composite, which carries its own. Calls `done` once.
 */
export function askToObserve(asked: AskedObservation, out: DownlinkOut, done: (outcome: ObserveOutcome) => void): void {
  const { observation, peer, dossier } = asked;
  const { paths, attributes } = observation;
  if (paths.length > 1 || !hasAttributes(attributes)) return observe(asked, undefined, out, done);
  const query = attributeQuery(attributes);
  const handle = out.ask(peer, draftOf({ kind: 'write-attributes', paths, query }, dossier.root), {
    // A device that will not have the attributes may still notify as it likes: that it would not is told.
    response: ({ code }) => observe(asked, code >>> 5 === 2 ? undefined : codeText(code), out, done),
    failed: fault => {
      if (fault === 'timeout' || fault === 'peer-gone') return done({ kind: 'unanswered', fault });
      observe(asked, fault, out, done);
    },
  });
  if (handle === undefined) done({ kind: 'unanswered', fault: 'queue-full' });
}

/**
 * Ends an observation with Observe 1 (RFC 7641 §3.6). Whatever the device answers, it is over here: if the device goes on,
 * its next notification is rejected, which ends it too.
 */
export function askToEnd(asked: AskedObservation, out: DownlinkOut, done: (outcome: ObserveOutcome) => void): void {
  const { record, observation, peer, dossier, rules } = asked;
  const { row, generation } = record;
  const { id, paths, version, token } = observation;
  const over = () => {
    if (token !== undefined) out.forgetStanding(peer, token);
    const events = [
      deviceEvent(rules, 'observation', out.now.wall, record, { observation: id, paths, state: 'cancelled' }),
    ];
    const observations = [{ row, generation, id, expected: version, observation: undefined }];
    done({ kind: 'answered', active: false, token: token ?? noBytes, commit: { devices: [], observations, events } });
  };
  // With the association that it was made on it is gone already.
  if (token === undefined || observation.peer !== peer) return over();
  const accept = paths.length > 1 ? compositeFormat(dossier.formats) : undefined;
  const draft = observeDraft(paths, {}, dossier.root, accept);
  if (isContentFault(draft)) return over();
  const handle = out.ask(
    peer,
    { ...draft, options: draft.options.with(Observe, 1), token },
    {
      response: over,
      failed: fault => (fault === 'timeout' || fault === 'peer-gone' ? done({ kind: 'unanswered', fault }) : over()),
    },
  );
  if (handle === undefined) done({ kind: 'unanswered', fault: 'queue-full' });
}

function observe(
  asked: AskedObservation,
  attributesRefused: string | undefined,
  out: DownlinkOut,
  done: (outcome: ObserveOutcome) => void,
): void {
  const { record, observation, peer, dossier } = asked;
  const { paths, attributes } = observation;
  const accept = paths.length > 1 ? compositeFormat(dossier.formats) : preferredFormat(dossier.formats);
  const draft = observeDraft(paths, attributes, dossier.root, accept);
  const token = out.newObservationToken(peer);
  if (isContentFault(draft)) return done(refusedOutcome(asked, draft.reason, token, out));
  const standing = { id: observationIdOf(record.row, observation.id), token };
  const handle = out.ask(
    peer,
    { ...draft, observe: true, standing },
    {
      hearsOnce: true,
      response: (response, lasts) => {
        if (lasts) return done(outcomeOf(asked, 'active', attributesRefused, token, response, out));
        const reason = response.code >>> 5 === 2 ? 'not-observable' : codeText(response.code);
        done(refusedOutcome(asked, reason, token, out));
      },
      failed: fault => {
        if (fault === 'timeout' || fault === 'peer-gone') return done({ kind: 'unanswered', fault });
        done(refusedOutcome(asked, fault, token, out));
      },
    },
  );
  if (handle === undefined) done({ kind: 'unanswered', fault: 'queue-full' });
}

/** Refused together, they are asked for one by one: many devices of LwM2M 1.2 leave composite operations out. */
function refusedOutcome(asked: AskedObservation, reason: string, token: Bytes, out: DownlinkOut): ObserveOutcome {
  const { record, observation, rules } = asked;
  const { row, generation } = record;
  const { id, paths } = observation;
  const { wall } = out.now;
  if (paths.length === 1) return outcomeOf(asked, 'refused', reason, token, undefined, out);
  const observations = splitObservation(row, generation, out.view().observations(row), observation, reason, wall);
  const events = [deviceEvent(rules, 'observation', wall, record, { observation: id, paths, state: 'split', reason })];
  return { kind: 'answered', active: false, token, commit: { devices: [], observations, events } };
}

function outcomeOf(
  { record, observation, peer, dossier, rules }: AskedObservation,
  state: 'active' | 'refused',
  reason: string | undefined,
  token: Bytes,
  response: Response | undefined,
  out: DownlinkOut,
): ObserveOutcome {
  const { row, generation } = record;
  const { wall } = out.now;
  const active = state === 'active';
  const made: Observation = {
    ...observation,
    version: observation.version + 1,
    state,
    reason,
    peer: active ? peer : undefined,
    token: active ? token : undefined,
    since: wall,
  };
  const details = {
    observation: observation.id,
    paths: observation.paths,
    state,
    ...(reason === undefined ? {} : { reason }),
  };
  const events = [deviceEvent(rules, 'observation', wall, record, details)];
  const changes = [{ row, generation, id: observation.id, expected: observation.version, observation: made }];
  if (response === undefined)
    return { kind: 'answered', active, token, commit: { devices: [], observations: changes, events } };
  const receipt = { received: wall, source: 'notification' as const, peer: undefined, sequence: undefined };
  const report = reported(readReport(baseOf(observation), response, dossier), record, dossier, receipt, out.view());
  const told = deviceEvent(rules, 'value', wall, record, { observation: observation.id, ...report.details });
  return {
    kind: 'answered',
    active,
    token,
    commit: { devices: [], observations: changes, values: report.values, events: [...events, told] },
  };
}

/** What the paths in a notification stand under. */
export function baseOf({ paths }: Pick<Observation, 'paths'>): Path {
  return paths.length === 1 ? (paths[0] as Path) : rootPath;
}

/** A row has 32 bits, and an observation's number at most 16: together one exact number. */
export function observationIdOf(row: Row, id: number): ObservationId {
  return (row * 0x1_0000 + id) as ObservationId;
}

export function rowOfObservation(observation: ObservationId): { row: Row; id: number } {
  return { row: Math.floor(observation / 0x1_0000) as Row, id: observation % 0x1_0000 };
}

export interface AskedObservation {
  readonly record: Registered;
  readonly observation: Observation;
  readonly peer: Peer;
  readonly dossier: Dossier;
  readonly rules: FleetRules;
}

/** `unanswered`: it is still to be made. */
export type ObserveOutcome =
  | { readonly kind: 'unanswered'; readonly fault: RequestFault }
  | { readonly kind: 'answered'; readonly active: boolean; readonly token: Bytes; readonly commit: Commit };
