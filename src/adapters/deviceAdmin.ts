import { utf8 } from '../base/bytes.ts';
import type { WallTime } from '../base/time.ts';
import { decodeAllocation } from '../fleet/allocation.ts';
import {
  type Command,
  type CommandId,
  type CommandOptions,
  cancelled,
  highestPriority,
  isOver,
  maxAttempts,
  newCommand,
  type Operation,
} from '../fleet/command.ts';
import { type Desired, desire, maxDesired, maxDesiredBytes } from '../fleet/desired.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { EventType, FleetEvent } from '../fleet/event.ts';
import type { Row } from '../fleet/names.ts';
import { maxObservations, type Observation, type Wish, wanted } from '../fleet/observation.ts';
import type { Commit } from '../fleet/store.ts';
import { firstVersion } from '../fleet/version.ts';
import type { ValuePath } from '../lwm2m/path.ts';
import { type Entry, isBytes } from '../lwm2m/value.ts';
import { type Environment, lastSequence, transact } from './lmdbEnvironment.ts';
import { decodeRecord, encodeEvent } from './lmdbForms.ts';
import { mayModel, readCommands, readDesired, readObservations, writeModel } from './lmdbModel.ts';
import { OperatorError } from './operatorError.ts';

/**
 * What operators want of devices: each wish one transaction with its event, from which a running server learns of it.
 * Without a server it waits in the store for one.
 */

/** Throws `OperatorError` if the device is not registered, its queue is full, or an option is out of its bounds. */
export async function queueCommand(
  environment: Environment,
  wall: WallTime,
  row: Row,
  operation: Operation,
  options: CommandOptions,
): Promise<Command> {
  const { priority = 0, attempts = 1 } = options;
  if (!isWithin(priority, 0, highestPriority)) throw new OperatorError(`a priority is from 0 to ${highestPriority}`);
  if (!isWithin(attempts, 1, maxAttempts)) throw new OperatorError(`attempts are from 1 to ${maxAttempts}`);
  const queued = await change(environment, row, record => {
    const waiting = readCommands(environment, row).filter(command => !isOver(command));
    const { limit } = decodeAllocation(record.registration!.allocation).queue;
    if (waiting.length >= limit) {
      throw new OperatorError(`the queue of ${record.name} is full: ${limit} commands wait already`);
    }
    const command = newCommand((lastSequence(environment) + 1) as CommandId, operation, wall, options);
    const { id } = command;
    const details = { command: id, operation: operation.kind, paths: operation.paths, state: 'queued' };
    const commands = [{ row, generation: record.generation, id, expected: 0, command }];
    return { result: command, commit: { devices: [], commands, events: [eventOf('command', wall, record, details)] } };
  });
  return queued!;
}

/** `undefined` if there is no such command, or it is too late. */
export async function cancelCommand(
  environment: Environment,
  wall: WallTime,
  row: Row,
  id: CommandId,
): Promise<Command | undefined> {
  return change(environment, row, record => {
    const before = readCommands(environment, row).find(command => command.id === id);
    const command = before && cancelled(before, wall);
    if (command === undefined) return undefined;
    const details = {
      command: id,
      operation: command.operation.kind,
      paths: command.operation.paths,
      state: 'cancelled',
    };
    const commands = [{ row, generation: record.generation, id, expected: before!.version, command }];
    return { result: command, commit: { devices: [], commands, events: [eventOf('command', wall, record, details)] } };
  });
}

/** Wishes for an observation; one that is there already gets the new attributes and is made anew. */
export async function wishObservation(
  environment: Environment,
  wall: WallTime,
  row: Row,
  wish: Wish,
): Promise<Observation> {
  const wished = await change(environment, row, record => {
    const present = readObservations(environment, row);
    const before = present.find(({ paths }) => paths.join(' ') === wish.paths.join(' '));
    if (before === undefined && present.length >= maxObservations) {
      throw new OperatorError(`${record.name} has ${maxObservations} observations already`);
    }
    const id = before?.id ?? (present.at(-1)?.id ?? 0) + 1;
    const observation = wanted(wish, id, before === undefined ? firstVersion(wall) : before.version + 1, wall);
    return { result: observation, commit: observationCommit(record, wall, before, observation, 'wanted') };
  });
  return wished!;
}

/** The server tells the device, when it listens, and forgets it then. `undefined` if it was not there. */
export async function endObservation(
  environment: Environment,
  wall: WallTime,
  row: Row,
  paths: readonly string[],
): Promise<Observation | undefined> {
  return change(environment, row, record => {
    const before = readObservations(environment, row).find(one => one.paths.join(' ') === paths.join(' '));
    if (before === undefined) return undefined;
    const ending: Observation | undefined =
      before.state === 'active' ? { ...before, version: before.version + 1, state: 'ending', since: wall } : undefined;
    return { result: before, commit: observationCommit(record, wall, before, ending, ending?.state ?? 'cancelled') };
  });
}

/**
 * What a device is to have from now on, all of it or nothing, also while it is not registered. A value that is set again
 * is delivered again.
 */
export async function setDesired(
  environment: Environment,
  wall: WallTime,
  row: Row,
  entries: readonly Pick<Entry, 'path' | 'value'>[],
): Promise<Desired[]> {
  const set = await changeRecord(environment, row, record => {
    const present = new Map(readDesired(environment, row).map(one => [one.path, one]));
    const added = new Set(entries.map(({ path }) => path).filter(path => !present.has(path)));
    if (present.size + added.size > maxDesired) {
      throw new OperatorError(`${record.name} may have ${maxDesired} desired values, and has ${present.size} already`);
    }
    const result = entries.map(({ path, value }) => {
      if (sizeOf(value) > maxDesiredBytes) {
        throw new OperatorError(`a desired value has up to ${maxDesiredBytes} bytes, that of ${path} has more`);
      }
      return desire(path, value, present.get(path), wall);
    });
    const desired = result.map(one => ({
      row,
      path: one.path,
      expected: present.get(one.path)?.version ?? 0,
      desired: one,
    }));
    const events = result.map(({ path }) => eventOf('desired', wall, record, { path, state: 'set' }));
    return { result, commit: { devices: [], desired, events } };
  });
  return set ?? [];
}

/** All of it, or what is named; the device keeps what it has. Returns what was unset. */
export async function unsetDesired(
  environment: Environment,
  wall: WallTime,
  row: Row,
  paths: readonly ValuePath[] | undefined,
): Promise<Desired[]> {
  const unset = await changeRecord(environment, row, record => {
    const result = readDesired(environment, row).filter(({ path }) => paths?.includes(path) ?? true);
    const desired = result.map(({ path, version }) => ({ row, path, expected: version, desired: undefined }));
    const events = result.map(({ path }) => eventOf('desired', wall, record, { path, state: 'unset' }));
    return { result, commit: { devices: [], desired, events } };
  });
  return unset ?? [];
}

function isWithin(number: number, least: number, most: number): boolean {
  return Number.isInteger(number) && number >= least && number <= most;
}

function sizeOf(value: Entry['value']): number {
  return typeof value === 'string' ? utf8(value).length : isBytes(value) ? value.length : 0;
}

function observationCommit(
  record: DeviceRecord,
  wall: WallTime,
  before: Observation | undefined,
  observation: Observation | undefined,
  state: string,
): Commit {
  const { row, generation } = record;
  const { id, paths } = (observation ?? before)!;
  const events = [eventOf('observation', wall, record, { observation: id, paths, state })];
  return { devices: [], observations: [{ row, generation, id, expected: before?.version ?? 0, observation }], events };
}

/** For what goes with a registration. */
function change<Result>(
  environment: Environment,
  row: Row,
  decide: (record: DeviceRecord) => { result: Result; commit: Commit } | undefined,
): Promise<Result | undefined> {
  return changeRecord(environment, row, record => {
    if (record.registration === undefined) throw new OperatorError(`${record.name} is not registered`);
    return decide(record);
  });
}

/** Decides inside the transaction, so that nobody can be faster; `undefined` changes nothing. */
async function changeRecord<Result>(
  environment: Environment,
  row: Row,
  decide: (record: DeviceRecord) => { result: Result; commit: Commit } | undefined,
): Promise<Result | undefined> {
  let refusal: unknown;
  const result = await transact(environment, () => {
    // What is thrown inside a transaction does not undo it: it is carried out of it instead.
    try {
      const bytes = environment.devices.get(row);
      if (bytes === undefined) throw new OperatorError('the device is not registered');
      const decided = decide(decodeRecord(row, bytes));
      if (decided === undefined || !mayModel(environment, decided.commit)) return undefined;
      let sequence = lastSequence(environment);
      writeModel(environment, decided.commit);
      for (const event of decided.commit.events) void environment.events.put(++sequence, encodeEvent(event));
      return decided.result;
    } catch (error) {
      refusal = error;
      return undefined;
    }
  });
  if (refusal !== undefined) throw refusal;
  return result;
}

function eventOf(
  type: EventType,
  at: WallTime,
  { row, name, sector }: DeviceRecord,
  details: Readonly<Record<string, unknown>>,
): FleetEvent {
  return { type, at, row, name, ...(sector === undefined ? {} : { sector }), details };
}
