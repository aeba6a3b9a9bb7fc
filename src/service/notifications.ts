import { Deadlines } from '../base/deadlines.ts';
import { after, type Instant, seconds, wallAfter } from '../base/time.ts';
import { codeText } from '../coap/codec/code.ts';
import type { Response } from '../coap/codec/message.ts';
import type { Notification } from '../coap/exchange.ts';
import type { ObservationId } from '../coap/observations.ts';
import type { Row } from '../fleet/names.ts';
import { type Observation, wanted } from '../fleet/observation.ts';
import type { FleetRules, Registered } from '../fleet/registration.ts';
import type { Commit } from '../fleet/store.ts';
import { isContentFault } from '../lwm2m/content/fault.ts';
import type { Dossiers } from './dossier.ts';
import type { DownlinkOut } from './downlinkOut.ts';
import { baseOf, observationIdOf, rowOfObservation } from './observing.ts';
import { compositeFormat, observeDraft, preferredFormat } from './operations.ts';
import { deviceEvent, readReport, reported } from './reports.ts';

/**
 * What devices say on the observations that we have with them: last values and an event, in one transaction, and only
 * then the ACK of a Confirmable one. A device that says nothing for longer than its pmax allows is noticed, and asked
 * again.
 */
export class Notifications {
  readonly #rules: FleetRules;
  readonly #dossiers: Dossiers;
  /** When to take an observation for lost. */
  readonly #silences = new Deadlines<ObservationId>();

  constructor(rules: FleetRules, dossiers: Dossiers) {
    this.#rules = rules;
    this.#dossiers = dossiers;
  }

  /** How many observations are watched. */
  get size(): number {
    return this.#silences.size;
  }

  /** `sequence` is that of the DTLS record which brought it. */
  take(notification: Notification, sequence: number | undefined, out: DownlinkOut): void {
    const { peer, response, lasts, partial, unreadable } = notification;
    const found = this.#find(notification.observation, out);
    // Its registration is about to be over: the disk may refuse that, and it comes again.
    if (found === 'later') return out.forget(notification);
    // Its registration or the wish for it is gone.
    if (found === undefined) return out.reject(notification);
    const { record, observation } = found;
    if (!lasts) {
      const reason = unreadable ? 'bad-response' : codeText(response.code);
      return this.#store(notification, this.#ended(found, reason, out), out);
    }
    this.watch(record.row, observation, out);
    if (partial) {
      out.confirm(notification);
      return this.#fetch(found, peer, out);
    }
    const receipt = { received: out.now.wall, source: 'notification' as const, peer, sequence };
    this.#store(notification, this.#commitOf(found, response, receipt, out), out);
  }

  /** An observation was made, or goes on after a restart: from now on its silence counts. */
  watch(row: Row, { id, attributes: { pmax } }: Observation, { now }: DownlinkOut): void {
    // Its silence may have counted before, with other attributes.
    if (pmax === undefined || pmax === 0) return this.#silences.clear(observationIdOf(row, id));
    this.#silences.set(observationIdOf(row, id), (now.instant + seconds(2 * pmax) + patience) as Instant);
  }

  /**
   * Takes those for lost that were silent for too long, a bounded number at a time: a network that was away is that for all
   * of its devices. The rows are to be looked at, since they are wanted again.
   */
  expire(out: DownlinkOut, look: (row: Row) => void): void {
    const { instant, wall } = out.now;
    for (let taken = 0; taken < maxInTurn; taken++) {
      const due = this.#silences.takeDue(instant);
      if (due === undefined) return;
      const found = this.#find(due, out);
      if (found === 'later') this.#silences.set(due, after(instant, patience));
      if (found === undefined || found === 'later') continue;
      const { record, observation } = found;
      const { pmax } = observation.attributes;
      // The disk refused to say that it is wanted again, and may have written it.
      if (observation.state === 'wanted') look(record.row);
      if (observation.state !== 'active' || pmax === undefined || pmax === 0) continue;
      if (observation.peer !== undefined && observation.token !== undefined) {
        out.forgetStanding(observation.peer, observation.token);
      }
      const again = wanted(observation, observation.id, observation.version + 1, wall);
      const since = new Date(wallAfter(wall, -seconds(2 * pmax) - patience)).toISOString();
      out.commit(this.#changeOf(found, again, { state: 'silent', since }, out), result => {
        if (result === 'durable') look(record.row);
        else this.watch(record.row, observation, out);
      });
    }
  }

  nextExpiry(): Instant | undefined {
    return this.#silences.next();
  }

  /** `later`: that it is gone is not durable yet. */
  #find(id: ObservationId, out: DownlinkOut): Found | 'later' | undefined {
    const { row, id: number } = rowOfObservation(id);
    const view = out.view();
    const record = view.device(row);
    const observation = view.observation(row, number);
    if (record?.registration === undefined) return view.restsOnPending ? 'later' : undefined;
    if (observation === undefined) return undefined;
    return { record: { ...record, registration: record.registration }, observation };
  }

  #store(notification: Notification, commit: Commit, out: DownlinkOut): void {
    out.commit(commit, result => {
      if (result !== 'durable') out.forget(notification);
      else if (notification.unreadable) out.reject(notification);
      else out.confirm(notification);
    });
  }

  #commitOf({ record, observation }: Found, response: Response, receipt: Receipt, out: DownlinkOut): Commit {
    const dossier = this.#dossiers.of(record);
    const entries = readReport(baseOf(observation), response, dossier);
    const { values, details } = reported(entries, record, dossier, receipt, out.view());
    const event = deviceEvent(this.#rules, 'value', receipt.received, record, {
      observation: observation.id,
      ...details,
    });
    return { devices: [], events: [event], values };
  }

  /** The rest of a long notification: the resource is read anew (RFC 7959 §2.6). */
  #fetch(found: Found, peer: Notification['peer'], out: DownlinkOut): void {
    const { paths } = found.observation;
    const { formats, root } = this.#dossiers.of(found.record);
    const accept = paths.length > 1 ? compositeFormat(formats) : preferredFormat(formats);
    const draft = observeDraft(paths, {}, root, accept);
    if (isContentFault(draft)) return;
    out.ask(peer, draft, {
      response: response => {
        if (response.code >>> 5 !== 2) return;
        const receipt = {
          received: out.now.wall,
          source: 'notification' as const,
          peer: undefined,
          sequence: undefined,
        };
        out.commit(this.#commitOf(found, response, receipt, out), () => undefined);
      },
      failed: () => undefined,
    });
  }

  /** The device ended it with an error (RFC 7641 §3.2), or says what nobody may take. */
  #ended(found: Found, reason: string, out: DownlinkOut): Commit {
    const { observation } = found;
    const refused: Observation = {
      ...observation,
      version: observation.version + 1,
      state: 'refused',
      reason,
      peer: undefined,
      token: undefined,
      since: out.now.wall,
    };
    return this.#changeOf(found, refused, { state: 'ended', reason }, out);
  }

  #changeOf({ record, observation }: Found, after: Observation, details: object, out: DownlinkOut): Commit {
    const { row, generation } = record;
    const { id, version, paths } = observation;
    return {
      devices: [],
      observations: [{ row, generation, id, expected: version, observation: after }],
      events: [deviceEvent(this.#rules, 'observation', out.now.wall, record, { observation: id, paths, ...details })],
    };
  }
}

interface Found {
  readonly record: Registered;
  readonly observation: Observation;
}

type Receipt = Parameters<typeof reported>[3];

/** A notification may be retransmitted for so long before it arrives (MAX_TRANSMIT_WAIT). */
const patience = seconds(93);
/** How many are taken for lost in a turn. */
export const maxInTurn = 64;
