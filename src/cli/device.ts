import { Command } from 'commander';
import { OperatorError } from '../adapters/keyring.ts';
import { readMeta } from '../adapters/lmdbEnvironment.ts';
import { readDevices } from '../adapters/lmdbStore.ts';
import { BlockPermutation } from '../adapters/registrationIds.ts';
import type { WallTime } from '../base/time.ts';
import { type DeviceView, deviceView } from '../fleet/deviceView.ts';
import type { Row } from '../fleet/names.ts';
import { defaultGrace, type FleetRules, forget } from '../fleet/registration.ts';
import { RegistrationIds } from '../fleet/registrationId.ts';
import { type CommonOptions, common, endpointName } from './credential.ts';
import { fail, printJson, printTable } from './output.ts';
import { withStore } from './store.ts';

export function deviceCommand(): Command {
  const command = new Command('device').description('Devices: what the registry knows');
  common(command.command('list'))
    .description('List devices')
    .action((options: CommonOptions) => list(options).catch(fail));
  common(command.command('show <endpoint>'))
    .description('Show one device')
    .action((endpoint: string, options: CommonOptions) => show(endpoint, options).catch(fail));
  common(command.command('forget <endpoint>'))
    .description('Remove a registration; its credential stays')
    .action((endpoint: string, options: CommonOptions) => remove(endpoint, options).catch(fail));
  return command;
}

async function list(options: CommonOptions): Promise<void> {
  await withStore(options.data, async (_administration, environment, keyring) => {
    const rules = rulesOf(keyring.registrationIds, readMeta(environment, 'outages') ?? []);
    const devices: DeviceView[] = [];
    for (let from = 1 as Row; ; ) {
      const page = readDevices(environment, from, 1000);
      for (const record of page) devices.push(deviceView(record, rules, Date.now() as WallTime));
      if (page.length < 1000) break;
      from = (page.at(-1)!.row + 1) as Row;
    }
    if (options.json) return printJson(devices);
    printTable([
      ['ENDPOINT', 'STATE', 'ADDRESS', 'EXPIRES'],
      ...devices.map(device => [
        device.endpoint,
        device.state,
        device.address === undefined ? '' : `${device.transport}://${device.address}:${device.port}`,
        device.expires ?? '',
      ]),
    ]);
  });
}

async function show(name: string, options: CommonOptions): Promise<void> {
  const endpoint = endpointName(name);
  await withStore(options.data, async (administration, environment, keyring) => {
    const record = administration.device(endpoint, undefined);
    if (record === undefined) throw unknown(endpoint);
    const rules = rulesOf(keyring.registrationIds, readMeta(environment, 'outages') ?? []);
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
    const rules = rulesOf(keyring.registrationIds, []);
    const forgotten = await administration.change(record.row, current => {
      const decision = forget(rules, Date.now() as WallTime, current);
      return decision && { record: decision.record, events: decision.commit.events };
    });
    if (!forgotten) throw new OperatorError(`${endpoint} is not registered`);
    if (options.json) return printJson({ endpoint, forgotten });
    process.stdout.write(`${endpoint} forgotten\n`);
  });
}

function rulesOf(secret: Uint8Array, outages: FleetRules['outages']): FleetRules {
  const ids = new RegistrationIds(new BlockPermutation(secret));
  return { grace: defaultGrace, outages, registrationId: (row, generation) => ids.of(row, generation) };
}

function unknown(endpoint: string): OperatorError {
  return new OperatorError(`no device ${endpoint}: see rollcall device list`);
}
