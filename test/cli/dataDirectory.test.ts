import { existsSync } from 'node:fs';
import t from 'tap';
import { rollcall } from '../support/cli.ts';

t.test('a data directory that cannot be made is an error at once, not a loop', async t => {
  if (!existsSync('/proc/self')) return t.comment('NOT TRIED: only Linux has a /proc in which nothing can be made');
  const { code, stderr } = await rollcall(['serve', '--data', '/proc/nope', '--coap', 'off', '--coaps', '127.0.0.1:0']);
  t.equal(code, 1);
  t.match(stderr, /the directory \/proc\/nope cannot be made: ENOENT/);
});
