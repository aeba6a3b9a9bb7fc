import { openEnvironment } from '../../src/adapters/lmdbEnvironment.ts';

// A process of its own: opens a store and closes it, again and again, until its input ends. Prints how often.

const [directory = ''] = process.argv.slice(2);
let isOver = false;
process.stdin.on('end', () => {
  isOver = true;
});
process.stdin.resume();
let times = 0;
for (; !isOver; times++) {
  const environment = await openEnvironment(directory, false);
  await environment.root.close();
}
process.stdout.write(`${times}\n`);
