import { Command } from 'commander';
import { takeBackup } from '../adapters/backup.ts';
import { openEnvironment } from '../adapters/lmdbEnvironment.ts';
import { bytesText } from '../adapters/staging.ts';
import type { WallTime } from '../base/time.ts';
import { type CommonOptions, examples, withCommonOptions } from './options.ts';
import { fail, printJson, printTable } from './output.ts';
import { stepProgress } from './progress.ts';

export function backupCommand(): Command {
  return withCommonOptions(new Command('backup'))
    .argument('<target>', 'a file that is not there yet, or a directory to make one in')
    .description('Copy the store into one file, all of one moment; the server may run')
    .addHelpText(
      'after',
      `${examples('rollcall backup /backups/rollcall.mdb', 'rollcall backup /backups --data /var/lib/rollcall --json')}
Two things are not in it: DTLS sessions, which a copy must not wake, and the master
key, without which no device's key in it can be read. Keep the key somewhere else.
See docs/recovery.md.
`,
    )
    .action((target: string, options: CommonOptions) => backup(target, options).catch(fail));
}

async function backup(target: string, { data, json }: CommonOptions): Promise<void> {
  // Without the master key: whoever takes backups need not be able to read them.
  const environment = await openEnvironment(data, false);
  const progress = stepProgress();
  try {
    const result = await takeBackup(environment, target, Date.now() as WallTime, progress.at);
    progress.end();
    if (json) return printJson({ ...result, at: new Date(result.at).toISOString() });
    printTable([
      ['file', result.file],
      ['size', bytesText(result.bytes)],
      ['devices', String(result.devices)],
      ['credentials', String(result.credentials)],
      ['events', String(result.events)],
      ['sessions', 'left out: devices handshake anew with a copy'],
      ['master key', 'not in it: keep it apart'],
    ]);
  } finally {
    progress.end();
    await environment.root.close();
  }
}
