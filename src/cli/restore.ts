import { Command } from 'commander';
import { restoreBackup } from '../adapters/restore.ts';
import type { WallTime } from '../base/time.ts';
import { examples } from './options.ts';
import { fail, printJson, printTable } from './output.ts';
import { stepProgress } from './progress.ts';

export function restoreCommand(): Command {
  return new Command('restore')
    .argument('<backup>', 'a backup, or a copied data directory')
    .description('Make a data directory of a backup; where there is a store already nothing is written')
    .requiredOption('--data <dir>', 'where the store is to be')
    .option('--master-key <file>', 'the master key; else ROLLCALL_MASTER_KEY, or master.key in the new directory')
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      `${examples('rollcall restore /backups/rollcall.mdb --master-key /safe/master.key --data /var/lib/rollcall')}
Devices handshake anew. What was done after the backup is not in it: credentials that
were added or revoked since have to be added or revoked again. See docs/recovery.md.
`,
    )
    .action((backup: string, options: RestoreOptions) => restore(backup, options).catch(fail));
}

async function restore(backup: string, { data, masterKey, json }: RestoreOptions): Promise<void> {
  const progress = stepProgress();
  try {
    const result = await restoreBackup(backup, data, masterKey, Date.now() as WallTime, progress.at);
    progress.end();
    const at = result.at === undefined ? undefined : new Date(result.at).toISOString();
    if (json) return printJson({ ...result, at: at ?? null });
    printTable([
      ['directory', data],
      ['as of', at ?? 'unknown'],
      ['devices', `${result.devices}, ${result.registered} registered`],
      ['credentials', `${result.credentials}, and the master key opens them`],
      ['events', String(result.events)],
      ['sessions', 'none: devices handshake anew'],
      ['revoked since', 'is valid again: revoke it again'],
    ]);
    for (const { about, count, examples } of result.complaints) {
      process.stderr.write(
        `${about}: ${count} do not agree, e.g. ${examples[0]}; see rollcall doctor --data ${data}\n`,
      );
    }
  } finally {
    progress.end();
  }
}

interface RestoreOptions {
  readonly data: string;
  readonly masterKey?: string;
  readonly json: boolean;
}
