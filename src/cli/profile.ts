import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { type Environment, readMeta } from '../adapters/lmdbEnvironment.ts';
import { profileSet, readProfiles, removeProfile, type StoredProfile, setProfile } from '../adapters/lmdbProfiles.ts';
import { readDevices } from '../adapters/lmdbView.ts';
import { OperatorError } from '../adapters/operatorError.ts';
import { parseProfile } from '../adapters/profiles.ts';
import type { WallTime } from '../base/time.ts';
import type { Row } from '../fleet/names.ts';
import { reapply } from '../fleet/registration.ts';
import { isRefusal } from '../lwm2m/refusal.ts';
import { type CommonOptions, examples, withCommonOptions } from './options.ts';
import { fail, printJson, printPages, printTable } from './output.ts';
import { fleetRules } from './rules.ts';
import { withStore } from './store.ts';

export function profileCommand(): Command {
  const command = new Command('profile').description('Profiles: what devices may be, and what they are given');
  withCommonOptions(command.command('list'))
    .description('List profiles')
    .addHelpText('after', examples('rollcall profile list'))
    .action((options: CommonOptions) => list(options).catch(fail));
  withCommonOptions(command.command('show <name>'))
    .description('Print a profile as it was written')
    .addHelpText('after', examples('rollcall profile show meters'))
    .action((name: string, options: CommonOptions) => show(name, options).catch(fail));
  command
    .command('check <files...>')
    .description('Say whether files hold profiles, and if not, where they are wrong')
    .addHelpText('after', examples('rollcall profile check profiles/*.yaml'))
    .action((files: string[]) => check(files).catch(fail));
  withCommonOptions(command.command('set <file>'))
    .description('Store a profile; it counts from the next registration of each device')
    .addHelpText('after', examples('rollcall profile set meters.yaml && rollcall profile apply'))
    .action((file: string, options: CommonOptions) => set(file, options).catch(fail));
  withCommonOptions(command.command('remove <name>'))
    .description('Remove a profile')
    .addHelpText('after', examples('rollcall profile remove meters'))
    .action((name: string, options: CommonOptions) => remove(name, options).catch(fail));
  withCommonOptions(command.command('apply'))
    .description('Give registered devices at once what their profiles say now; says which would be refused')
    .addHelpText('after', examples('rollcall profile apply'))
    .action((options: CommonOptions) => apply(options).catch(fail));
  return command;
}

async function list(options: CommonOptions): Promise<void> {
  await withStore(options.data, async (_administration, environment) => {
    await printPages([readProfiles(environment).map(summary)], options.json, {
      NAME: profile => profile.name,
      ORIGIN: profile => profile.origin,
      SET: profile => profile.setAt,
    });
  });
}

async function show(name: string, options: CommonOptions): Promise<void> {
  await withStore(options.data, async (_administration, environment) => {
    const found = readProfiles(environment).find(profile => profile.name === name);
    if (found === undefined) throw unknown(name);
    if (options.json) printJson({ ...summary(found), profile: parseProfile(found.text, name).file });
    else process.stdout.write(found.text.endsWith('\n') ? found.text : `${found.text}\n`);
  });
}

async function check(files: readonly string[]): Promise<void> {
  for (const path of files) {
    const { file } = parseProfile(await text(path), path);
    process.stdout.write(`${path}: profile ${file.name}\n`);
  }
}

async function set(path: string, options: CommonOptions): Promise<void> {
  const written = await text(path);
  const profile = parseProfile(written, path);
  await withStore(
    options.data,
    async (_administration, environment) =>
      setProfile(environment, Date.now() as WallTime, profile, written, 'operator'),
    true,
  );
  if (options.json) return printJson({ name: profile.file.name, set: true });
  process.stdout.write(`profile ${profile.file.name} set\n`);
}

async function remove(name: string, options: CommonOptions): Promise<void> {
  await withStore(options.data, async (_administration, environment) => {
    if (!(await removeProfile(environment, Date.now() as WallTime, name))) throw unknown(name);
  });
  if (options.json) return printJson({ name, removed: true });
  process.stdout.write(`profile ${name} removed\n`);
}

async function apply(options: CommonOptions): Promise<void> {
  await withStore(options.data, async (administration, environment, keyring) => {
    const rules = fleetRules(keyring, readMeta(environment, 'outages') ?? [], profileSet(environment));
    const refused: { endpoint: string; reason: string; detail: string | undefined }[] = [];
    let applied = 0;
    for (const { row, name } of registeredDevices(environment)) {
      const changed = await administration.change(row, (record, observed) => {
        const decision = reapply(rules, Date.now() as WallTime, record, observed);
        if (decision === undefined || !isRefusal(decision)) return decision;
        refused.push({ endpoint: name, reason: decision.reason, detail: decision.detail });
        return undefined;
      });
      if (changed) applied++;
    }
    if (options.json) return printJson({ applied, refused });
    process.stdout.write(`applied to ${applied} devices\n`);
    if (refused.length === 0) return;
    process.stdout.write('would be refused when they register again:\n');
    printTable(refused.map(({ endpoint, reason, detail }) => [`  ${endpoint}`, reason, detail ?? '']));
  });
}

function* registeredDevices(environment: Environment) {
  for (let from = 1 as Row; ; ) {
    const page = readDevices(environment, from, pageLength);
    for (const record of page) if (record.registration !== undefined) yield record;
    if (page.length < pageLength) return;
    from = (page.at(-1)!.row + 1) as Row;
  }
}

function summary({ name, origin, setAt }: StoredProfile) {
  return { name, origin, setAt: new Date(setAt).toISOString() };
}

async function text(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new OperatorError(`${path} cannot be read: ${error.code ?? error.message}`);
  });
}

function unknown(name: string): OperatorError {
  return new OperatorError(`no profile ${name}: see rollcall profile list`);
}

const pageLength = 1000;
