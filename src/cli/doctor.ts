import { Command } from 'commander';
import { examine, type Finding } from '../adapters/doctor.ts';
import { salvage } from '../adapters/salvage.ts';
import type { WallTime } from '../base/time.ts';
import { type CommonOptions, examples, withCommonOptions } from './options.ts';
import { fail, printJson, printTable } from './output.ts';
import { stepProgress } from './progress.ts';

export function doctorCommand(): Command {
  return withCommonOptions(new Command('doctor'))
    .description('Look at everything in a data directory, say what is wrong and what can be done; the server may run')
    .option('--repair <newdir>', 'save into a new directory what can be read, with its indexes made anew')
    .addHelpText(
      'after',
      `${examples('rollcall doctor --data /var/lib/rollcall', 'rollcall doctor --data /var/lib/rollcall --repair /var/lib/rollcall-saved')}
Nothing is ever changed in the directory itself. See docs/recovery.md.
Exit code: 0 if nothing is damaged, 1 if something is.
`,
    )
    .action((options: DoctorOptions) => (options.repair === undefined ? look(options) : repair(options)).catch(fail));
}

async function look({ data, json }: CommonOptions): Promise<void> {
  const progress = stepProgress();
  const findings = await examine(data, progress.at).finally(progress.end);
  if (findings.some(({ state }) => state === 'damaged')) process.exitCode = 1;
  if (json) return printJson(findings);
  printTable([['STATE', 'CHECK', 'FOUND'], ...findings.flatMap(rows)]);
}

async function repair({ data, repair: into = '', json }: DoctorOptions): Promise<void> {
  const progress = stepProgress();
  const result = await salvage(data, into, Date.now() as WallTime, progress.at).finally(progress.end);
  if (json) return printJson(result);
  printTable([
    ['WHAT', 'SAVED', 'LOST'],
    ...Object.entries(result.saved).map(([name, { kept, lost }]) => [name, String(kept), String(lost)]),
  ]);
  if (result.emptied > 0) process.stdout.write(`${result.emptied} devices are known by their credentials only\n`);
  if (result.doubled > 0) process.stdout.write(`${result.doubled} records had the name of another one\n`);
  process.stdout.write(
    `next: put master.key into ${into}, unless it comes from ROLLCALL_MASTER_KEY, and start there\n`,
  );
}

/** What is wrong has lines of its own under it. */
function rows({ state, check, found, examples = [], wayBack }: Finding): string[][] {
  return [
    [state, check, found],
    ...examples.map(example => ['', '', example]),
    ...(wayBack === undefined ? [] : [['', '', `what to do: ${wayBack}`]]),
  ];
}

interface DoctorOptions extends CommonOptions {
  readonly repair?: string;
}
