import type { Command } from 'commander';
import { setDesired, unsetDesired } from '../adapters/deviceAdmin.ts';
import { readDesired, readValue } from '../adapters/lmdbModel.ts';
import { OperatorError, UsageError } from '../adapters/operatorError.ts';
import type { WallTime } from '../base/time.ts';
import { type Desired, isDue } from '../fleet/desired.ts';
import { jsonValue } from '../fleet/value.ts';
import { isContentFault } from '../lwm2m/content/fault.ts';
import { isValuePath, type ValuePath } from '../lwm2m/path.ts';
import { entryFromText } from '../service/operationOf.ts';
import {
  type DeviceOptions,
  dossierOf,
  type KnownDevice,
  parseAssignment,
  valueRow,
  withKnownDevice,
  withObjects,
} from './openDevice.ts';
import { examples } from './options.ts';
import { printJson, printTable } from './output.ts';

/** The values that a device is to have, set once and delivered whenever it has others. */
export function addDesired(device: Command): void {
  withObjects(device.command('set <endpoint> <assignments...>'))
    .description('Set what a device is to have, PATH=VALUE …; it is written when the device listens, and kept so')
    .addHelpText(
      'after',
      examples('rollcall device set node-1 /3308/0/5900=21.5', 'rollcall device set node-1 "Server/0/Lifetime=3600"'),
    )
    .action((name: string, assignments: string[], options: DeviceOptions) =>
      withKnownDevice(name, options, async known => {
        const entries = assignments.map(text => entryOf(known, text));
        await setDesired(known.environment, Date.now() as WallTime, known.record.row, entries);
        show(known, options);
      }),
    );
  withObjects(device.command('unset <endpoint> [paths...]'))
    .description('Want these values no more, or none at all; the device keeps what it has')
    .addHelpText('after', examples('rollcall device unset node-1 /3308/0/5900', 'rollcall device unset node-1'))
    .action((name: string, paths: string[], options: DeviceOptions) =>
      withKnownDevice(name, options, async known => {
        const named = paths.length === 0 ? undefined : known.paths(paths).filter(isValuePath);
        const unset = await unsetDesired(known.environment, Date.now() as WallTime, known.record.row, named);
        if (unset.length === 0) throw new OperatorError(`${known.record.name} has no such desired value`);
        show(known, options);
      }),
    );
  withObjects(device.command('desired <endpoint>'))
    .description('Show what a device is to have: pending, delivered, or refused and why')
    .addHelpText('after', examples('rollcall device desired node-1 --json'))
    .action((name: string, options: DeviceOptions) =>
      withKnownDevice(name, options, async known => show(known, options)),
    );
}

/** Typed as the device registered its objects, or if it has not by their newest version. */
function entryOf(known: KnownDevice, text: string): { path: ValuePath; value: Desired['value'] } {
  const { path, value } = parseAssignment(text);
  const { record, definitions } = known;
  const { registration } = record;
  const types = registration === undefined ? definitions : dossierOf(known, { ...record, registration }).types;
  const entry = entryFromText(known.path(path), value, types);
  if (isContentFault(entry)) throw new UsageError(entry.detail ?? entry.reason);
  return entry;
}

function show({ environment, record, definitions }: KnownDevice, { json }: DeviceOptions): void {
  const { row, registration } = record;
  const rows = readDesired(environment, row).map(desired => {
    const due = registration !== undefined && isDue(desired, readValue(environment, row, desired.path), registration);
    return { ...desired, state: due ? 'pending' : desired.state };
  });
  if (json) {
    return printJson(
      rows.map(({ path, value, state, reason, setAt, since }) => ({
        path,
        name: definitions.nameOf(path),
        value: jsonValue(value),
        state,
        reason,
        setAt: new Date(setAt).toISOString(),
        since: new Date(since).toISOString(),
      })),
    );
  }
  printTable(
    rows.map(desired => [
      ...valueRow(desired, definitions),
      desired.state,
      desired.reason ?? '',
      new Date(desired.since).toISOString(),
    ]),
  );
}
