import { type Command, InvalidArgumentError } from 'commander';
import { cancelCommand, endObservation, queueCommand, wishObservation } from '../adapters/deviceAdmin.ts';
import type { Environment } from '../adapters/lmdbEnvironment.ts';
import { readCommands, readObservations, readValues } from '../adapters/lmdbModel.ts';
import { readDefinitions } from '../adapters/objectFiles.ts';
import { OperatorError } from '../adapters/operatorError.ts';
import { seconds, type WallTime } from '../base/time.ts';
import { codeText } from '../coap/codec/code.ts';
import type { CommandId, Command as DeviceCommand, Operation } from '../fleet/command.ts';
import { isOver } from '../fleet/command.ts';
import type { Registered } from '../fleet/registration.ts';
import { jsonValue, type LastValue } from '../fleet/value.ts';
import { type ContentFault, isContentFault } from '../lwm2m/content/fault.ts';
import { decodeContent } from '../lwm2m/content/select.ts';
import { type Definitions, isNameFault } from '../lwm2m/definitions.ts';
import { objectOf, type Path, pathIds, rootPath } from '../lwm2m/path.ts';
import { type Entry, formatValue } from '../lwm2m/value.ts';
import { type Dossier, Dossiers } from '../service/dossier.ts';
import { executeOperation, readOperation, writeOperation } from '../service/operationOf.ts';
import { type EventOptions, printEvents, withEventOptions } from './events.ts';
import { eventPages } from './follow.ts';
import { type CommonOptions, digit, endpointName, examples, wholeNumber, withCommonOptions } from './options.ts';
import { fail, printJson, printTable } from './output.ts';
import { withStore } from './store.ts';

/** What an operator does with one device, beside a server that delivers it. */
export function addOperations(device: Command): void {
  withWaiting(device.command('read <endpoint> <paths...>'))
    .description('Read resources, instances or objects; several paths are one Read-Composite (LwM2M 1.2)')
    .addHelpText(
      'after',
      examples('rollcall device read node-1 /3303/0/5700', 'rollcall device read node-1 "Device/0"'),
    )
    .action((name: string, paths: string[], options: WaitingOptions) =>
      operate(name, options, opened => readOperation(opened.paths(paths), opened.dossier)),
    );
  withWaiting(device.command('write <endpoint> <path> <value>'))
    .description('Write one value')
    .option('--update', 'leave other instances of the resource as they are', false)
    .addHelpText('after', examples('rollcall device write node-1 "Server/0/Lifetime" 3600'))
    .action((name: string, path: string, value: string, options: WaitingOptions & { update: boolean }) =>
      operate(name, options, opened => writeOperation(opened.path(path), value, options.update, opened.dossier)),
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
      operate(name, options, opened => executeOperation(opened.path('/1/0/8'), undefined)),
    );
  for (const kind of ['delete', 'discover'] as const) {
    withWaiting(device.command(`${kind} <endpoint> <path>`))
      .description(kind === 'delete' ? 'Delete an object instance' : 'Ask what is there, with its attributes')
      .addHelpText('after', examples(`rollcall device ${kind} node-1 /3303/0`))
      .action((name: string, path: string, options: WaitingOptions) =>
        operate(name, options, opened => ({ kind, paths: [opened.path(path)] })),
      );
  }
  withObjects(device.command('observe <endpoint> [paths...]'))
    .description('Observe paths, each by itself; without a path list what is observed')
    .option('--pmin <seconds>', 'between notifications at least', wholeNumber)
    .option('--pmax <seconds>', 'between notifications at most', wholeNumber)
    .option('--gt <value>', 'notify when the value crosses it upwards', number)
    .option('--lt <value>', 'notify when the value crosses it downwards', number)
    .option('--st <value>', 'notify when the value moved by so much', number)
    .option('--cancel', 'observe them no more', false)
    .addHelpText('after', examples('rollcall device observe node-1 /3303/0/5700 --pmax 60'))
    .action((name: string, paths: string[], options: ObserveOptions) => observe(name, paths, options).catch(fail));
  withObjects(device.command('values <endpoint> [path]'))
    .description('Show the last values that the device reported, also while it sleeps')
    .addHelpText('after', examples('rollcall device values node-1 /3303'))
    .action((name: string, path: string | undefined, options: DeviceOptions) =>
      withDevice(name, options, async opened => {
        const { environment, record } = opened;
        const below = path === undefined ? rootPath : opened.path(path);
        printValues(readValues(environment, record.row, below), opened.definitions, options.json);
      }),
    );
  withEventOptions(device.command('events <endpoint>'))
    .description('What happened with the device')
    .addHelpText('after', examples('rollcall device events node-1 --follow'))
    .action((name: string, options: EventOptions) =>
      withDevice(name, options, ({ environment, record }) => printEvents(environment, options, record.row)),
    );
  withCommonOptions(device.command('watch <endpoint>'))
    .description('Print values as the device reports them')
    .addHelpText('after', examples('rollcall device watch node-1'))
    .action((name: string, options: CommonOptions) =>
      withDevice(name, options, ({ environment, record: { row } }) =>
        printEvents(environment, { ...options, type: ['value'], follow: true }, row),
      ),
    );
  withCommonOptions(device.command('queue <endpoint>'))
    .description('Show commands, waiting and done; or cancel one that waits')
    .option('--cancel <id>', 'cancel this command', wholeNumber)
    .addHelpText('after', examples('rollcall device queue node-1', 'rollcall device queue node-1 --cancel 42'))
    .action((name: string, options: CommonOptions & { cancel?: number }) => queue(name, options).catch(fail));
}

function withObjects(command: Command): Command {
  return withCommonOptions(command).option('--objects <dir>', 'know the objects in the files of a directory too');
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
  { row, name }: Registered,
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
    `no outcome after ${timeout} s: command ${id} stays in the queue (rollcall device queue ${name}); does a server run on this store, and is the device awake?`,
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

async function observe(name: string, paths: readonly string[], options: ObserveOptions): Promise<void> {
  await withDevice(name, options, async opened => {
    const { environment, record } = opened;
    const { row, name: endpoint } = record;
    const { pmin, pmax, gt, lt, st } = options;
    for (const path of opened.paths(paths)) {
      const now = Date.now() as WallTime;
      if (!options.cancel) {
        const attributes = { pmin, pmax, gt, lt, st };
        await wishObservation(environment, now, row, { paths: [path], attributes, source: 'operator' });
      } else if ((await endObservation(environment, now, row, [path])) === undefined) {
        throw new OperatorError(`${endpoint} is not observed at ${path}`);
      }
    }
    const observations = readObservations(environment, row);
    if (options.json)
      return printJson(
        observations.map(({ id, paths: on, state, reason, source }) => ({ id, paths: on, state, reason, source })),
      );
    printTable(
      observations.map(({ id, paths: on, state, reason, source }) => [
        String(id),
        on.join(' '),
        state,
        reason ?? '',
        source,
      ]),
    );
  });
}

async function queue(name: string, options: CommonOptions & { cancel?: number }): Promise<void> {
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

function printValues(values: readonly LastValue[], definitions: Definitions, json: boolean): void {
  if (json) {
    return printJson(
      values.map(({ path, value, received, measured, source }) => ({
        path,
        name: definitions.nameOf(path),
        value: jsonValue(value),
        unit: unitOf(path, definitions),
        received: new Date(received).toISOString(),
        ...(measured === undefined ? {} : { measured: new Date(measured).toISOString() }),
        source,
      })),
    );
  }
  printTable(
    values.map(value => [...valueRow(value, definitions), new Date(value.measured ?? value.received).toISOString()]),
  );
}

function valueRow({ path, value }: Pick<Entry, 'path' | 'value'>, definitions: Definitions): string[] {
  return [path, definitions.nameOf(path), formatValue(value), unitOf(path, definitions) ?? ''];
}

function unitOf(path: Path, definitions: Definitions): string | undefined {
  const [object, , resource] = pathIds(path);
  return object === undefined || resource === undefined
    ? undefined
    : definitions.resource(object, undefined, resource)?.unit;
}

/** Opens the store and looks the device up; what goes wrong ends the process with its reason. */
function withDevice(name: string, options: DeviceOptions, work: (opened: OpenDevice) => Promise<void>): Promise<void> {
  return withStore(options.data, async (administration, environment) => {
    const endpoint = endpointName(name);
    const record = administration.device(endpoint, undefined);
    if (record === undefined) throw new OperatorError(`no device ${endpoint}: see rollcall device list`);
    const { registration } = record;
    if (registration === undefined) throw new OperatorError(`${endpoint} is not registered`);
    const registered = { ...record, registration };
    const definitions = await readDefinitions(options.objects);
    const path = (text: string) => pathOf(text, definitions);
    await work({
      environment,
      record: registered,
      definitions,
      dossier: new Dossiers(definitions).of(registered),
      path,
      paths: texts => texts.map(path),
    });
  }).catch(fail);
}

function pathOf(text: string, definitions: Definitions): Path {
  const path = definitions.resolve(text);
  if (isNameFault(path)) throw new OperatorError(path.message);
  return path;
}

function number(text: string): number {
  const value = Number(text);
  if (text === '' || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number');
  return value;
}

/** A device and what is known of its resources. */
interface OpenDevice {
  readonly environment: Environment;
  readonly record: Registered;
  readonly definitions: Definitions;
  readonly dossier: Dossier;
  /** The path that a text means; what it does not mean is an error. */
  path(text: string): Path;
  paths(texts: readonly string[]): Path[];
}

interface DeviceOptions extends CommonOptions {
  readonly objects?: string;
}

interface WaitingOptions extends DeviceOptions {
  readonly timeout: number;
  readonly wait: boolean;
  readonly deadline?: number;
  readonly priority?: number;
  readonly attempts?: number;
}

interface ObserveOptions extends DeviceOptions {
  readonly pmin?: number;
  readonly pmax?: number;
  readonly gt?: number;
  readonly lt?: number;
  readonly st?: number;
  readonly cancel: boolean;
}
