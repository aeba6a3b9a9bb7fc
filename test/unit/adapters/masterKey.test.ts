import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { masterKeyPath, readMasterKey } from '../../../src/adapters/masterKey.ts';
import { toHex } from '../../../src/base/bytes.ts';

const given = 'ab'.repeat(32);
const variables = ['ROLLCALL_MASTER_KEY', 'ROLLCALL_MASTER_KEY_COMMAND'] as const;

t.beforeEach(() => {
  for (const variable of variables) delete process.env[variable];
});

t.test('whoever can read the file of the master key could read the key of every device', async t => {
  const directory = t.testdir();
  const path = masterKeyPath(directory);
  await t.rejects(readMasterKey(directory, false), /master.key is missing/);
  await t.rejects(stat(path), 'and none is made by asking');
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  const made = await readMasterKey(directory, true);
  t.equal((await stat(path)).mode & 0o777, 0o600, 'whatever else is made here is for all');
  t.strictSame(await readMasterKey(directory, true), made, 'it is made once');
  for (const mode of [0o640, 0o604, 0o620]) {
    await chmod(path, mode);
    await t.rejects(readMasterKey(directory, true), /can be read by others/, mode.toString(8));
  }
  await chmod(path, 0o600);
  await writeFile(path, 'ab'.repeat(31));
  await t.rejects(readMasterKey(directory, true), /does not hold 64 hexadecimal digits/);
});

t.test('a key that is given would be passed over for one in the directory, or be told in an error', async t => {
  const directory = t.testdir();
  process.env.ROLLCALL_MASTER_KEY = given;
  t.equal(toHex(await readMasterKey(directory, true)), given);
  await t.rejects(readFile(join(directory, 'master.key')), 'none is made beside it');
  for (const wrong of ['ab'.repeat(31), 'ab'.repeat(33), 'xy'.repeat(32)]) {
    process.env.ROLLCALL_MASTER_KEY = wrong;
    const error = await readMasterKey(directory, true).catch(({ message }: Error) => message);
    t.match(error, /ROLLCALL_MASTER_KEY must be 64 hexadecimal digits/);
    t.notOk(String(error).includes(wrong));
  }
  delete process.env.ROLLCALL_MASTER_KEY;
  process.env.ROLLCALL_MASTER_KEY_COMMAND = `echo ${given}`;
  t.equal(toHex(await readMasterKey(directory, true)), given);
  process.env.ROLLCALL_MASTER_KEY_COMMAND = `echo ${given}; exit 1`;
  const error = await readMasterKey(directory, true).catch(({ message }: Error) => message);
  t.match(error, /the command in ROLLCALL_MASTER_KEY_COMMAND failed/);
  t.notOk(String(error).includes(given));
});
