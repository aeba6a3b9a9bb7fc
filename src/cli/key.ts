import { Command } from 'commander';
import { openDataDirectory } from '../adapters/dataDirectory.ts';
import { rotateKey } from '../adapters/keyRotation.ts';
import { type CommonOptions, examples, withCommonOptions } from './options.ts';
import { fail, printJson, printTable } from './output.ts';

export function keyCommand(): Command {
  const command = new Command('key').description('The master key that seals every secret of a data directory');
  withCommonOptions(command.command('rotate'))
    .description('Make a new master key and seal everything anew; the server has to be stopped')
    .addHelpText(
      'after',
      `${examples(
        'rollcall key rotate --data /var/lib/rollcall',
        'ROLLCALL_NEW_MASTER_KEY="$(openssl rand -hex 32)" rollcall key rotate   # if it comes from ROLLCALL_MASTER_KEY',
      )}
Devices notice nothing: their keys, their sessions and the locations of their registrations stay.
Backups made before need the old master key: keep it as long as you keep them.
`,
    )
    .action((options: CommonOptions) => rotate(options).catch(fail));
  return command;
}

async function rotate({ data, json }: CommonOptions): Promise<void> {
  const directory = await openDataDirectory(data, false);
  try {
    const result = await rotateKey(data, directory);
    if (json) printJson(result);
    else printTable(Object.entries(result).map(([what, count]) => [what, `${count} sealed anew`]));
  } finally {
    await directory.environment.root.close();
  }
}
