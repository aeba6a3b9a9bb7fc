import { toHex } from '../base/bytes.ts';
import { Deadlines } from '../base/deadlines.ts';
import { after, type Instant, seconds } from '../base/time.ts';
import type { Exchange } from '../coap/exchange.ts';
import type { NotificationAttributes } from '../lwm2m/attributes.ts';
import { containsPath, type Path } from '../lwm2m/path.ts';
import type { ResourceValue } from '../lwm2m/value.ts';
import type { Observed } from './operations.ts';

/** One observation that a server has with the device. */
export interface DeviceObservation {
  readonly key: string;
  readonly exchange: Exchange;
  readonly observed: Observed;
  /** What the request's own query said, above what was written. */
  readonly own: NotificationAttributes;
  /** Of the last report (RFC 7641 §3.4). */
  sequence: number;
  sentAt: Instant;
  /** What was reported last, where one value is observed: thresholds are measured from it. */
  sent: ResourceValue | undefined;
  /** Whether something changed that is worth a report, once pmin allows it. */
  changed: boolean;
}

/**
 * The observations of a device, and when each has something to report: after a change, but not before pmin, and without
 * one after pmax (LwM2M Core 1.2 §6.4.1, §7.3). It decides; the application reads the values and sends.
 */
export class DeviceObservations {
  readonly #capacity: number;
  readonly #effective: (path: Path) => NotificationAttributes;
  readonly #byToken = new Map<string, DeviceObservation>();
  readonly #due = new Deadlines<string>();

  constructor(capacity: number, effective: (path: Path) => NotificationAttributes) {
    this.#capacity = capacity;
    this.#effective = effective;
  }

  get size(): number {
    return this.#byToken.size;
  }

  /** `undefined` if there is no room: the answer then is one and no more (RFC 7641 §4.1). */
  add(
    now: Instant,
    exchange: Exchange,
    observed: Observed,
    own: NotificationAttributes,
    sent: ResourceValue | undefined,
  ): DeviceObservation | undefined {
    const key = toHex(exchange.token);
    const before = this.#byToken.get(key);
    if (before === undefined && this.#byToken.size >= this.#capacity) return undefined;
    const sequence = (before?.sequence ?? 0) + 1;
    const observation = { key, exchange, observed, own, sequence, sentAt: now, sent, changed: false };
    this.#byToken.set(key, observation);
    this.#schedule(observation);
    return observation;
  }

  /** Forgets the observation with this exchange's token. */
  remove({ token }: Exchange): void {
    const key = toHex(token);
    this.#byToken.delete(key);
    this.#due.clear(key);
  }

  clear(): void {
    for (const { exchange } of this.#byToken.values()) this.remove(exchange);
  }

  /** Something at, above or below these paths is another than before. */
  changed(paths: readonly Path[], valueAt: (path: Path) => ResourceValue | undefined): void {
    for (const observation of this.#byToken.values()) {
      const concerned = observation.observed.paths.some(observed =>
        paths.some(path => containsPath(observed, path) || containsPath(path, observed)),
      );
      if (!concerned || observation.changed) continue;
      const value = valueAt(observation.observed.paths[0]!);
      if (!isWorthReport(this.attributes(observation), observation.sent, value)) continue;
      observation.changed = true;
      this.#schedule(observation);
    }
  }

  /** Attributes were written: what is due when may be another. */
  reschedule(): void {
    for (const observation of this.#byToken.values()) this.#schedule(observation);
  }

  /** The next one that has to report. The caller sends, and then says so with `reported`. */
  takeDue(now: Instant): DeviceObservation | undefined {
    const key = this.#due.takeDue(now);
    return key === undefined ? undefined : this.#byToken.get(key);
  }

  reported(now: Instant, observation: DeviceObservation, sent: ResourceValue | undefined): void {
    observation.sequence = (observation.sequence + 1) % 2 ** 24;
    observation.sentAt = now;
    observation.sent = sent;
    observation.changed = false;
    this.#schedule(observation);
  }

  nextExpiry(): Instant | undefined {
    return this.#due.next();
  }

  attributes({ observed, own }: DeviceObservation): NotificationAttributes {
    // Several paths have no attributes in common: a composite goes by its own (LwM2M Core 1.2 §6.4.4).
    return observed.composite ? own : { ...this.#effective(observed.paths[0]!), ...own };
  }

  #schedule(observation: DeviceObservation): void {
    const { pmin = 0, pmax } = this.attributes(observation);
    const earliest = after(observation.sentAt, seconds(pmin));
    if (observation.changed) this.#due.set(observation.key, earliest);
    // A pmax that is 0 or below pmin does not count (LwM2M Core 1.2 §7.3.2).
    else if (pmax !== undefined && pmax > 0 && pmax >= pmin) {
      this.#due.set(observation.key, after(observation.sentAt, seconds(pmax)));
    } else this.#due.clear(observation.key);
  }
}

/** Whether a change is one that the thresholds ask for; without any, every change is. */
function isWorthReport(
  { gt, lt, st, edge }: NotificationAttributes,
  sent: ResourceValue | undefined,
  value: ResourceValue | undefined,
): boolean {
  if (typeof sent === 'boolean' && typeof value === 'boolean' && edge !== undefined) {
    return sent !== value && value === (edge === 1);
  }
  if (gt === undefined && lt === undefined && st === undefined) return true;
  if (!isNumeric(sent) || !isNumeric(value)) return true;
  const [from, to] = [Number(sent), Number(value)];
  const crosses = (limit: number | undefined) => limit !== undefined && from > limit !== to > limit;
  const falls = (limit: number | undefined) => limit !== undefined && from < limit !== to < limit;
  return crosses(gt) || falls(lt) || (st !== undefined && Math.abs(to - from) >= st);
}

function isNumeric(value: ResourceValue | undefined): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}
