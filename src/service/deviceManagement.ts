import type { Peer } from '../base/peer.ts';
import { earlier, type Instant, type Milliseconds } from '../base/time.ts';
import type { Request } from '../coap/codec/message.ts';
import type { Notification } from '../coap/exchange.ts';
import type { Row } from '../fleet/names.ts';
import type { Contact, FleetRules, Registered } from '../fleet/registration.ts';
import type { Commit } from '../fleet/store.ts';
import { Definitions } from '../lwm2m/definitions.ts';
import { type Dossier, Dossiers } from './dossier.ts';
import { Downlink } from './downlink.ts';
import type { DownlinkOut } from './downlinkOut.ts';
import { Notifications } from './notifications.ts';
import { rowOfObservation } from './observing.ts';
import type { Outcome, RequestContext } from './outcome.ts';
import { sendValues } from './send.ts';

/**
 * The server's side of what happens with a device between its registrations: commands, observations and what it reports
 * (LwM2M Core 1.2 §6.3, §6.4). Call `restore` at the start for every row that has any of it, `changed` for each durable
 * change of a record, `heard` for whatever comes from a device, and `expire` when `nextExpiry` has come.
 */
export class DeviceManagement {
  readonly #rules: FleetRules;
  readonly #dossiers: Dossiers;
  readonly #downlink: Downlink;
  readonly #notifications: Notifications;
  /** On plain CoAP nothing but its address tells who a peer is; as many at most as there are plain peers. */
  readonly #plainRows = new Map<Peer, Row>();

  constructor(rules: FleetRules, { definitions, downlinkDelay }: DeviceManagementOptions) {
    this.#rules = rules;
    this.#dossiers = new Dossiers(definitions ?? Definitions.registry());
    const notifications = new Notifications(rules, this.#dossiers);
    this.#notifications = notifications;
    const watch: Notifications['watch'] = (row, observation, out) => notifications.watch(row, observation, out);
    this.#downlink = new Downlink(rules, this.#dossiers, watch, downlinkDelay);
  }

  /** What is needed to talk about the resources of a device. */
  dossierOf(record: Registered): Dossier {
    return this.#dossiers.of(record);
  }

  /** How much is kept, for metrics and for the test that nothing is left over. */
  sizes(): { lines: number; watched: number } {
    return { lines: this.#downlink.size, watched: this.#notifications.size };
  }

  /** A commit is durable, and what it is answered with leaves in this turn; `peer` asked for it, if a device did. */
  changed(commit: Commit, peer: Peer | undefined, isPlain: boolean, out: DownlinkOut): void {
    for (const { record } of commit.devices) {
      if (isPlain && peer !== undefined) this.#plainRows.set(peer, record.row);
      this.#downlink.changed(record, commit, peer, out);
    }
  }

  /** A message came, and it was this device that sent it; on plain CoAP as far as that can be known. */
  heard(row: Row | undefined, peer: Peer, out: DownlinkOut): void {
    const sender = row ?? this.#plainRows.get(peer);
    if (sender !== undefined) this.#downlink.heard(sender, peer, out);
  }

  notified(notification: Notification, sequence: number | undefined, out: DownlinkOut): void {
    this.#notifications.take(notification, sequence, out);
    this.#downlink.heard(rowOfObservation(notification.observation).row, notification.peer, out);
  }

  send(request: Request, context: RequestContext, contact: Contact): Outcome {
    const { principal, peer } = context;
    const row = principal.kind === 'psk' ? principal.row : this.#plainRows.get(peer);
    return sendValues(request, context, contact, row, this.#dossiers, this.#rules);
  }

  /** A commit is durable: of what devices reported in it, something may be other than it is to be. */
  reported({ values = [] }: Commit, out: DownlinkOut): void {
    const rows = new Set<Row>();
    for (const { row, value } of values) if (value.source !== 'write') rows.add(row);
    for (const row of rows) this.#downlink.reported(row, out);
  }

  /** Somebody else changed in the store what is wanted of a device. */
  look(row: Row, out: DownlinkOut): void {
    this.#downlink.look(row, out);
  }

  restore(row: Row, out: DownlinkOut): void {
    this.#downlink.restore(row, out);
    for (const observation of out.view().observations(row)) {
      if (observation.state === 'active') this.#notifications.watch(row, observation, out);
    }
  }

  /** A session ended, or a plain address was forgotten. */
  gone(row: Row | undefined, peer: Peer): void {
    const sender = row ?? this.#plainRows.get(peer);
    this.#plainRows.delete(peer);
    if (sender !== undefined) this.#downlink.gone(sender, peer);
  }

  expire(out: DownlinkOut): void {
    this.#downlink.expire(out);
    this.#notifications.expire(out, row => this.#downlink.look(row, out));
  }

  nextExpiry(): Instant | undefined {
    return earlier(this.#downlink.nextExpiry(), this.#notifications.nextExpiry());
  }
}

export interface DeviceManagementOptions {
  /** Of objects and resources; by default those of the OMA registry. */
  readonly definitions?: Definitions;
  /** How long a device is left alone after the answer to its registration or update; 500 ms by default. */
  readonly downlinkDelay?: Milliseconds;
}
