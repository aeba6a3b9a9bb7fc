import { Command, Option } from 'commander';
import { type Environment, readMeta } from '../adapters/lmdbEnvironment.ts';
import { findDevices } from '../adapters/lmdbTerms.ts';
import { OperatorError, UsageError } from '../adapters/operatorError.ts';
import type { WallTime } from '../base/time.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import { type DeviceView, deviceView } from '../fleet/deviceView.ts';
import type { Row } from '../fleet/names.ts';
import { noProfiles } from '../fleet/profile.ts';
import { type Condition, isQueryFault, parseQuery, selectionOf } from '../fleet/query.ts';
import { forget } from '../fleet/registration.ts';
import type { Selection } from '../fleet/store.ts';
import { addOperations } from './deviceOperations.ts';
import { type DeviceOptions, deviceNamed, withDeviceOptions } from './openDevice.ts';
import { type CommonOptions, examples, wholeNumber, withCommonOptions } from './options.ts';
import { fail, placedName, printJson, printPages, printTable } from './output.ts';
import { fleetRules } from './rules.ts';
import { withStore } from './store.ts';

export function deviceCommand(): Command {
  const command = new Command('device').description('Devices: what the registry knows');
  withCommonOptions(command.command('list'))
    .description('List devices, in the order in which their names were first seen')
    .option('--where <conditions>', 'only devices for which all hold, see docs/lookup.md')
    .option('--limit <count>', 'at most so many', wholeNumber)
    .option('--after <cursor>', 'go on where an earlier list with --limit ended', wholeNumber)
    .addOption(new Option('--state <state>', 'only devices in this state').choices(['registered', 'lapsed', 'none']))
    .addHelpText(
      'after',
      examples(
        'rollcall device list --state registered',
        "rollcall device list --where 'object=3303 and manufacturer=Acme and lastContact<1h'",
        "rollcall device list --where 'ep=floor-3-*' --limit 100",
        'rollcall device list --json | jq length',
      ),
    )
    .action((options: ListOptions) => list(options).catch(fail));
  withDeviceOptions(command.command('show <endpoint>'))
    .description('Show one device')
    .addHelpText('after', examples('rollcall device show node-1', 'rollcall device show node-1 --json'))
    .action((name: string, options: DeviceOptions) => show(name, options).catch(fail));
  withDeviceOptions(command.command('forget <endpoint>'))
    .description('Remove a registration; its credential stays, so the device can register again')
    .addHelpText('after', examples('rollcall device forget node-1'))
    .action((name: string, options: DeviceOptions) => remove(name, options).catch(fail));
  addOperations(command);
  return command;
}

async function list(options: ListOptions): Promise<void> {
  await withStore(options.data, async (_administration, environment, keyring) => {
    const rules = fleetRules(keyring, readMeta(environment, 'outages') ?? [], noProfiles);
    const now = Date.now() as WallTime;
    const selection = selectionOf(conditionsOf(options), { now, rules });
    const end: { next: Row | undefined } = { next: undefined };
    const pages = devicePages(environment, selection, options, end, record => deviceView(record, rules, now));
    await printPages(pages, options.json, columns);
    if (end.next !== undefined) process.stderr.write(`rollcall: there may be more: --after ${end.next - 1}\n`);
  });
}

/** `--state` is a condition like those of `--where`. */
function conditionsOf({ where, state }: ListOptions): readonly Condition[] {
  const parsed = where === undefined ? [] : parseQuery(where);
  if (isQueryFault(parsed)) {
    // On one line, so that the caret stands under what it means.
    const line = where!.replace(/\s/g, ' ');
    throw new UsageError(`--where: ${parsed.message}\n  ${line}\n  ${' '.repeat(parsed.position)}^`);
  }
  return state === undefined ? parsed : [...parsed, { field: 'state', operator: '=', value: state, prefix: false }];
}

/** A short page each time, and a new snapshot with it: no reader stays open while somebody reads the output. */
function* devicePages(
  environment: Environment,
  selection: Selection,
  { after = 0, limit = Number.POSITIVE_INFINITY }: ListOptions,
  end: { next: Row | undefined },
  show: (record: DeviceRecord) => DeviceView,
): Iterable<DeviceView[]> {
  let left = limit;
  for (let from: Row | undefined = (after + 1) as Row; from !== undefined && left > 0; ) {
    environment.root.resetReadTxn();
    const page = findDevices(environment, selection, from, Math.min(left, pageLength));
    left -= page.records.length;
    from = page.next;
    yield page.records.map(show);
    end.next = from;
  }
}

async function show(name: string, options: DeviceOptions): Promise<void> {
  await withStore(options.data, async (administration, environment, keyring) => {
    const record = deviceNamed(administration, name, options.sector);
    const rules = fleetRules(keyring, readMeta(environment, 'outages') ?? [], noProfiles);
    const view = deviceView(record, rules, Date.now() as WallTime);
    if (options.json) return printJson(view);
    printTable(
      Object.entries(view).map(([field, value]) => [
        field,
        typeof value === 'object' ? JSON.stringify(value) : String(value),
      ]),
    );
  });
}

async function remove(name: string, options: DeviceOptions): Promise<void> {
  await withStore(options.data, async (administration, _environment, keyring) => {
    const record = deviceNamed(administration, name, options.sector);
    const rules = fleetRules(keyring, [], noProfiles);
    const forgotten = await administration.change(record.row, current => {
      return forget(rules, Date.now() as WallTime, current);
    });
    if (!forgotten) throw new OperatorError(`${name} is not registered`);
    if (options.json) return printJson({ endpoint: name, forgotten });
    process.stdout.write(`${name} forgotten\n`);
  });
}

interface ListOptions extends CommonOptions {
  readonly where?: string;
  readonly limit?: number;
  readonly after?: number;
  readonly state?: DeviceView['state'];
}

const columns: Record<string, (device: DeviceView) => string> = {
  ENDPOINT: ({ endpoint, sector }) => placedName(endpoint, sector),
  STATE: device => device.state,
  ADDRESS: device => (device.address === undefined ? '' : addressText(device)),
  EXPIRES: device => device.expires ?? '',
};
const pageLength = 200;

function addressText({ transport, address, port }: DeviceView): string {
  return `${transport}://${address!.includes(':') ? `[${address}]` : address}:${port}`;
}
