import type { Command } from 'commander';
import type { Administration } from '../adapters/lmdbAdmin.ts';
import type { Environment } from '../adapters/lmdbEnvironment.ts';
import { readDefinitions } from '../adapters/objectFiles.ts';
import { OperatorError, UsageError } from '../adapters/operatorError.ts';
import type { DeviceRecord } from '../fleet/device.ts';
import type { Sector } from '../fleet/names.ts';
import type { Registered } from '../fleet/registration.ts';
import { type Definitions, isNameFault } from '../lwm2m/definitions.ts';
import { type Path, pathIds } from '../lwm2m/path.ts';
import { type Entry, formatValue } from '../lwm2m/value.ts';
import { type Dossier, Dossiers } from '../service/dossier.ts';
import { type CommonOptions, endpointName, sectorName, withCommonOptions } from './options.ts';
import { fail } from './output.ts';
import { withStore } from './store.ts';

/** A device that the registry knows, registered or not, and the words of its resources. */
export interface KnownDevice {
  readonly environment: Environment;
  readonly record: DeviceRecord;
  readonly definitions: Definitions;
  /** The path that a text means; what it does not mean is an error. */
  path(text: string): Path;
  paths(texts: readonly string[]): Path[];
}

/** A device and what is known of its resources. */
export interface OpenDevice extends KnownDevice {
  readonly record: Registered;
  readonly dossier: Dossier;
}

/** What all commands on one device have. */
export interface DeviceOptions extends CommonOptions {
  readonly sector?: Sector;
  readonly objects?: string;
}

export function withDeviceOptions(command: Command): Command {
  return withCommonOptions(command).option('--sector <name>', 'the one that registered with this sector', sectorName);
}

export function withObjects(command: Command): Command {
  return withDeviceOptions(command).option('--objects <dir>', 'know the objects in the files of a directory too');
}

/** Fails where the registry knows none. */
export function deviceNamed(administration: Administration, name: string, sector: Sector | undefined): DeviceRecord {
  const endpoint = endpointName(name);
  const record = administration.device(endpoint, sector);
  if (record !== undefined) return record;
  const where = sector === undefined ? '' : ` in sector ${sector}`;
  throw new OperatorError(`no device ${endpoint}${where}: see rollcall device list`);
}

/** Opens the store and looks the device up; what goes wrong ends the process with its reason. */
export function withKnownDevice(
  name: string,
  options: DeviceOptions,
  work: (known: KnownDevice) => Promise<void>,
): Promise<void> {
  return withStore(options.data, async (administration, environment) => {
    const record = deviceNamed(administration, name, options.sector);
    const definitions = await readDefinitions(options.objects);
    const path = (text: string) => pathOf(text, definitions);
    await work({ environment, record, definitions, path, paths: texts => texts.map(path) });
  }).catch(fail);
}

/** The same of a device that is registered. */
export function withDevice(
  name: string,
  options: DeviceOptions,
  work: (opened: OpenDevice) => Promise<void>,
): Promise<void> {
  return withKnownDevice(name, options, async known => {
    const { registration } = known.record;
    if (registration === undefined) throw new OperatorError(`${known.record.name} is not registered`);
    const record = { ...known.record, registration };
    await work({ ...known, record, dossier: dossierOf(known, record) });
  });
}

export function dossierOf({ definitions }: KnownDevice, record: Registered): Dossier {
  return new Dossiers(definitions).of(record);
}

/** `PATH=VALUE`, as it is written for several at once. */
export function parseAssignment(text: string): { path: string; value: string } {
  const equals = text.indexOf('=');
  if (equals < 1) throw new UsageError(`"${text}" is not written as PATH=VALUE`);
  return { path: text.slice(0, equals), value: text.slice(equals + 1) };
}

export function valueRow({ path, value }: Pick<Entry, 'path' | 'value'>, definitions: Definitions): string[] {
  return [path, definitions.nameOf(path), formatValue(value), unitOf(path, definitions) ?? ''];
}

export function unitOf(path: Path, definitions: Definitions): string | undefined {
  const [object, , resource] = pathIds(path);
  return object === undefined || resource === undefined
    ? undefined
    : definitions.resource(object, undefined, resource)?.unit;
}

function pathOf(text: string, definitions: Definitions): Path {
  const path = definitions.resolve(text);
  if (isNameFault(path)) throw path.isUnreadable ? new UsageError(path.message) : new OperatorError(path.message);
  return path;
}
