import { cp, open, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { examine } from '../../src/adapters/doctor.ts';
import { openEnvironment } from '../../src/adapters/lmdbEnvironment.ts';
import { readDevices } from '../../src/adapters/lmdbView.ts';
import { salvage } from '../../src/adapters/salvage.ts';
import { readAll } from '../../src/adapters/storeCheck.ts';
import { StoreFile } from '../../src/adapters/storeFile.ts';
import type { WallTime } from '../../src/base/time.ts';
import type { Row } from '../../src/fleet/names.ts';
import { rollcall } from '../support/cli.ts';
import { PlainClient } from '../support/plainClient.ts';
import { TestServer } from '../support/server.ts';

const devices = 400;
/** Of them in the last group. */
const last = 10;
const page = 4096;

t.test('what happens to a file on a bad disk would end the server without a word', async t => {
  const sound = await soundStore(t);
  const cases: readonly Case[] = [
    {
      what: 'a file that was cut off',
      harm: async (path, size) => truncate(path, (Math.floor(size / page / 2) + 1) * page),
      says: /ends before it/,
      saves: [0, devices - 1],
    },
    {
      what: 'both headers zeroed',
      harm: path => overwrite(path, 0, Buffer.alloc(2 * page)),
      says: /header 1 is all zeros/,
      saves: 'nothing',
    },
    {
      // The other one is of the transaction before.
      what: 'the first header zeroed',
      harm: path => overwrite(path, 0, Buffer.alloc(page)),
      says: /header 1 is all zeros/,
      saves: [devices - last, devices],
    },
    {
      what: 'garbage in a page of records',
      harm: async path => overwrite(path, (await leafOfDevices(path)) * page, garbage),
      says: /page \d+ of devices is not what it should be/,
      saves: [1, devices - 1],
    },
    {
      what: 'garbage in a page of records whose header is whole',
      harm: async path => overwrite(path, (await leafOfDevices(path)) * page + 24, garbage.subarray(24)),
      says: /page \d+ of devices leads out of itself/,
      saves: [1, devices - 1],
    },
    { what: 'an empty file', harm: path => truncate(path, 1), says: /header 1 is missing/, saves: 'nothing' },
  ];
  for (const { what, harm, says, saves } of cases) {
    await t.test(what, async t => {
      const data = t.testdir();
      await cp(sound, data, { recursive: true });
      const path = join(data, 'data.mdb');
      await harm(path, (await stat(path)).size);
      const harmed = await readFile(path);

      const serve = await rollcall(['serve', '--data', data, '--coap', 'off', '--coaps', '127.0.0.1:0']);
      t.equal(serve.code, 1);
      t.match(serve.stderr, says);
      t.match(serve.stderr, /rollcall doctor --data .*restore a backup/);
      t.equal(serve.stderr.trim().split('\n').length, 1, 'one line, and no stack');

      const damaged = (await examine(data, () => undefined)).filter(({ state }) => state === 'damaged');
      t.ok(damaged.length > 0);
      t.ok(damaged.every(({ wayBack }) => wayBack !== undefined));

      const saved = join(data, 'saved');
      const repair = salvage(data, saved, Date.now() as WallTime, () => undefined);
      if (saves === 'nothing') {
        await t.rejects(repair, /restore a backup/i);
        return;
      }
      await repair;
      t.ok(harmed.equals(await readFile(path)), 'the damaged file stays as it is');
      await cp(join(data, 'master.key'), join(saved, 'master.key'));
      const found = await examine(saved, () => undefined);
      t.same(
        found.filter(({ state }) => state !== 'ok'),
        [],
        'what was saved is sound',
      );
      const environment = await openEnvironment(saved, false);
      const names = readDevices(environment, 1 as Row, devices + 1).length;
      await environment.root.close();
      t.ok(names >= saves[0] && names <= saves[1], `${names} of ${devices} are saved`);
    });
  }
});

interface Case {
  readonly what: string;
  readonly harm: (path: string, size: number) => Promise<void>;
  readonly says: RegExp;
  /** How many devices, from and to. */
  readonly saves: 'nothing' | readonly [number, number];
}

/** The directory of a server that was killed. */
async function soundStore(t: Test): Promise<string> {
  const server = await TestServer.start('--insecure-coap');
  t.teardown(() => server.remove());
  const client = await PlainClient.open(t, server.coap);
  for (const [from, to] of [
    [0, devices - last],
    [devices - last, devices],
  ] as const) {
    const ids = Array.from({ length: to - from }, (_, n) => client.register(`ep=node-${from + n}`, 'lwm2m=1.1'));
    for (const id of ids) if ((await client.answer(id)) !== '2.01') throw new Error('not registered');
  }
  await server.end('SIGKILL');
  return server.data;
}

/** A page that has records, and is not the root of their tree. */
async function leafOfDevices(path: string): Promise<number> {
  const sound = await readFile(path);
  for (let number = 2; number < sound.length / page; number++) {
    await overwrite(path, number * page, garbage);
    const file = StoreFile.open(path);
    const { damage, databases } = readAll(file, file.headers().headers[0]!);
    file.close();
    await overwrite(path, number * page, sound.subarray(number * page, (number + 1) * page));
    if (damage[0]?.database === 'devices' && databases.get('devices')?.root !== number) return number;
  }
  throw new Error('no such page');
}

async function overwrite(path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, at);
  await file.close();
}

const garbage = Buffer.alloc(page, 'garbage');
