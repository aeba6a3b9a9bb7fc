import { type Command, InvalidArgumentError } from 'commander';
import { endObservation, wishObservation } from '../adapters/deviceAdmin.ts';
import { readObservations, readValues } from '../adapters/lmdbModel.ts';
import { OperatorError } from '../adapters/operatorError.ts';
import type { WallTime } from '../base/time.ts';
import { jsonValue, type LastValue } from '../fleet/value.ts';
import type { Definitions } from '../lwm2m/definitions.ts';
import { rootPath } from '../lwm2m/path.ts';
import { addCommands } from './deviceCommands.ts';
import { addDesired } from './deviceDesired.ts';
import { type EventOptions, printEvents, withEventOptions } from './events.ts';
import {
  type DeviceOptions,
  unitOf,
  valueRow,
  withDevice,
  withDeviceOptions,
  withKnownDevice,
  withObjects,
} from './openDevice.ts';
import { examples, wholeNumber } from './options.ts';
import { fail, printJson, printTable } from './output.ts';

/** What an operator does with one device. */
export function addOperations(device: Command): void {
  addCommands(device);
  addDesired(device);
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
  withEventOptions(withDeviceOptions(device.command('events <endpoint>')))
    .description('What happened with the device; without --from the newest')
    .addHelpText(
      'after',
      examples('rollcall device events node-1 --limit 20', 'rollcall device events node-1 --follow'),
    )
    .action((name: string, options: EventOptions & DeviceOptions) =>
      withKnownDevice(name, options, ({ environment, record }) => printEvents(environment, options, record.row)),
    );
  withDeviceOptions(device.command('watch <endpoint>'))
    .description('Print values as the device reports them')
    .addHelpText('after', examples('rollcall device watch node-1'))
    .action((name: string, options: DeviceOptions) =>
      withDevice(name, options, ({ environment, record: { row } }) =>
        printEvents(environment, { ...options, type: ['value'], follow: true }, row),
      ),
    );
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

function number(text: string): number {
  const value = Number(text);
  if (text === '' || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number');
  return value;
}

interface ObserveOptions extends DeviceOptions {
  readonly pmin?: number;
  readonly pmax?: number;
  readonly gt?: number;
  readonly lt?: number;
  readonly st?: number;
  readonly cancel: boolean;
}
