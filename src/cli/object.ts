import { Command } from 'commander';
import { OperatorError, UsageError } from '../adapters/operatorError.ts';
import type { ObjectDefinition, ResourceDefinition } from '../lwm2m/definition.ts';
import { type Definitions, isNameFault } from '../lwm2m/definitions.ts';
import { pathIds } from '../lwm2m/path.ts';
import { formatVersion, parseVersion } from '../lwm2m/version.ts';
import { examples } from './options.ts';
import { fail, printJson, printPages, printTable } from './output.ts';

export function objectCommand(): Command {
  const command = new Command('object').description('LwM2M objects: what the paths of devices mean');
  withObjects(command.command('list'))
    .description('List the objects that are known, each in its newest version')
    .addHelpText('after', examples('rollcall object list', 'rollcall object list --objects ./objects --json'))
    .action((options: ObjectOptions) => list(options).catch(fail));
  withObjects(command.command('show <object>'))
    .description('Show an object and its resources, by id or by name')
    .option('--object-version <version>', 'in this version, not the newest')
    .addHelpText('after', examples('rollcall object show 3303', 'rollcall object show Temperature'))
    .action((object: string, options: ShowOptions) => show(object, options).catch(fail));
  command
    .command('check <files...>')
    .description('Say whether files hold object definitions, and if not, where they are wrong')
    .addHelpText('after', examples('rollcall object check objects/*.xml objects/*.json'))
    .action((files: string[]) => check(files).catch(fail));
  return command;
}

interface ObjectOptions {
  readonly objects?: string;
  readonly json: boolean;
}

interface ShowOptions extends ObjectOptions {
  readonly objectVersion?: string;
}

function withObjects(command: Command): Command {
  return command
    .option('--objects <dir>', 'with the definitions in the files of a directory: see docs/content.md')
    .option('--json', 'print one JSON document', false);
}

async function list({ objects, json }: ObjectOptions): Promise<void> {
  const definitions = await definitionsWith(objects);
  const summaries = [...definitions.objects()].map(({ id, name, version, urn, resources }) => ({
    id,
    name,
    version: formatVersion(version),
    urn,
    resources: resources.size,
  }));
  await printPages([summaries], json, {
    ID: ({ id }) => String(id),
    VERSION: ({ version }) => version,
    RESOURCES: ({ resources }) => String(resources),
    NAME: ({ name }) => name,
  });
}

async function show(text: string, { objects, json, objectVersion }: ShowOptions): Promise<void> {
  const definitions = await definitionsWith(objects);
  const version = objectVersion === undefined ? undefined : parseVersion(objectVersion);
  if (objectVersion !== undefined && version === undefined) throw new UsageError(`${objectVersion} is no version`);
  const object = definitions.object(idOf(definitions, text), version);
  if (object === undefined) throw new OperatorError(`object ${text} is not known`);
  if (version !== undefined && formatVersion(object.version) !== objectVersion) {
    throw new OperatorError(`object ${object.id} is not known in version ${objectVersion}`);
  }
  const resources = [...object.resources.values()];
  if (json) return printJson({ ...object, version: formatVersion(object.version), resources });
  process.stdout.write(`${heading(object)}\n\n`);
  printTable([['ID', 'OPS', 'TYPE', 'MULTIPLE', 'UNIT', 'RANGE', 'NAME'], ...resources.map(row)]);
}

async function check(files: readonly string[]): Promise<void> {
  const { readObjectFile } = await import('../adapters/objectFiles.ts');
  for (const path of files) {
    for (const object of await readObjectFile(path)) process.stdout.write(`${path}: ${heading(object)}\n`);
  }
}

/** `3303`, `/3303` or a name. */
function idOf(definitions: Definitions, text: string): number {
  const path = definitions.resolve(/^\d+$/.test(text) ? `/${text}` : text);
  if (isNameFault(path)) throw path.isUnreadable ? new UsageError(path.message) : new OperatorError(path.message);
  const [object, ...below] = pathIds(path);
  if (object === undefined || below.length > 0) throw new UsageError(`${text} is no object`);
  return object;
}

function heading({ id, name, version, urn, multiple, mandatory, resources }: ObjectDefinition): string {
  const traits = [
    `object ${id} ${name} ${formatVersion(version)}`,
    multiple ? 'many instances' : 'one instance',
    ...(mandatory ? ['mandatory'] : []),
    `${resources.size} resources`,
    ...(urn === undefined ? [] : [urn]),
  ];
  return traits.join(', ');
}

function row({ id, operations, type, multiple, unit, range, name }: ResourceDefinition): string[] {
  return [String(id), operations || '-', type, multiple ? 'yes' : '', unit ?? '', range ?? '', name];
}

/** Loaded only where it is asked for: no other command needs it. */
async function definitionsWith(directory: string | undefined): Promise<Definitions> {
  const { readDefinitions } = await import('../adapters/objectFiles.ts');
  return readDefinitions(directory);
}
