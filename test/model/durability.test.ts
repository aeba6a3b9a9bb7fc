import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { missing } from '../support/dtlsPeers.ts';

const run = promisify(execFile);
const model = fileURLToPath(new URL('../../../test/model/durability.pml', import.meta.url));
const skip = missing('spin') || missing('gcc');

/** What goes wrong without each rule, by the name of the assertion. */
const rules: Readonly<Record<number, readonly [assertion: string, story: string]>> = {
  1: ['toldIsKept', 'a device is told what a crash takes back'],
  2: ['stoppedIsKept', 'an empty ACK ends the retransmission of what a crash takes back'],
  3: ['effectIsNew', 'a retransmission after a crash takes effect a second time'],
  4: ['toldIsKept', 'a decision on an old view takes back what was told'],
  6: ['nonceIsNew', 'a nonce is used twice'],
  7: ['effectIsNew', 'a replayed record takes effect a second time'],
  8: ['sessionIsKept', 'a device believes in a session that a crash took back'],
  9: ['revokedIsGone', 'a restart wakes a session that was revoked'],
  10: ['nonceIsNew', 'a copy of the store uses a nonce twice'],
  11: ['tokenIsNew', 'a token comes back under the same key'],
};

async function check(directory: string, without: number): Promise<string> {
  await run('spin', ['-a', `-DWITHOUT=${without}`, model], { cwd: directory });
  await run('gcc', ['-O1', '-w', '-DSAFETY', '-DCOLLAPSE', '-o', 'pan', 'pan.c'], { cwd: directory });
  const { stdout } = await run('./pan', ['-m100000'], { cwd: directory, maxBuffer: 1 << 20 });
  return stdout;
}

t.test('with all rules of durability no crash and no replay does harm', { skip }, async t => {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-model-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const printed = await check(directory, 0);
  t.match(printed, /errors: 0/);
  t.notMatch(printed, /max search depth too small|Search not completed/, 'all of it was searched');
  t.comment(/\d+ states, stored/.exec(printed)?.[0]);
});

for (const [rule, [assertion, story]] of Object.entries(rules)) {
  t.test(`without rule ${rule} ${story}`, { skip }, async t => {
    const directory = await mkdtemp(join(tmpdir(), 'rollcall-model-'));
    t.teardown(() => rm(directory, { recursive: true, force: true }));
    t.match(await check(directory, Number(rule)), `assertion violated ${assertion}`);
  });
}
