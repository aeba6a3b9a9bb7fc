import { Command, InvalidArgumentError } from 'commander';
import { fail } from '../src/cli/output.ts';
import { progressBar } from '../src/cli/progress.ts';
import { KillWorld } from '../test/support/killWorld.ts';

/** The test of `test/crash/registrations.test.ts`, as long as one likes. */
new Command('kills')
  .description('Kill a real server again and again under load, and compare what it promised with what is there')
  .option('--count <count>', 'how many times', parsePositive, 200)
  .option('--seed <seed>', 'at which moments it is killed', parsePositive, 1)
  .option('--lanes <count>', 'how many devices on plain CoAP do something at once', parsePositive, 24)
  .option('--secured <count>', 'how many devices have a DTLS session', parsePositive, 12)
  .addHelpText(
    'after',
    `
Examples:
  npm run kills -- --count 200
  npm run kills -- --count 20 --seed 7 --secured 30

Exit code: 0 if nothing was lost, used twice or done twice, 1 if something was.
`,
  )
  .action((options: Options) => main(options).catch(fail))
  .parse();

async function main({ count, seed, lanes, secured }: Options): Promise<void> {
  const world = await KillWorld.open({ seed, lanes, secured });
  const bar = progressBar('kills', count);
  const start = performance.now();
  let complaints = 0;
  try {
    for (let kill = 1; kill <= count; kill++) {
      const found = await world.round();
      complaints += found.length;
      for (const complaint of found) console.log(complaint);
      bar.at(kill, `${world.totals.acknowledged} names, ${world.totals.updates} updates`);
    }
  } finally {
    bar.end();
    await world.close();
  }
  const { kills, acknowledged, updates, resent, replayed, records } = world.totals;
  const seconds = Math.round((performance.now() - start) / 1000);
  console.log(`${kills} kills in ${seconds} s, seed ${seed}`);
  console.log(`${acknowledged} names acknowledged on plain CoAP, ${resent} of them only when they asked again`);
  console.log(`${updates} updates acknowledged in ${secured} DTLS sessions, none of which handshook again`);
  console.log(`${records} records sealed by the server, ${replayed} of the devices' repeated to it`);
  console.log(complaints === 0 ? 'nothing was lost, used twice or done twice' : `${complaints} complaints`);
  if (complaints > 0) process.exitCode = 1;
}

function parsePositive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return value;
}

interface Options {
  readonly count: number;
  readonly seed: number;
  readonly lanes: number;
  readonly secured: number;
}
