import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { rollcall } from '../support/cli.ts';

t.test('objects are shown by id and by name, own ones among them', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-objects-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const lamp = join(directory, 'lamp.yaml');
  await writeFile(
    lamp,
    'id: 32769\nname: Lamp\nresources:\n  - { id: 0, name: Colour, operations: RW, type: string }\n',
  );
  const broken = join(directory, 'broken.txt');
  await writeFile(broken, 'id: 1\n');

  const runs: readonly [args: readonly string[], code: number, output: RegExp][] = [
    [['show', 'Temperature'], 0, /5700\s+R\s+float\s+Sensor Value/],
    [['show', '/3303', '--json'], 0, /"name":"Sensor Value"/],
    [['show', 'Lamp', '--objects', directory], 0, /object 32769 Lamp 1\.0.*\n\n.*\n0\s+RW\s+string\s+Colour/],
    [['list'], 0, /3303\s+1\.1\s+12\s+Temperature/],
    [['check', lamp], 0, /lamp\.yaml: object 32769 Lamp 1\.0, one instance, 1 resources/],
    [['check', broken], 1, /broken\.txt:1:1: an object must have required property 'name'/],
    [['show', 'Lamp'], 1, /"Lamp" is the name of no known object/],
    [['show', 'Location'], 1, /may be each of \/6, \/3336/],
    [['list', '--objects', '/nowhere'], 1, /ENOENT/],
    [['show', '32000'], 1, /object 32000 is not known/],
    [['show', '99999'], 2, /has a number above 65534/],
    [['show', '/3303/0'], 2, /is no object/],
    [['show', '3303', '--object-version', 'new'], 2, /new is no version/],
    [['show'], 2, /missing required argument/],
  ];
  for (const [args, code, output] of runs) {
    const run = await rollcall(['object', ...args]);
    t.equal(run.code, code, args.join(' '));
    t.match(code === 0 ? run.stdout : run.stderr, output, args.join(' '));
  }
});
