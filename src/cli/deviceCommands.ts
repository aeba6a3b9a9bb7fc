import type { Command } from 'commander';
import { cancelCommand, queueCommand } from '../adapters/deviceAdmin.ts';
import type { Environment } from '../adapters/lmdbEnvironment.ts';
import { readCommands } from '../adapters/lmdbModel.ts';
import { OperatorError, UsageError } from '../adapters/operatorError.ts';
import { seconds, type WallTime } from '../base/time.ts';
import { codeText } from '../coap/codec/code.ts';
import { type CommandId, type Command as DeviceCommand, isOver, type Operation } from '../fleet/command.ts';
import { decodeDescription } from '../fleet/description.ts';
import type { Registered } from '../fleet/registration.ts';
import { jsonValue } from '../fleet/value.ts';
import { type ContentFault, isContentFault } from '../lwm2m/content/fault.ts';
import { decodeContent } from '../lwm2m/content/select.ts';
import { instancePath, levelOf, objectOf, type Path, rootPath } from '../lwm2m/path.ts';
import type { Entry } from '../lwm2m/value.ts';
import {
  createOperation,
  entryFromText,
  executeOperation,
  readOperation,
  triggerOperation,
  writeComposite,
  writeOperation,
} from '../service/operationOf.ts';
import { eventPages } from './follow.ts';
import {
  type DeviceOptions,
  type OpenDevice,
  parseAssignment,
  valueRow,
  withDevice,
  withDeviceOptions,
  withObjects,
} from './openDevice.ts';
import { digit, examples, wholeNumber } from './options.ts';
import { fail, printJson, printTable } from './output.ts';

/** What an operator has a device do, beside a server that delivers it. */
export function addCommands(device: Command): void {
  withWaiting(device.command('read <endpoint> <paths...>'))
    .description('Read resources, instances or objects; several paths are one Read-Composite (LwM2M 1.2)')
    .addHelpText(
      'after',
      examples('rollcall device read node-1 /3303/0/5700', 'rollcall device read node-1 "Device/0"'),
    )
    .action((name: string, paths: string[], options: WaitingOptions) =>
      operate(name, options, opened => readOperation(opened.paths(paths), opened.dossier)),
    );
  withWaiting(device.command('write <endpoint> <assignments...>'))
    .description('Write one value, PATH VALUE; or several, PATH=VALUE …, all or nothing (Write-Composite, LwM2M 1.2)')
    .option('--update', 'leave other instances of the resource as they are', false)
    .addHelpText(
      'after',
      examples(
        'rollcall device write node-1 "Server/0/Lifetime" 3600',
        'rollcall device write node-1 /3308/0/5900=21.5 /3308/0/5701=Cel',
      ),
    )
    .action((name: string, assignments: string[], options: WaitingOptions & { update: boolean }) =>
      operate(name, options, opened => writing(opened, assignments, options.update)),
    );
  withWaiting(device.command('create <endpoint> <path> [assignments...]'))
    .description('Create an object instance, /OBJECT/INSTANCE or /OBJECT, with RESOURCE=VALUE …')
    .addHelpText('after', examples('rollcall device create node-1 /3303/1 5700=21.5 "Application Type=cellar"'))
    .action((name: string, path: string, assignments: string[], options: WaitingOptions) =>
      operate(name, options, opened => creating(opened, path, assignments)),
    );
  withWaiting(device.command('exec <endpoint> <path> [arguments]'))
    .description('Execute a resource; once: if no answer comes, nobody knows whether it was done')
    .addHelpText('after', examples('rollcall device exec node-1 Device/0/Reboot'))
    .action((name: string, path: string, args: string | undefined, options: WaitingOptions) =>
      operate(name, options, opened => executeOperation(opened.path(path), args)),
    );
  withWaiting(device.command('trigger <endpoint>'))
    .description('Have the device update its registration (Registration Update Trigger)')
    .addHelpText('after', examples('rollcall device trigger node-1'))
    .action((name: string, options: WaitingOptions) =>
      operate(name, options, ({ record }) =>
        triggerOperation(decodeDescription(record.registration.description).objects),
      ),
    );
  for (const kind of ['delete', 'discover'] as const) {
    withWaiting(device.command(`${kind} <endpoint> <path>`))
      .description(kind === 'delete' ? 'Delete an object instance' : 'Ask what is there, with its attributes')
      .addHelpText('after', examples(`rollcall device ${kind} node-1 /3303/0`))
      .action((name: string, path: string, options: WaitingOptions) =>
        operate(name, options, opened => ({ kind, paths: [opened.path(path)] })),
      );
  }
  withDeviceOptions(device.command('queue <endpoint>'))
    .description('Show commands, waiting and done; or cancel one that waits')
    .option('--cancel <id>', 'cancel this command', wholeNumber)
    .addHelpText('after', examples('rollcall device queue node-1', 'rollcall device queue node-1 --cancel 42'))
    .action((name: string, options: DeviceOptions & { cancel?: number }) => queue(name, options).catch(fail));
}

function withWaiting(command: Command): Command {
  return withObjects(command)
    .option('--timeout <seconds>', 'how long to wait here for the outcome', wholeNumber, 60)
    .option('--no-wait', 'print the id of the command and leave')
    .option('--deadline <seconds>', 'give it up if it has no outcome by then; a day by default', wholeNumber)
    .option('--priority <0-9>', 'the higher goes first; 4 by default', digit)
    .option('--attempts <count>', 'how often it may be sent, if it may be done twice; 3 by default', wholeNumber);
}

async function operate(
  name: string,
  options: WaitingOptions,
  operationOf: (opened: OpenDevice) => Operation | ContentFault,
): Promise<void> {
  await withDevice(name, options, async opened => {
    const { environment, record } = opened;
    const operation = operationOf(opened);
    if (isContentFault(operation)) throw new OperatorError(operation.detail ?? operation.reason);
    const { deadline, priority, attempts } = options;
    const command = await queueCommand(environment, Date.now() as WallTime, record.row, operation, {
      priority,
      attempts,
      patience: deadline === undefined ? undefined : seconds(deadline),
    });
    if (!options.wait)
      return options.json ? printJson({ command: command.id }) : printTable([['command', String(command.id)]]);
    const done = await outcomeOf(environment, record, command.id, options);
    print(done, opened, options.json);
    if (done.state !== 'succeeded') process.exitCode = 1;
  });
}

/** Follows the events of the device until its command is over; what happens meanwhile is told on a terminal. */
async function outcomeOf(
  environment: Environment,
  { row, name, sector }: Registered,
  id: CommandId,
  { timeout, json }: WaitingOptions,
): Promise<DeviceCommand> {
  const until = Date.now() + seconds(timeout);
  const live = process.stderr.isTTY && !json;
  for await (const page of eventPages(environment, id, true, until)) {
    for (const { row: about, type, details } of page) {
      if (about !== row) continue;
      if (type === 'deregistered' || type === 'expired' || type === 'forgotten') {
        throw new OperatorError(`${name} ${type}, and command ${id} went with its registration`);
      }
      if (type === 'asleep' && live) process.stderr.write(`${name} sleeps: the command waits for it\n`);
      if (type !== 'command' || details?.command !== id) continue;
      const command = readCommands(environment, row).find(one => one.id === id);
      if (command !== undefined && isOver(command)) return command;
      if (live) process.stderr.write(`command ${id} ${command?.state ?? ''}\n`);
    }
  }
  throw new OperatorError(
    `no outcome after ${timeout} s: command ${id} stays in the queue (rollcall device queue ${name}${sector === undefined ? '' : ` --sector ${sector}`}); does a server run on this store, and is the device awake?`,
  );
}

function print(
  { id, operation, state, reason, answer }: DeviceCommand,
  { dossier, definitions }: OpenDevice,
  json: boolean,
): void {
  const base = (operation.paths.length === 1 ? operation.paths[0]! : rootPath) as Path;
  const object = objectOf(base);
  const version = object === undefined ? undefined : dossier.versionOf(object);
  const isReading = operation.kind === 'read' || operation.kind === 'read-composite';
  const entries =
    answer === undefined || state !== 'succeeded' || !isReading
      ? undefined
      : decodeContent(answer.contentFormat ?? 0, base, answer.payload, dossier.types, version);
  const unreadable = entries !== undefined && isContentFault(entries);
  if (json) {
    const values =
      entries === undefined || unreadable
        ? undefined
        : Object.fromEntries(entries.map(({ path, value }) => [path, jsonValue(value)]));
    const links =
      operation.kind === 'discover' && answer !== undefined ? new TextDecoder().decode(answer.payload) : undefined;
    return printJson({
      command: id,
      state,
      reason,
      values,
      links,
      ...(unreadable ? { unreadable: entries.reason } : {}),
    });
  }
  if (entries !== undefined && !unreadable) return printTable(entries.map(entry => valueRow(entry, definitions)));
  if (operation.kind === 'discover' && answer !== undefined && state === 'succeeded') {
    process.stdout.write(`${new TextDecoder().decode(answer.payload).replaceAll(',<', ',\n<')}\n`);
    return;
  }
  const why = unreadable ? entries.reason : (reason ?? (answer && codeText(answer.code)) ?? '');
  printTable([[`command ${id}`, state, why]]);
}

/** `PATH VALUE` is one Write; `PATH=VALUE …` is one too, or one Write-Composite of all. */
function writing(opened: OpenDevice, texts: readonly string[], update: boolean): Operation | ContentFault {
  const [first = '', second] = texts;
  const isPair = texts.length === 2 && !first.includes('=');
  const assignments = isPair ? [{ path: first, value: second! }] : texts.map(parseAssignment);
  const [only] = assignments;
  if (assignments.length === 1) return writeOperation(opened.path(only!.path), only!.value, update, opened.dossier);
  if (update) throw new UsageError('--update is for one value: a Write-Composite leaves what it does not name');
  const entries = entriesOf(opened, assignments);
  return isContentFault(entries) ? entries : writeComposite(entries, opened.dossier);
}

/** Resources are named below the instance: `5700=21.5`. */
function creating(opened: OpenDevice, text: string, texts: readonly string[]): Operation | ContentFault {
  const path = opened.path(text);
  const level = levelOf(path);
  if (level !== 'object' && level !== 'instance') throw new UsageError(`${text} is no object and no instance`);
  const instance = level === 'instance' ? path : instancePath(objectOf(path)!, 0);
  const assignments = texts
    .map(parseAssignment)
    .map(({ path: below, value }) => ({ path: `${instance}/${below}`, value }));
  const entries = entriesOf(opened, assignments);
  return isContentFault(entries) ? entries : createOperation(path, instance, entries, opened.dossier);
}

function entriesOf(
  opened: OpenDevice,
  assignments: readonly { path: string; value: string }[],
): Entry[] | ContentFault {
  const entries: Entry[] = [];
  for (const assignment of assignments) {
    const entry = entryFromText(opened.path(assignment.path), assignment.value, opened.dossier.types);
    if (isContentFault(entry)) return entry;
    entries.push(entry);
  }
  return entries;
}

async function queue(name: string, options: DeviceOptions & { cancel?: number }): Promise<void> {
  await withDevice(name, options, async opened => {
    const { environment, record } = opened;
    const { row, name: endpoint } = record;
    if (options.cancel !== undefined) {
      const cancelled = await cancelCommand(environment, Date.now() as WallTime, row, options.cancel as CommandId);
      if (cancelled === undefined) throw new OperatorError(`no command ${options.cancel} waits for ${endpoint}`);
    }
    const commands = readCommands(environment, row);
    if (options.json) {
      return printJson(
        commands.map(({ id, operation, priority, state, reason, since, deadline }) => ({
          id,
          operation: operation.kind,
          paths: operation.paths,
          priority,
          state,
          reason,
          since: new Date(since).toISOString(),
          deadline: new Date(deadline).toISOString(),
        })),
      );
    }
    printTable(
      commands.map(({ id, operation, state, reason, since }) => [
        String(id),
        operation.kind,
        operation.paths.join(' '),
        state,
        reason ?? '',
        new Date(since).toISOString(),
      ]),
    );
  });
}

interface WaitingOptions extends DeviceOptions {
  readonly timeout: number;
  readonly wait: boolean;
  readonly deadline?: number;
  readonly priority?: number;
  readonly attempts?: number;
}
