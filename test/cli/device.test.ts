import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { rollcall } from '../support/cli.ts';

t.test('a list of devices', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const data = ['--data', join(directory, 'data')];
  const stdin = ['a', 'b', 'c', 'd', 'e']
    .map(endpoint => JSON.stringify({ endpoint, key: '00'.repeat(16) }))
    .join('\n');
  await rollcall(['credential', 'import', '-', ...data], { stdin });
  const list = async (...args: string[]) => {
    const { stdout, stderr, code } = await rollcall(['device', 'list', ...args, '--json', ...data]);
    const devices = code === 0 ? (JSON.parse(stdout) as { endpoint: string }[]) : [];
    return { names: devices.map(({ endpoint }) => endpoint).join(' '), stderr, code };
  };

  await t.test('goes on where the one before ended, until it says that there is no more', async t => {
    const seen: string[] = [];
    let after: string[] = [];
    for (let pages = 0; pages < 5; pages++) {
      const { names, stderr } = await list('--limit', '2', ...after);
      seen.push(names);
      const more = /there may be more: (--after) (\d+)/.exec(stderr);
      if (more === null) break;
      after = more.slice(1);
    }
    t.strictSame(
      seen.filter(names => names !== ''),
      ['a b', 'c d', 'e'],
    );
  });

  await t.test('counts only what the conditions let through', async t => {
    t.equal((await list('--where', 'ep!=b', '--limit', '3')).names, 'a c d');
    t.equal((await list('--where', 'ep!=b', '--limit', '3', '--state', 'registered')).names, '');
    t.equal((await list('--limit', '9')).stderr, '', 'a list that is whole says nothing');
  });

  await t.test('points at what is wrong with a condition', async t => {
    const mistakes: readonly [where: string, at: string, words: RegExp][] = [
      ['object=3303 lastContact<1h', 'lastContact', /expected "and", or the end/],
      ['object=3303 and lastContact=1h', 'lastContact', /lastContact is compared with/],
      ['object', '', /expected =, !=/],
      ['ep=a and =', '=', /expected a field/],
      ['ep=a and\n"x"', '"x"', /expected a field/],
    ];
    for (const [where, at, words] of mistakes) {
      const { code, stderr } = await list('--where', where);
      const [message, text, caret] = stderr.split('\n');
      t.equal(code, 2, where);
      t.match(message, words);
      t.equal(text, `  ${where.replace('\n', ' ')}`);
      const place = at === '' ? where.length : where.lastIndexOf(at);
      t.equal(caret, `  ${' '.repeat(place)}^`, stderr);
    }
  });
});
