import type { Response } from '../coap/codec/message.ts';
import { type Command, type CommandChange, isOver, keptCommands } from '../fleet/command.ts';
import type { FleetEvent } from '../fleet/event.ts';
import type { FleetRules, Registered } from '../fleet/registration.ts';
import { type Commit, emptyCommit, type View } from '../fleet/store.ts';
import type { ValueSource } from '../fleet/value.ts';
import type { ContentFault } from '../lwm2m/content/fault.ts';
import { decodeContent } from '../lwm2m/content/select.ts';
import { objectOf, type Path, rootPath } from '../lwm2m/path.ts';
import type { Entry } from '../lwm2m/value.ts';
import type { Dossier, Dossiers } from './dossier.ts';
import type { DownlinkOut } from './downlinkOut.ts';
import { deviceEvent, readReport, reported } from './reports.ts';

/** What a command leaves in the store: its states, an event for each, and the last values that its answer tells. */
export class CommandRecords {
  readonly #rules: FleetRules;
  readonly #dossiers: Dossiers;

  constructor(rules: FleetRules, dossiers: Dossiers) {
    this.#rules = rules;
    this.#dossiers = dossiers;
  }

  /** The next state of some commands. */
  changed(record: Registered, commands: readonly Command[]): Commit {
    const { row, generation } = record;
    const changes = commands.map(command => ({
      row,
      generation,
      id: command.id,
      expected: command.version - 1,
      command,
    }));
    return { ...emptyCommit, commands: changes, events: commands.map(command => this.#eventOf(record, command)) };
  }

  /** What became of commands, and what was reported with it; those that are over longest are forgotten. */
  settled(record: Registered, commands: readonly Command[], told: Told | undefined, out: DownlinkOut): Commit {
    const { wall } = out.now;
    const view = out.view();
    const commit = this.changed(record, commands);
    const whole = { ...commit, commands: [...commit.commands!, ...forgotten(record, view, commands)] };
    if (told === undefined) return whole;
    const receipt = { received: wall, source: told.source, peer: undefined, sequence: undefined };
    const { values, details } = reported(told.entries, record, this.#dossiers.of(record), receipt, view);
    const event = deviceEvent(this.#rules, 'value', wall, record, details);
    return { ...whole, values, events: [event, ...whole.events] };
  }

  /** What a successful Read says, and what a successful Write makes so. */
  toldBy(record: Registered, { operation, state }: Command, response: Response): Told | undefined {
    if (state !== 'succeeded') return undefined;
    const { kind, paths, contentFormat, payload } = operation;
    const base = (kind === 'read-composite' || kind === 'write-composite' ? rootPath : paths[0]) as Path;
    const dossier = this.#dossiers.of(record);
    if (kind === 'read' || kind === 'read-composite') {
      return { entries: readReport(base, response, dossier), source: 'read' };
    }
    if (kind !== 'write' && kind !== 'update' && kind !== 'write-composite') return undefined;
    if (contentFormat === undefined || payload === undefined) return undefined;
    return {
      entries: decodeContent(contentFormat, base, payload, dossier.types, versionAt(base, dossier)),
      source: 'write',
    };
  }

  #eventOf(record: Registered, { id, operation, state, reason, since }: Command): FleetEvent {
    const { kind, paths } = operation;
    const details = { command: id, operation: kind, paths, state, ...(reason === undefined ? {} : { reason }) };
    return deviceEvent(this.#rules, 'command', since, record, details);
  }
}

/** What is known of a device's resources by a command. */
export interface Told {
  readonly entries: readonly Entry[] | ContentFault;
  readonly source: ValueSource;
}

/** Of the commands that are over, the newest are kept. */
function forgotten({ row, generation }: Registered, view: View, ending: readonly Command[]): CommandChange[] {
  const over = view.commands(row).filter(command => isOver(command));
  const room = Math.max(0, keptCommands - ending.filter(command => isOver(command)).length);
  return over
    .slice(0, Math.max(0, over.length - room))
    .map(({ id, version }) => ({ row, generation, id, expected: version, command: undefined }));
}

function versionAt(base: Path, dossier: Dossier) {
  const object = objectOf(base);
  return object === undefined ? undefined : dossier.versionOf(object);
}
