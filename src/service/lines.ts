import { Deadlines } from '../base/deadlines.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, type Milliseconds, type Now, seconds } from '../base/time.ts';
import type { RequestFault, RequestHandle } from '../coap/exchange.ts';
import type { Command } from '../fleet/command.ts';
import type { Row } from '../fleet/names.ts';
import type { FleetRules, Registered } from '../fleet/registration.ts';
import { emptyCommit } from '../fleet/store.ts';
import type { Dossiers } from './dossier.ts';
import type { DownlinkOut } from './downlinkOut.ts';
import { deviceEvent } from './reports.ts';

/**
 * When devices may be talked to: one thing at a time (NSTART = 1), and only while they listen. A device in queue mode does
 * so for its awake time after its last message, and after a registration not in the same breath, since a request that
 * overtakes the answer is lost on many clients. A line is kept only for devices of whom something is wanted; what that
 * is, others know.
 */
export class Lines {
  readonly #rules: FleetRules;
  readonly #dossiers: Dossiers;
  readonly #lines = new Map<Row, Line>();
  /** When to look at a line again: it may speak, a deadline ends, the device falls asleep. */
  readonly #timers = new Deadlines<Row>();

  constructor(rules: FleetRules, dossiers: Dossiers) {
    this.#rules = rules;
    this.#dossiers = dossiers;
  }

  get size(): number {
    return this.#lines.size;
  }

  get(row: Row): Line | undefined {
    return this.#lines.get(row);
  }

  open(record: Registered, { now }: DownlinkOut): Line {
    const { row, registration } = record;
    const awake = this.#awakeTime(record);
    const sinceContact = now.wall - registration.lastContact;
    // The clock was set back since then: nobody knows how long ago it was, and what is sent to who sleeps is lost.
    const left = sinceContact < 0 && registration.queueMode ? 0 : awake - sinceContact;
    const line: Line = {
      row,
      awake,
      peer: undefined,
      awakeUntil: (now.instant + left) as Instant,
      notBefore: now.instant,
      busy: false,
      asked: undefined,
      deadline: undefined,
      asleep: false,
      again: undefined,
    };
    this.#lines.set(row, line);
    return line;
  }

  /** The device said anew what it is: how long it listens, too. */
  renew(line: Line, record: Registered): void {
    line.awake = this.#awakeTime(record);
  }

  close({ row }: Line): void {
    this.#lines.delete(row);
    this.#timers.clear(row);
  }

  takeDue(now: Instant): Line | undefined {
    const row = this.#timers.takeDue(now);
    return row === undefined ? undefined : this.#lines.get(row);
  }

  nextDue(): Instant | undefined {
    return this.#timers.next();
  }

  /** While something is being written nothing is due: whoever settles it takes the next step. */
  arm(line: Line, { now }: DownlinkOut): void {
    const ends: number[] = [];
    if (line.asked !== undefined) ends.push(instantOf(line.asked.command.deadline, now));
    else if (line.again !== undefined) ends.push(line.notBefore);
    else if (!line.busy) {
      if (line.deadline !== undefined) ends.push(line.deadline);
      if (now.instant < line.notBefore) ends.push(line.notBefore);
      if (!line.asleep && Number.isFinite(line.awakeUntil)) ends.push(line.awakeUntil);
    }
    if (ends.length === 0) this.#timers.clear(line.row);
    // Never in this very turn, so that no turn goes on for ever.
    else this.#timers.set(line.row, Math.max(now.instant + 1, Math.min(...ends)) as Instant);
  }

  putOff(line: Line, delay: Milliseconds, { now }: DownlinkOut): void {
    line.notBefore = after(now.instant, delay);
    this.#timers.set(line.row, line.notBefore);
  }

  /** The awake time begins anew with every message from the device or acknowledged by it. */
  awake(line: Line, out: DownlinkOut): void {
    line.awakeUntil = after(out.now.instant, line.awake);
    if (!line.asleep) return;
    line.asleep = false;
    this.#tell(line, 'awake', out);
  }

  fellAsleep(line: Line, out: DownlinkOut): void {
    if (line.asleep) return;
    line.asleep = true;
    this.#tell(line, 'asleep', out);
  }

  /** No answer: a device in queue mode sleeps until it speaks, any other one is left alone for a while. */
  silent(line: Line, fault: RequestFault | 'deadline', out: DownlinkOut): void {
    if (fault === 'peer-gone') line.peer = undefined;
    if (fault === 'queue-full') this.crowded(line, out);
    if (fault !== 'timeout') return;
    if (Number.isFinite(line.awake)) {
      line.awakeUntil = out.now.instant;
      this.fellAsleep(line, out);
    } else line.notBefore = after(out.now.instant, silenceDelay);
  }

  /** All requests that there may be are under way: with others. */
  crowded(line: Line, { now }: DownlinkOut): void {
    line.notBefore = after(now.instant, crowdedDelay);
  }

  #awakeTime(record: Registered): Milliseconds {
    const { allocation } = this.#dossiers.of(record);
    return record.registration.queueMode ? seconds(allocation.queue.awake) : Number.POSITIVE_INFINITY;
  }

  #tell(line: Line, type: 'awake' | 'asleep', out: DownlinkOut): void {
    const record = out.view().device(line.row);
    if (record?.registration === undefined) return;
    const event = deviceEvent(this.#rules, type, out.now.wall, { ...record, registration: record.registration }, {});
    out.commit({ ...emptyCommit, events: [event] }, () => undefined);
  }
}

export interface Line {
  readonly row: Row;
  /** For how long the device listens after a message; infinite without queue mode. */
  awake: Milliseconds;
  /** The association it was heard on last. */
  peer: Peer | undefined;
  awakeUntil: Instant;
  /** The 2.01 is on its way, or the last attempt just failed. */
  notBefore: Instant;
  /** Something is being written or asked. */
  busy: boolean;
  asked: { readonly handle: RequestHandle; readonly command: Command; readonly record: Registered } | undefined;
  /** The earliest of its commands. */
  deadline: Instant | undefined;
  /** It was told that the device sleeps. */
  asleep: boolean;
  /** What the disk refused. */
  again: (() => void) | undefined;
}

export function isAwake(line: Line, now: Now): boolean {
  return now.instant < line.awakeUntil;
}

export function instantOf(wall: number, now: Now): Instant {
  return (now.instant + Math.max(0, wall - now.wall)) as Instant;
}

const crowdedDelay: Milliseconds = 1000;
const silenceDelay: Milliseconds = seconds(60);
