import { Command, Option } from 'commander';
import { type Environment, readMeta } from '../adapters/lmdbEnvironment.ts';
import { readDevices } from '../adapters/lmdbStore.ts';
import { OperatorError } from '../adapters/operatorError.ts';
import type { WallTime } from '../base/time.ts';
import { type DeviceView, deviceView } from '../fleet/deviceView.ts';
import type { Row } from '../fleet/names.ts';
import { noProfiles } from '../fleet/profile.ts';
import { type FleetRules, forget } from '../fleet/registration.ts';
import { addOperations } from './deviceOperations.ts';
import { type CommonOptions, endpointName, examples, wholeNumber, withCommonOptions } from './options.ts';
import { fail, printJson, printPages, printTable } from './output.ts';
import { fleetRules } from './rules.ts';
import { withStore } from './store.ts';

export function deviceCommand(): Command {
  const command = new Command('device').description('Devices: what the registry knows');
  withCommonOptions(command.command('list'))
    .description('List devices, in the order in which their names were first seen')
    .option('--limit <count>', 'at most so many', wholeNumber)
    .addOption(new Option('--state <state>', 'only devices in this state').choices(['registered', 'lapsed', 'none']))
    .addHelpText(
      'after',
      examples('rollcall device list --state registered', 'rollcall device list --json | jq length'),
    )
    .action((options: ListOptions) => list(options).catch(fail));
  withCommonOptions(command.command('show <endpoint>'))
    .description('Show one device')
    .addHelpText('after', examples('rollcall device show node-1', 'rollcall device show node-1 --json'))
    .action((endpoint: string, options: CommonOptions) => show(endpoint, options).catch(fail));
  withCommonOptions(command.command('forget <endpoint>'))
    .description('Remove a registration; its credential stays, so the device can register again')
    .addHelpText('after', examples('rollcall device forget node-1'))
    .action((endpoint: string, options: CommonOptions) => remove(endpoint, options).catch(fail));
  addOperations(command);
  return command;
}

async function list(options: ListOptions): Promise<void> {
  await withStore(options.data, async (_administration, environment, keyring) => {
    const rules = fleetRules(keyring, readMeta(environment, 'outages') ?? [], noProfiles);
    await printPages(devicePages(environment, rules, options), options.json, columns);
  });
}

function* devicePages(
  environment: Environment,
  rules: FleetRules,
  { state, limit = Number.POSITIVE_INFINITY }: ListOptions,
): Iterable<DeviceView[]> {
  let left = limit;
  for (let from = 1 as Row; left > 0; ) {
    const records = readDevices(environment, from, pageLength);
    const views = records.map(record => deviceView(record, rules, Date.now() as WallTime));
    const page = views.filter(view => state === undefined || view.state === state).slice(0, left);
    left -= page.length;
    yield page;
    if (records.length < pageLength) return;
    from = (records.at(-1)!.row + 1) as Row;
  }
}

async function show(name: string, options: CommonOptions): Promise<void> {
  const endpoint = endpointName(name);
  await withStore(options.data, async (administration, environment, keyring) => {
    const record = administration.device(endpoint, undefined);
    if (record === undefined) throw unknown(endpoint);
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

async function remove(name: string, options: CommonOptions): Promise<void> {
  const endpoint = endpointName(name);
  await withStore(options.data, async (administration, _environment, keyring) => {
    const record = administration.device(endpoint, undefined);
    if (record === undefined) throw unknown(endpoint);
    const rules = fleetRules(keyring, [], noProfiles);
    const forgotten = await administration.change(record.row, current => {
      return forget(rules, Date.now() as WallTime, current);
    });
    if (!forgotten) throw new OperatorError(`${endpoint} is not registered`);
    if (options.json) return printJson({ endpoint, forgotten });
    process.stdout.write(`${endpoint} forgotten\n`);
  });
}

function unknown(endpoint: string): OperatorError {
  return new OperatorError(`no device ${endpoint}: see rollcall device list`);
}

interface ListOptions extends CommonOptions {
  readonly limit?: number;
  readonly state?: DeviceView['state'];
}

const columns: Record<string, (device: DeviceView) => string> = {
  ENDPOINT: device => device.endpoint,
  STATE: device => device.state,
  ADDRESS: device => (device.address === undefined ? '' : addressText(device)),
  EXPIRES: device => device.expires ?? '',
};
const pageLength = 1000;

function addressText({ transport, address, port }: DeviceView): string {
  return `${transport}://${address!.includes(':') ? `[${address}]` : address}:${port}`;
}
