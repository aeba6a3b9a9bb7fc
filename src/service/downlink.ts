import { Deadlines } from '../base/deadlines.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, type Milliseconds, type Now, seconds } from '../base/time.ts';
import { codeText } from '../coap/codec/code.ts';
import type { Response } from '../coap/codec/message.ts';
import { ContentFormat } from '../coap/codec/option.ts';
import type { RequestFault, RequestHandle } from '../coap/exchange.ts';
import {
  answered,
  type Command,
  type CommandChange,
  expired,
  isOver,
  keptCommands,
  nextCommand,
  overdue,
  sent,
  unanswered,
  unsent,
} from '../fleet/command.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { FleetEvent } from '../fleet/event.ts';
import type { Row } from '../fleet/names.ts';
import type { Observation } from '../fleet/observation.ts';
import type { FleetRules, Registered } from '../fleet/registration.ts';
import { type Commit, emptyCommit } from '../fleet/store.ts';
import type { ValueSource } from '../fleet/value.ts';
import { decodeContent } from '../lwm2m/content/select.ts';
import { objectOf, type Path, rootPath } from '../lwm2m/path.ts';
import type { Dossiers } from './dossier.ts';
import type { DownlinkOut } from './downlinkOut.ts';
import { askToEnd, askToObserve, observationIdOf } from './observing.ts';
import { draftOf } from './operations.ts';
import { deviceEvent, readReport, reported } from './reports.ts';

/**
 * What the server wants of its devices: their commands, oldest first, and the observations that are still to be made.
 * One thing at a time for each device (NSTART = 1), and only while it listens: a device in queue mode does so for its
 * awake time after its last message, and after a registration not in the same breath, since a request that overtakes
 * the answer is lost on many clients.
 *
 * A line is kept in memory only for devices of whom something is wanted. Whatever is wanted stands in the store, and so
 * does that it was sent, before the datagram leaves: after a crash nothing is forgotten, and nothing that must not be
 * done twice is sent again.
 */
export class Downlink {
  readonly #rules: FleetRules;
  readonly #dossiers: Dossiers;
  readonly #watch: Watch;
  readonly #delay: Milliseconds;
  readonly #lines = new Map<Row, Line>();
  /** When to look at a line again: it may speak, a deadline ends, the device falls asleep. */
  readonly #timers = new Deadlines<Row>();
  /** On which association a device's observations were made, so that another one is noticed. */
  readonly #observedOn = new Map<Row, Peer>();

  /** `watch` hears of each observation that was made. */
  constructor(rules: FleetRules, dossiers: Dossiers, watch: Watch, delay: Milliseconds = defaultDelay) {
    this.#rules = rules;
    this.#dossiers = dossiers;
    this.#watch = watch;
    this.#delay = delay;
  }

  /** How many devices something is wanted of. */
  get size(): number {
    return this.#lines.size;
  }

  /** A change of a device's record is durable, and its answer leaves in this turn. */
  changed(record: DeviceRecord, commit: Commit, peer: Peer | undefined, out: DownlinkOut): void {
    const { row, registration } = record;
    if (registration === undefined) return this.#forget(row, out);
    const line = this.#lines.get(row);
    const elsewhere = peer !== undefined && (this.#observedOn.get(row) ?? peer) !== peer;
    if (line === undefined && !elsewhere && (commit.observations ?? []).length === 0) return;
    const greeted = line ?? this.#open({ ...record, registration }, out);
    greeted.peer = peer ?? greeted.peer;
    greeted.notBefore = after(out.now.instant, this.#delay);
    this.#awake(greeted, out);
    this.#step(greeted, out);
  }

  /** Something came from a device that proved who it is: it is awake. */
  heard(row: Row, peer: Peer, out: DownlinkOut): void {
    const line = this.#lines.get(row);
    if (line === undefined) return;
    line.peer = peer;
    this.#awake(line, out);
    this.#step(line, out);
  }

  /** Something is wanted of a device, or not any more: somebody else wrote it into the store. */
  look(row: Row, out: DownlinkOut): void {
    const record = out.view().device(row);
    if (record?.registration === undefined) return this.#forget(row, out);
    const line = this.#lines.get(row) ?? this.#open({ ...record, registration: record.registration }, out);
    this.#step(line, out);
  }

  /** At the start: what an earlier process left. Observations whose association lives go on; what was sent ends. */
  restore(row: Row, out: DownlinkOut): void {
    const view = out.view();
    const record = view.device(row);
    if (record?.registration === undefined) return;
    for (const { state, peer, token, id } of view.observations(row)) {
      if ((state !== 'active' && state !== 'ending') || peer === undefined || token === undefined) continue;
      this.#observedOn.set(row, peer);
      if (out.isThere(peer)) out.restoreStanding(peer, token, observationIdOf(row, id));
    }
    const registered = { ...record, registration: record.registration };
    const ended = view.commands(row).filter(({ state }) => state === 'sent');
    const line = this.#open(registered, out);
    if (ended.length === 0) return this.#step(line, out);
    const changes = ended.map(command => unanswered(command, 'restart', out.now.wall));
    this.#write(line, registered, changes, out);
  }

  /** The session of a device ended: what was asked of it fails by itself. */
  gone(row: Row, peer: Peer): void {
    const line = this.#lines.get(row);
    if (line?.peer === peer) line.peer = undefined;
  }

  expire(out: DownlinkOut): void {
    for (
      let row = this.#timers.takeDue(out.now.instant);
      row !== undefined;
      row = this.#timers.takeDue(out.now.instant)
    ) {
      const line = this.#lines.get(row);
      if (line !== undefined) this.#due(line, out);
    }
  }

  nextExpiry(): Instant | undefined {
    return this.#timers.next();
  }

  /** Takes the next step of a line, if it is time for one; gives the line up if nothing is wanted any more. */
  #step(line: Line, out: DownlinkOut): void {
    if (line.busy) return this.#arm(line, out);
    const view = out.view();
    const record = view.device(line.row);
    if (record?.registration === undefined) return this.#forget(line.row, out);
    const registered = { ...record, registration: record.registration };
    const commands = view.commands(line.row);
    const late = overdue(commands, out.now.wall);
    if (late.length > 0) {
      return this.#write(
        line,
        registered,
        late.map(command => expired(command, out.now.wall)),
        out,
      );
    }
    const peer = line.peer ?? out.reach(registered);
    const command = nextCommand(commands, out.now.wall);
    const observation = view.observations(line.row).find(one => toBeMade(one, peer ?? line.peer));
    if (command === undefined && observation === undefined) return this.#close(line);
    line.deadline = command === undefined ? undefined : earliest(commands, out.now);
    this.#arm(line, out);
    if (peer === undefined || !isAwake(line, out.now) || out.now.instant < line.notBefore) return;
    line.peer = peer;
    if (command !== undefined) this.#send(line, registered, command, peer, out);
    else this.#observe(line, registered, observation!, peer, out);
  }

  #send(line: Line, record: Registered, queued: Command, peer: Peer, out: DownlinkOut): void {
    const command = sent(queued, out.now.wall);
    line.busy = true;
    out.commit(this.#commitOf(record, [command]), result => {
      line.busy = false;
      if (result === 'failed') return this.#putOff(line, diskDelay, out);
      if (result === 'conflict') return this.look(line.row, out);
      const { root } = this.#dossiers.of(record);
      line.busy = true;
      const handle = out.ask(peer, draftOf(command.operation, root), {
        response: response => this.#answered(line, record, command, response, out),
        failed: fault => this.#failed(line, record, command, fault, out),
      });
      if (handle === undefined) line.notBefore = after(out.now.instant, busyDelay);
      if (handle === undefined) return this.#write(line, record, [unsent(command, out.now.wall)], out);
      line.asked = { handle, command, record };
      this.#arm(line, out);
    });
  }

  #answered(line: Line, record: Registered, command: Command, response: Response, out: DownlinkOut): void {
    line.asked = undefined;
    this.#awake(line, out);
    const { code, options } = response;
    const answer = { code, contentFormat: options.get(ContentFormat), payload: response.payload.slice(0, keptPayload) };
    const done = answered(command, answer, codeText(code), out.now.wall);
    const values = this.#valuesOf(record, done, response);
    this.#write(line, record, [done], out, values);
  }

  #failed(line: Line, record: Registered, command: Command, fault: RequestFault | 'deadline', out: DownlinkOut): void {
    line.asked = undefined;
    this.#silent(line, fault, out);
    this.#write(line, record, [unanswered(command, fault, out.now.wall)], out);
  }

  /** What a successful Read says, and what a successful Write makes so. */
  #valuesOf(record: Registered, { operation, state }: Command, response: Response) {
    if (state !== 'succeeded') return undefined;
    const { kind, paths, contentFormat, payload } = operation;
    const base = (kind === 'read-composite' || kind === 'write-composite' ? rootPath : paths[0]) as Path;
    const dossier = this.#dossiers.of(record);
    const object = objectOf(base);
    const version = object === undefined ? undefined : dossier.versionOf(object);
    if (kind === 'read' || kind === 'read-composite') {
      return { entries: readReport(base, response, dossier), source: 'read' as ValueSource };
    }
    if (kind !== 'write' && kind !== 'update' && kind !== 'write-composite') return undefined;
    if (contentFormat === undefined || payload === undefined) return undefined;
    const entries = decodeContent(contentFormat, base, payload, dossier.types, version);
    return { entries, source: 'write' as ValueSource };
  }

  #observe(line: Line, record: Registered, observation: Observation, peer: Peer, out: DownlinkOut): void {
    line.busy = true;
    const ask = observation.state === 'ending' ? askToEnd : askToObserve;
    ask({ record, observation, peer, dossier: this.#dossiers.of(record), rules: this.#rules }, out, outcome => {
      if (outcome.kind === 'unanswered') {
        line.busy = false;
        this.#silent(line, outcome.fault, out);
        return this.#step(line, out);
      }
      this.#awake(line, out);
      out.commit(outcome.commit, result => {
        line.busy = false;
        if (outcome.active && result !== 'durable') out.forgetStanding(peer, outcome.token);
        else if (outcome.active) {
          this.#observedOn.set(line.row, peer);
          this.#watch(line.row, observation, out);
        }
        if (result === 'failed') this.#putOff(line, diskDelay, out);
        else this.look(line.row, out);
      });
    });
  }

  /** Writes what became of commands, and what was reported with it. */
  #write(
    line: Line,
    record: Registered,
    commands: readonly Command[],
    out: DownlinkOut,
    report?: { entries: Parameters<typeof reported>[0]; source: ValueSource },
  ): void {
    line.busy = true;
    const { wall } = out.now;
    const view = out.view();
    const commit = this.#commitOf(record, commands);
    const forgotten = this.#forgotten(record, view.commands(line.row), commands);
    const values =
      report === undefined
        ? undefined
        : reported(
            report.entries,
            record,
            this.#dossiers.of(record),
            { received: wall, source: report.source, peer: undefined, sequence: undefined },
            view,
          );
    const events = values === undefined ? [] : [deviceEvent(this.#rules, 'value', wall, record, values.details)];
    const whole: Commit = {
      ...commit,
      commands: [...commit.commands!, ...forgotten],
      values: values?.values ?? [],
      events: [...events, ...commit.events],
    };
    out.commit(whole, result => {
      line.busy = false;
      // What came of it must not get lost for a disk that was full for a moment.
      if (result === 'failed') {
        line.busy = true;
        line.again = () => this.#write(line, record, commands, out, report);
        return this.#putOff(line, diskDelay, out);
      }
      this.look(line.row, out);
    });
  }

  #commitOf(record: Registered, commands: readonly Command[]): Commit {
    const { row, generation } = record;
    const events = commands.map(command => this.#eventOf(record, command));
    const changes = commands.map(command => ({
      row,
      generation,
      id: command.id,
      expected: command.version - 1,
      command,
    }));
    return { ...emptyCommit, commands: changes, events };
  }

  #eventOf(record: Registered, { id, operation, state, reason, since }: Command): FleetEvent {
    const { kind, paths } = operation;
    const details = { command: id, operation: kind, paths, state, ...(reason === undefined ? {} : { reason }) };
    return deviceEvent(this.#rules, 'command', since, record, details);
  }

  /** Of the commands that are over, the newest are kept. */
  #forgotten({ row, generation }: Registered, stored: readonly Command[], ending: readonly Command[]): CommandChange[] {
    const over = stored.filter(command => isOver(command));
    const room = Math.max(0, keptCommands - ending.filter(command => isOver(command)).length);
    return over
      .slice(0, Math.max(0, over.length - room))
      .map(({ id, version }) => ({ row, generation, id, expected: version, command: undefined }));
  }

  #open({ row, registration, ...record }: Registered, out: DownlinkOut): Line {
    const { allocation } = this.#dossiers.of({ row, registration, ...record });
    const awake = registration.queueMode ? seconds(allocation.queue.awake) : Number.POSITIVE_INFINITY;
    const sinceContact = out.now.wall - registration.lastContact;
    const line: Line = {
      row,
      awake,
      peer: undefined,
      awakeUntil: (out.now.instant + awake - sinceContact) as Instant,
      notBefore: out.now.instant,
      busy: false,
      asked: undefined,
      deadline: undefined,
      asleep: false,
      again: undefined,
    };
    this.#lines.set(row, line);
    return line;
  }

  #close(line: Line): void {
    this.#lines.delete(line.row);
    this.#timers.clear(line.row);
  }

  /** Its registration is over, and with it everything that was wanted of it. */
  #forget(row: Row, out: DownlinkOut): void {
    const line = this.#lines.get(row);
    this.#observedOn.delete(row);
    this.#dossiers.forget(row);
    if (line === undefined) return;
    if (line.asked !== undefined) out.cancel(line.asked.handle);
    this.#close(line);
  }

  #due(line: Line, out: DownlinkOut): void {
    const { asked, again } = line;
    if (again !== undefined) {
      line.again = undefined;
      return again();
    }
    if (asked !== undefined && asked.command.deadline <= out.now.wall) {
      out.cancel(asked.handle);
      return this.#failed(line, asked.record, asked.command, 'deadline', out);
    }
    if (!line.busy && !isAwake(line, out.now)) this.#fellAsleep(line, out);
    this.#step(line, out);
  }

  /** While something is being written nothing is due: whoever settles it takes the next step. */
  #arm(line: Line, { now }: DownlinkOut): void {
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

  #putOff(line: Line, delay: Milliseconds, { now }: DownlinkOut): void {
    line.notBefore = after(now.instant, delay);
    this.#timers.set(line.row, line.notBefore);
  }

  /** The awake time begins anew with every message from the device or acknowledged by it. */
  #awake(line: Line, out: DownlinkOut): void {
    line.awakeUntil = after(out.now.instant, line.awake);
    if (!line.asleep) return;
    line.asleep = false;
    this.#tell(line, 'awake', out);
  }

  #fellAsleep(line: Line, out: DownlinkOut): void {
    if (line.asleep) return;
    line.asleep = true;
    this.#tell(line, 'asleep', out);
  }

  #tell(line: Line, type: 'awake' | 'asleep', out: DownlinkOut): void {
    const record = out.view().device(line.row);
    if (record?.registration === undefined) return;
    const event = deviceEvent(this.#rules, type, out.now.wall, { ...record, registration: record.registration }, {});
    out.commit({ ...emptyCommit, events: [event] }, () => undefined);
  }

  /** No answer: a device in queue mode sleeps until it speaks, any other one is left alone for a while. */
  #silent(line: Line, fault: RequestFault | 'deadline', out: DownlinkOut): void {
    if (fault === 'peer-gone') line.peer = undefined;
    if (fault === 'queue-full') line.notBefore = after(out.now.instant, busyDelay);
    if (fault !== 'timeout') return;
    if (Number.isFinite(line.awake)) {
      line.awakeUntil = out.now.instant;
      this.#fellAsleep(line, out);
    } else line.notBefore = after(out.now.instant, silenceDelay);
  }
}

type Watch = (row: Row, observation: Observation, out: DownlinkOut) => void;

interface Line {
  readonly row: Row;
  /** For how long the device listens after a message; infinite without queue mode. */
  readonly awake: Milliseconds;
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

function isAwake(line: Line, now: Now): boolean {
  return now.instant < line.awakeUntil;
}

function toBeMade({ state, peer }: Observation, current: Peer | undefined): boolean {
  return state === 'wanted' || state === 'ending' || (state === 'active' && current !== undefined && peer !== current);
}

function earliest(commands: readonly Command[], now: Now): Instant | undefined {
  const deadlines = commands.filter(({ state }) => state === 'queued').map(({ deadline }) => deadline);
  return deadlines.length === 0 ? undefined : instantOf(Math.min(...deadlines), now);
}

function instantOf(wall: number, now: Now): Instant {
  return (now.instant + Math.max(0, wall - now.wall)) as Instant;
}

/** Longer than the 2.01 takes on slow links; a client that is asked before it came loses the question. */
const defaultDelay: Milliseconds = 500;
/** All requests that there may be are under way: with others. */
const busyDelay: Milliseconds = 1000;
const diskDelay: Milliseconds = 5000;
const silenceDelay: Milliseconds = seconds(60);
/** How many bytes of an answer are kept with its command. */
const keptPayload = 16_384;
