import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Slowed } from '../../tools/bench/slowed.ts';

t.test('a slowed process has its share of the time at most, and all of it again once it is released', async t => {
  // It ends by itself, should nobody be left to end it.
  const work = 'console.log("up"); for (const end = Date.now() + 60_000; Date.now() < end; );';
  const busy = spawn(process.execPath, ['-e', work], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => busy.kill('SIGKILL'));
  await once(busy.stdout, 'data');
  const slowed = new Slowed(busy.pid!, 0.25);
  const [from, since] = [await cpuMilliseconds(busy.pid!), performance.now()];
  await sleep(1500);
  const share = ((await cpuMilliseconds(busy.pid!)) - from) / (performance.now() - since);
  t.ok(share > 0 && share < 0.4, `a share of ${share.toFixed(2)}`);
  slowed.release();
  for (let n = 0; n < 20; n++) {
    t.not((await statOf(busy.pid!))[0], 'T', 'it is stopped no more');
    await sleep(10);
  }
});

/** Of Linux: the state, and what follows it. */
async function statOf(pid: number): Promise<string[]> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** User and system time, which are counted in ticks of 10 ms. */
async function cpuMilliseconds(pid: number): Promise<number> {
  const fields = await statOf(pid);
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
