import { type Bytes, sameBytes } from '../base/bytes.ts';
import type { Peer } from '../base/peer.ts';
import { after, type Instant, type Milliseconds, type Now } from '../base/time.ts';
import { codeText } from '../coap/codec/code.ts';
import type { Response } from '../coap/codec/message.ts';
import { ContentFormat } from '../coap/codec/option.ts';
import type { RequestFault } from '../coap/exchange.ts';
import { answered, type Command, expired, nextCommand, overdue, sent, unanswered, unsent } from '../fleet/command.ts';
import { type Desired, isDue } from '../fleet/desired.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { Row } from '../fleet/names.ts';
import type { Observation } from '../fleet/observation.ts';
import type { FleetRules, Registered } from '../fleet/registration.ts';
import { type Commit, emptyCommit, type View } from '../fleet/store.ts';
import { CommandRecords, type Told } from './commandRecords.ts';
import { askToSet } from './desiring.ts';
import type { Dossiers } from './dossier.ts';
import type { DownlinkOut } from './downlinkOut.ts';
import { instantOf, isAwake, type Line, Lines } from './lines.ts';
import { askToEnd, askToObserve, observationIdOf, rowOfObservation } from './observing.ts';
import { draftOf } from './operations.ts';

/**
 * What the server wants of its devices: their commands, oldest first, the values that they are to have, and the
 * observations that are still to be made, whenever their lines let it speak. Whatever is wanted stands in the store, and so does that it was sent, before the
 * datagram leaves: after a crash nothing is forgotten, and nothing that must not be done twice is sent again.
 */
export class Downlink {
  readonly #rules: FleetRules;
  readonly #dossiers: Dossiers;
  readonly #watch: Watch;
  readonly #delay: Milliseconds;
  readonly #lines: Lines;
  readonly #commands: CommandRecords;
  /** On which association a device's observations were made, so that another one is noticed. */
  readonly #observedOn = new Map<Row, Peer>();
  /** The devices that are to have values, registered or not: so that all the others cost nothing. */
  readonly #desired = new Set<Row>();
  /** The devices whose removal is on its way to the disk, and that something is wanted of. */
  readonly #leaving = new Set<Row>();

  /** `watch` hears of each observation that was made. */
  constructor(rules: FleetRules, dossiers: Dossiers, watch: Watch, delay: Milliseconds = defaultDelay) {
    this.#rules = rules;
    this.#dossiers = dossiers;
    this.#watch = watch;
    this.#delay = delay;
    this.#lines = new Lines(rules, dossiers);
    this.#commands = new CommandRecords(rules, dossiers);
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
    const isWanted = elsewhere || (commit.observations ?? []).length > 0 || this.#desired.has(row);
    if (line === undefined && !isWanted) return;
    const greeted = line ?? this.#lines.open({ ...record, registration }, out);
    this.#lines.renew(greeted, { ...record, registration });
    greeted.peer = peer ?? greeted.peer;
    greeted.notBefore = after(out.now.instant, this.#delay);
    this.#lines.awake(greeted, out);
    this.#step(greeted, out);
  }

  /** Something came from a device that proved who it is: it is awake. */
  heard(row: Row, peer: Peer, out: DownlinkOut): void {
    const line = this.#lines.get(row);
    if (line === undefined) return;
    line.peer = peer;
    this.#lines.awake(line, out);
    this.#step(line, out);
  }

  /** Something is wanted of a device, or not any more: somebody else wrote it into the store. */
  look(row: Row, out: DownlinkOut): void {
    if (out.view().desired(row).length > 0) this.#desired.add(row);
    this.#look(row, out);
  }

  /** What a device has just reported is stored: it may have other values than it is to have. */
  reported(row: Row, out: DownlinkOut): void {
    const record = this.#desired.has(row) ? out.view().device(row) : undefined;
    if (record?.registration === undefined) return;
    const line = this.#lines.get(row) ?? this.#lines.open({ ...record, registration: record.registration }, out);
    this.#lines.awake(line, out);
    this.#step(line, out);
  }

  #look(row: Row, out: DownlinkOut): void {
    const view = out.view();
    const record = view.device(row);
    if (record?.registration === undefined) return this.#unregistered(row, view, out);
    const line = this.#lines.get(row) ?? this.#lines.open({ ...record, registration: record.registration }, out);
    this.#step(line, out);
  }

  /** At the start: what an earlier process left. Observations whose association lives go on; what was sent ends. */
  restore(row: Row, out: DownlinkOut): void {
    const view = out.view();
    const record = view.device(row);
    if (view.desired(row).length > 0) this.#desired.add(row);
    if (record?.registration === undefined || this.#lines.get(row) !== undefined) return;
    for (const { state, peer, token, id } of view.observations(row)) {
      if ((state !== 'active' && state !== 'ending') || peer === undefined || token === undefined) continue;
      this.#observedOn.set(row, peer);
      if (out.isThere(peer)) out.restoreStanding(peer, token, observationIdOf(row, id));
    }
    const registered = { ...record, registration: record.registration };
    const ended = view.commands(row).filter(({ state }) => state === 'sent');
    const line = this.#lines.open(registered, out);
    if (ended.length === 0) return this.#step(line, out);
    const changes = ended.map(command => unanswered(command, 'restart', out.now.wall));
    this.#write(line, registered, changes, out);
  }

  /** The session of a device ended: what was asked of it fails by itself. */
  gone(row: Row, peer: Peer): void {
    const line = this.#lines.get(row);
    if (line?.peer === peer) line.peer = undefined;
  }

  /** A bounded number of lines at a time, however many wait for the same moment. */
  expire(out: DownlinkOut): void {
    for (let taken = 0; taken < linesInTurn; taken++) {
      const line = this.#lines.takeDue(out.now.instant);
      if (line === undefined) return;
      this.#due(line, out);
    }
  }

  nextExpiry(): Instant | undefined {
    return this.#lines.nextDue();
  }

  /** Takes the next step of a line, if it is time for one; gives the line up if nothing is wanted any more. */
  #step(line: Line, out: DownlinkOut): void {
    if (line.busy) return this.#lines.arm(line, out);
    const view = out.view();
    const record = view.device(line.row);
    if (record?.registration === undefined) return this.#unregistered(line.row, view, out);
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
    if (line.peer !== undefined && !out.isThere(line.peer)) line.peer = undefined;
    const peer = line.peer ?? out.reach(registered);
    const command = nextCommand(commands, out.now.wall);
    const observation = view.observations(line.row).find(one => toBeMade(one, peer ?? line.peer));
    const desired = command === undefined ? this.#nextDesired(registered, view) : undefined;
    if (command === undefined && desired === undefined && observation === undefined) return this.#lines.close(line);
    line.deadline = command === undefined ? undefined : earliest(commands, out.now);
    this.#lines.arm(line, out);
    if (peer === undefined || !isAwake(line, out.now) || out.now.instant < line.notBefore) return;
    line.peer = peer;
    if (command !== undefined) this.#send(line, registered, command, peer, out);
    else if (desired !== undefined) this.#set(line, registered, desired, peer, out);
    else this.#observe(line, registered, observation!, peer, out);
  }

  #send(line: Line, record: Registered, queued: Command, peer: Peer, out: DownlinkOut): void {
    const command = sent(queued, out.now.wall);
    line.busy = true;
    out.commit(this.#commands.changed(record, [command]), result => {
      line.busy = false;
      if (result === 'failed') return this.#takeBack(line, record, command, out);
      if (result === 'conflict') return this.#look(line.row, out);
      const { root } = this.#dossiers.of(record);
      line.busy = true;
      const handle = out.ask(peer, draftOf(command.operation, root), {
        response: response => this.#answered(line, record, command, response, out),
        failed: fault => this.#failed(line, record, command, fault, out),
      });
      if (handle === undefined) {
        this.#lines.crowded(line, out);
        return this.#write(line, record, [unsent(command, 'busy', out.now.wall)], out);
      }
      line.asked = { handle, command, record };
      this.#lines.arm(line, out);
    });
  }

  /** The disk refused, before it wrote that the command was sent or after: then nobody would ever send it. */
  #takeBack(line: Line, record: Registered, command: Command, out: DownlinkOut): void {
    line.busy = true;
    line.again = () => {
      line.busy = false;
      const isWritten = out
        .view()
        .commands(line.row)
        .some(({ id, version }) => id === command.id && version === command.version);
      if (isWritten) this.#write(line, record, [unsent(command, 'disk', out.now.wall)], out);
      else this.#look(line.row, out);
    };
    this.#lines.putOff(line, diskDelay, out);
  }

  #answered(line: Line, record: Registered, command: Command, response: Response, out: DownlinkOut): void {
    line.asked = undefined;
    this.#lines.awake(line, out);
    const { code, options } = response;
    const answer = { code, contentFormat: options.get(ContentFormat), payload: response.payload.slice(0, keptPayload) };
    const done = answered(command, answer, codeText(code), out.now.wall);
    this.#write(line, record, [done], out, this.#commands.toldBy(record, done, response));
  }

  #failed(line: Line, record: Registered, command: Command, fault: RequestFault | 'deadline', out: DownlinkOut): void {
    line.asked = undefined;
    this.#lines.silent(line, fault, out);
    this.#write(line, record, [unanswered(command, fault, out.now.wall)], out);
  }

  #nextDesired({ row, registration }: Registered, view: View): Desired | undefined {
    if (!this.#desired.has(row)) return undefined;
    const all = view.desired(row);
    if (all.length === 0) this.#desired.delete(row);
    return all.find(one => isDue(one, view.value(row, one.path), registration));
  }

  #set(line: Line, record: Registered, desired: Desired, peer: Peer, out: DownlinkOut): void {
    line.busy = true;
    askToSet({ record, desired, peer, dossier: this.#dossiers.of(record), rules: this.#rules }, out, outcome => {
      if (outcome.kind === 'answered') this.#lines.awake(line, out);
      if (outcome.kind === 'unanswered') this.#lines.silent(line, outcome.fault, out);
      if (outcome.commit === undefined) {
        line.busy = false;
        return this.#step(line, out);
      }
      out.commit(outcome.commit, result => {
        line.busy = false;
        if (result === 'failed') this.#lines.putOff(line, diskDelay, out);
        else this.#look(line.row, out);
      });
    });
  }

  #observe(line: Line, record: Registered, observation: Observation, peer: Peer, out: DownlinkOut): void {
    line.busy = true;
    const ask = observation.state === 'ending' ? askToEnd : askToObserve;
    ask({ record, observation, peer, dossier: this.#dossiers.of(record), rules: this.#rules }, out, outcome => {
      if (outcome.kind === 'unanswered') {
        line.busy = false;
        this.#lines.silent(line, outcome.fault, out);
        return this.#step(line, out);
      }
      this.#lines.awake(line, out);
      out.commit(outcome.commit, result => {
        line.busy = false;
        const isMade = outcome.active && (result === 'durable' || isActive(line.row, observation, outcome.token, out));
        if (outcome.active && !isMade) out.forgetStanding(peer, outcome.token);
        else if (isMade) {
          this.#observedOn.set(line.row, peer);
          this.#watch(line.row, observation, out);
        }
        if (result === 'failed') this.#lines.putOff(line, diskDelay, out);
        else this.#look(line.row, out);
      });
    });
  }

  /** Writes what became of commands, and what was reported with it. */
  #write(line: Line, record: Registered, commands: readonly Command[], out: DownlinkOut, told?: Told): void {
    line.busy = true;
    out.commit(this.#commands.settled(record, commands, told, out), result => {
      line.busy = false;
      // What came of it must not get lost for a disk that was full for a moment.
      if (result === 'failed') {
        line.busy = true;
        line.again = () => this.#write(line, record, commands, out, told);
        return this.#lines.putOff(line, diskDelay, out);
      }
      // Of what is on its way nobody else writes what became of it.
      const left = result === 'conflict' ? stillSent(line.row, commands, out) : [];
      if (left.length > 0) return this.#write(line, record, left, out, told);
      this.#look(line.row, out);
    });
  }

  /** Its registration is over; or will be, once that is durable: the disk may refuse it, and then it goes on. */
  #unregistered(row: Row, { restsOnPending }: View, out: DownlinkOut): void {
    if (!restsOnPending) return this.#forget(row, out);
    if (this.#leaving.has(row)) return;
    this.#leaving.add(row);
    out.commit(emptyCommit, () => {
      this.#leaving.delete(row);
      this.#look(row, out);
    });
  }

  /** Its registration is over, and with it everything that was wanted of it. */
  #forget(row: Row, out: DownlinkOut): void {
    const line = this.#lines.get(row);
    const observedOn = this.#observedOn.get(row);
    // The numbers of its observations are given to those of its next registration.
    if (observedOn !== undefined) out.forgetObservations(observedOn, id => rowOfObservation(id).row === row);
    this.#observedOn.delete(row);
    this.#dossiers.forget(row);
    if (line === undefined) return;
    if (line.asked !== undefined) out.cancel(line.asked.handle);
    this.#lines.close(line);
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
    if (!line.busy && !isAwake(line, out.now)) this.#lines.fellAsleep(line, out);
    this.#step(line, out);
  }
}

type Watch = (row: Row, observation: Observation, out: DownlinkOut) => void;

function stillSent(row: Row, commands: readonly Command[], out: DownlinkOut): Command[] {
  const sentVersions = new Map(
    out
      .view()
      .commands(row)
      .flatMap(({ id, state, version }) => (state === 'sent' ? [[id, version] as const] : [])),
  );
  return commands.filter(({ id, version }) => sentVersions.get(id) === version - 1);
}

/** Whether the store says that it was made, though the disk refused to make that durable. */
function isActive(row: Row, { id }: Observation, token: Bytes, out: DownlinkOut): boolean {
  const stored = out.view().observation(row, id);
  return stored?.state === 'active' && stored.token !== undefined && sameBytes(stored.token, token);
}

function toBeMade({ state, peer }: Observation, current: Peer | undefined): boolean {
  return state === 'wanted' || state === 'ending' || (state === 'active' && current !== undefined && peer !== current);
}

function earliest(commands: readonly Command[], now: Now): Instant | undefined {
  const deadlines = commands.filter(({ state }) => state === 'queued').map(({ deadline }) => deadline);
  return deadlines.length === 0 ? undefined : instantOf(Math.min(...deadlines), now);
}

/** Longer than the 2.01 takes on slow links; a client that is asked before it came loses the question. */
const defaultDelay: Milliseconds = 500;
const diskDelay: Milliseconds = 5000;
/** A few milliseconds' worth. */
export const linesInTurn = 64;
/** How many bytes of an answer are kept with its command. */
const keptPayload = 16_384;
